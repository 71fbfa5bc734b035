"""What every store keeps to, the fake of tests/fakes.py included: pure plans, probed demands, and steps that are
done on the nodes that they name. Real file systems are in tests/cluster/test_stores.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from harness import stores
from harness.features import FEATURES, PACKAGE
from harness.model.errors import CommandFailed
from harness.model.places import STORE_MOUNTS, STORES_DIR
from harness.model.plan import Plan
from harness.model.topology import Topology
from harness.planner import Choice, plan, problems
from harness.ports import Cluster, Daemon, Host, Result, Store
from harness.session import CATALOG
from tests.fakes import FakeHost, FakeStore
from tests.planner_topologies import CHOICE, IMAGE, RUN

FAKE = "fake"
ALL: dict[str, Store] = {**stores.REGISTRY, FAKE: FakeStore()}
kinds = pytest.mark.parametrize("kind", sorted(ALL))


def topology_of(kind: str, **spec: Any) -> Topology:
    """One store under a volume of its driver; the fake's is a local one."""
    driver = kind if kind in CATALOG.volume_drivers.built else "local"
    return Topology.model_validate(
        {
            "name": "stored",
            "stores": {"pool": {"kind": kind, **spec}},
            "volumes": {"data": {"driver": driver, "store": "pool"}},
            "services": {"web": {"deploy": {"mode": "global"}, "volumes": ["data:/data"]}},
        }
    )


def choice() -> Choice:
    return Choice(CHOICE.rendering, CHOICE.networks, CHOICE.volumes, ALL)


def plan_of(kind: str, **spec: Any) -> Plan:
    return plan(topology_of(kind, **spec), choice(), run=RUN, seed=1, workload_image=IMAGE)


def cluster(made: Plan) -> tuple[Cluster, dict[str, FakeHost]]:
    """Nodes on which every script ends well."""
    hosts = {node.name: FakeHost(node.name, answers={("sh",): Result(0, "", "")}) for node in made.nodes}
    live: dict[str, Host] = dict(hosts)
    return Cluster(made.cluster, RUN, "docker", live), hosts


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a plan is pure")

    monkeypatch.setattr(subprocess, "Popen", refuse)


def quiet(_line: str) -> None:
    pass


@kinds
@pytest.mark.usefixtures("no_process")
def test_a_store_is_planned_and_declared_the_same_way_twice(kind: str) -> None:
    made = plan_of(kind)
    assert made == plan_of(kind)
    store = made.store("pool")
    assert (store.kind, store.mount, store.volumes) == (kind, f"{STORE_MOUNTS}/pool", ("data",))
    assert set(store.nodes) <= {node.name for node in made.nodes}
    assert ALL[kind].declare(made, "pool") == ALL[kind].declare(made, "pool")


@kinds
def test_its_steps_stand_in_the_plan_on_nodes_of_the_plan_with_their_documents(kind: str) -> None:
    made = plan_of(kind)
    declared = ALL[kind].declare(made, "pool")
    assert made.prepare == declared.steps
    assert set(declared.documents) <= set(made.documents)
    for step in declared.steps:
        assert step.node in {node.name for node in made.nodes}
        assert step.argv
        assert step.timeout_s > 0
        assert not step.document or step.document in {document.name for document in declared.documents}


@kinds
def test_its_demands_can_be_probed_and_name_the_store(kind: str) -> None:
    demands = ALL[kind].demands(topology_of(kind), "pool")
    assert demands == ALL[kind].demands(topology_of(kind), "pool")
    assert all(demand.feature in FEATURES or demand.feature.startswith(PACKAGE) for demand in demands)
    assert {demand.wanted_by for demand in demands} <= {"store pool"}
    assert set(demands) <= set(plan_of(kind).demands)


@kinds
def test_an_option_that_it_does_not_know_is_refused_by_name(kind: str) -> None:
    found = ALL[kind].problems(topology_of(kind, options={"no_such": 1}), "pool")
    assert [key for key, _ in found] == ["options.no_such"]
    assert "no_such" in found[0][1]
    named = problems(topology_of(kind, options={"no_such": 1}), choice(), wire_mtu=1500)
    assert [key for key, _ in named] == ["stores.pool.options.no_such"]
    assert ALL[kind].problems(topology_of(kind), "pool") == []


