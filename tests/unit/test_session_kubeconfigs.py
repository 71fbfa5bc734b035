"""Which Kubernetes that exists is meant, and what of a check is left out there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness import session
from harness.cli.main import main
from harness.model.errors import TopologyError, UsageError
from harness.model.topology import Check, Cluster, Fault
from harness.orchestrators.kubernetes import Kubernetes
from harness.ports import Cluster as LiveCluster
from harness.providers.kube_access import Access
from harness.providers.kubeconfig import KubeconfigProvider
from harness.session import Live, Options, kubeconfigs, skipping
from harness.session.planning import topology_of
from harness.session.registries import provider_of
from harness.transport.kubectl import KubectlHost, Place, PodHost
from tests.fake_api import FakeApi, World
from tests.planner_topologies import EXAMPLE, FOREIGN, RUN, planned_on_kubernetes


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for key in kubeconfigs.KEYS:
        monkeypatch.delenv(kubeconfigs.variable(key), raising=False)
    kubeconfigs.forget()
    yield
    kubeconfigs.forget()


def kubeconfig(folder: Path, name: str = "own") -> str:
    path = folder / name
    contexts: list[dict[str, object]] = [{"name": each, "context": {}} for each in ("a", "b", "prod")]
    path.write_text(yaml.safe_dump({"contexts": contexts, "current-context": "prod"}))
    return str(path)


def written(folder: Path, **cluster: object) -> Path:
    whole = {
        **yaml.safe_load(EXAMPLE),
        "cluster": {"provider": "existing", "orchestrator": "kubernetes", **cluster},
    }
    path = folder / "overlay.yaml"
    path.write_text(yaml.safe_dump(whole))
    return path


def read(path: Path, **chosen: object) -> Cluster:
    return topology_of(path, Options(**chosen)).cluster  # type: ignore[arg-type]


def test_the_command_line_goes_before_the_topology_and_that_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, cli, env = (kubeconfig(tmp_path, name) for name in ("own", "cli", "env"))
    monkeypatch.setenv("HARNESS_KUBECONFIG", env)
    assert read(written(tmp_path)).kubeconfig == env
    assert read(written(tmp_path, kubeconfig="own")).kubeconfig == own
    chosen = read(written(tmp_path, kubeconfig="own", context="a"), kubeconfig=Path(cli), context="b")
    assert (chosen.kubeconfig, chosen.context) == (cli, "b")


def test_a_topology_is_not_read_with_what_another_one_said(tmp_path: Path) -> None:
    kubeconfig(tmp_path, "own"), kubeconfig(tmp_path, "theirs")
    assert read(written(tmp_path, kubeconfig="own", context="a", namespace="team")).namespace == "team"
    other = read(written(tmp_path, kubeconfig="theirs"))
    assert (other.context, other.namespace) == (None, None)


def test_the_cluster_that_kubectl_would_take_is_never_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/env/config")
    with pytest.raises(UsageError, match="needs a kubeconfig"):
        read(written(tmp_path))
    assert kubeconfigs.provider().clusters() == []


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ({"kubeconfig": "absent"}, r"/absent: cannot be read: No such file or directory\n.*--kubeconfig FILE"),
        ({"kubeconfig": "own", "context": "live"}, r"no context 'live'\n.*it has a, b, prod$"),
    ],
)
def test_a_file_or_a_context_that_is_not_there_is_told_before_there_is_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cluster: dict[str, str], told: str
) -> None:
    kubeconfig(tmp_path)
    runs = tmp_path / "runs"
    assert main(["run", str(written(tmp_path, **cluster)), "--runs-dir", str(runs)]) == 64
    assert re.search(told, capsys.readouterr().err.strip())
    assert not runs.exists()


def test_a_kubeconfig_for_another_provider_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--context is for provider existing"):
        read(written(tmp_path, provider="kind"), context="prod")
    with pytest.raises(TopologyError, match=r"cluster\.namespace"):
        read(written(tmp_path, provider="kind", namespace="team"))


def test_hosts_and_a_kubeconfig_are_two_things(tmp_path: Path) -> None:
    kubeconfig(tmp_path)
    with pytest.raises(UsageError, match="--inventory is for hosts"):
        read(written(tmp_path, kubeconfig="own"), inventory=Path("hosts.yaml"))
    topology = topology_of(written(tmp_path, kubeconfig="own"), Options())
    assert isinstance(provider_of(topology), KubeconfigProvider)
    assert session.make_plan(topology, Options(), run="r1").provider == "existing"


def live(*, in_nodes: bool = True) -> Live:
    plan = planned_on_kubernetes(cluster=FOREIGN)
    api = KubectlHost("kubectl")
    host = PodHost("n1", "192.0.2.1", api, ("kubectl",), Place("ns", "home"))
    cluster = LiveCluster(f"harness-{RUN}", RUN, "existing kubernetes", {"n1": host}, api=api, in_nodes=in_nodes)
    return Live(plan, cluster, KubeconfigProvider(), Kubernetes())


def skipped(live: Live, check: Check) -> list[tuple[str, str]]:
    return [(skip.part, skip.needs) for skip in skipping.skipped(live, check)]


def test_what_needs_a_shell_on_nodes_is_skipped_by_that_name() -> None:
    append = Check(kind="concurrent-append", id="a", params={"volume": "shared"}, faults=[Fault(fault="pause")])
    needs = skipped(live(), append)
    assert ("", "right lifecycle (fault pause)") in needs
    assert ("", "right shell (volume shared, local)") in needs
    assert skipped(live(), Check(kind="connectivity", id="c")) == []


ON_NODES = ["access-mode", "encrypted", "ipvlan", "macvlan", "vlan-trunk"]


@pytest.mark.parametrize("kind", ON_NODES)
def test_a_check_that_runs_commands_on_nodes_is_skipped_without_a_shell(kind: str) -> None:
    assert skipped(live(), Check(kind=kind, id="m")) == [("", f"right shell (check {kind})")]


def test_what_only_nodes_themselves_could_ask_is_skipped_where_no_pod_may_stand_there() -> None:
    for kind in ("connectivity", "latency", "services", "throughput"):
        needs = skipped(live(in_nodes=False), Check(kind=kind, id="c"))
        assert needs == [("from and to nodes", "pods in the nodes' network (hostNetwork)")]
    all_of_it = skipped(live(in_nodes=False), Check(kind="policies", id="p"))
    assert all_of_it == [("", "pods in the nodes' network (hostNetwork)")]
    assert skipped(live(in_nodes=False), Check(kind="dns", id="d")) == []


def test_doctor_asks_the_cluster_that_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(denied={("delete", "namespaces")})
    monkeypatch.setattr(Access, "api", lambda _self, _progress: FakeApi(world))
    asked = ["--kubeconfig", kubeconfig(tmp_path)]
    assert main(["doctor", str(written(tmp_path)), *asked]) == 70
    assert "in the whole cluster: delete namespaces" in capsys.readouterr().out
    world.denied.clear()
    assert main(["doctor", str(written(tmp_path)), *asked]) == 0
    assert "the cluster can be used" in capsys.readouterr().out
    world.silent = "Unable to connect"
    assert main(["doctor", *asked]) == 70
    assert not world.objects