@kinds
def test_up_does_all_steps_in_order_on_the_nodes_that_they_name(kind: str) -> None:
    made = plan_of(kind)
    live, hosts = cluster(made)
    ALL[kind].up(live, made, "pool", quiet)
    for name, host in hosts.items():
        assert host.ran == [step.argv for step in made.prepare if step.node == name]
    texts = {document.name: document.text.encode() for document in made.documents}
    wanted = [texts[s.document] if s.document else b"" for s in made.prepare if s.node == "n1"]
    assert hosts["n1"].inputs == wanted


@kinds
def test_a_step_that_fails_is_told_with_the_node_and_its_words(kind: str) -> None:
    made = plan_of(kind)
    live, hosts = cluster(made)
    hosts["n2"].answers[("sh",)] = Result(1, "", "no space left on device")
    with pytest.raises(CommandFailed, match="no space left") as failed:
        ALL[kind].up(live, made, "pool", quiet)
    assert "n2" in str(failed.value)


@kinds
def test_a_node_is_mounted_alone_and_again(kind: str) -> None:
    made = plan_of(kind)
    live, hosts = cluster(made)
    for _ in range(2):
        ALL[kind].mount(live.hosts["n2"], made, "pool", timeout_s=10)
    assert hosts["n2"].ran
    assert not hosts["n1"].ran
    hosts["n2"].answers[("sh",)] = Result(1, "", "no servers")
    with pytest.raises(CommandFailed, match="no servers"):
        ALL[kind].mount(live.hosts["n2"], made, "pool", timeout_s=10)


@kinds
def test_daemons_are_those_that_the_nodes_keep(kind: str) -> None:
    made = plan_of(kind)
    live, hosts = cluster(made)
    script = f"{STORES_DIR}/pool/daemons/one"
    hosts["n2"].answers[("sh",)] = Result(0, f"{script}\n{STORES_DIR}/other/daemons/two\n", "")
    assert ALL[kind].daemons(live, "pool") == {"n2": [Daemon("one", "n2", "pool", script)]}


class Nodes:
    """Nodes that keep the stores that they are told of, and note what is done with each."""

    def __init__(self, *names: str) -> None:
        self.left = set(names)
        self.done: list[str] = []

    def __call__(self, argv: Sequence[str], _stdin: bytes) -> Result:
        script, *arguments = argv[2], *argv[4:]
        if "basename" in script:
            return Result(0, "\n".join(sorted(self.left)), "")
        self.done.append("unmount" if "umount" in script else f"remove {arguments[0]}")
        if "rm -rf" in script:
            self.left.discard(arguments[0].rpartition("/")[2])
        return Result(0, "", "")


@kinds
def test_down_unmounts_and_removes_one_store_from_the_nodes_alone_and_twice_is_once(kind: str) -> None:
    nodes = Nodes("other", "pool")
    live = Cluster("harness-r1", RUN, "docker", {"n1": FakeHost(answers={("sh",): nodes})})
    for _ in range(2):
        ALL[kind].down(live, "pool")
    assert nodes.done == ["unmount", f"remove {STORES_DIR}/pool"]
    assert nodes.left == {"other"}
    assert stores.clear(live) == ["other"]


def test_every_store_stands_in_the_catalogue_and_no_more() -> None:
    assert CATALOG.store_kinds.built == set(stores.REGISTRY)
    assert not CATALOG.store_kinds.built & CATALOG.store_kinds.later


@pytest.mark.parametrize("kind", sorted(stores.REGISTRY))
def test_containers_of_both_kinds_bind_a_directory_that_is_inside_the_mount(kind: str) -> None:
    both = topology_of(kind).model_dump()
    both["services"]["one"] = {"node": "n2", "volumes": ["data:/data"]}
    made = plan(Topology.model_validate(both), choice(), run=RUN, seed=1, workload_image=IMAGE)
    device = made.volume("data").device
    assert device == f"{STORE_MOUNTS}/pool/data"
    options = yaml.safe_load(made.document("stack.yaml").text)["volumes"]["data"]["driver_opts"]
    assert options == {"type": "none", "o": "bind", "device": device}
    run = next(step.argv for step in made.steps if step.title == "start one")
    assert f"volume-opt=device={device}" in run[run.index("--mount") + 1]
    assert made.volume("data").fstype
