"""Doctor: what works, what does not and why, what could not be tried; before anything is made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from harness import doctor, features
from harness.cli.main import main
from harness.doctor import leftovers, machine
from harness.doctor.finding import Finding
from harness.features import FEATURES, Answer
from harness.model.errors import DeadlineExceeded
from harness.model.plan import Demand
from harness.ports import Host, Result
from harness.providers import images
from harness.transport.local import LocalHost
from tests.fakes import FakeHost
from tests.planner_topologies import planned

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user is tried")


def answering(**said: str) -> Host:
    """A host whose probes say `ok`, or what is given."""

    def answer(argv: Sequence[str], _stdin: bytes) -> Result:
        asked = [name for name in FEATURES if f"echo {name} ok" in argv[2]]
        lines = [f"{name} {said.get(name.replace('-', '_'), 'ok')}" for name in asked]
        return Result(0, "\n".join(lines), "")

    routes = Result(0, "default via 192.0.2.1 dev eth0\n10.60.0.0/24 dev tun0 scope link\n", "")
    return FakeHost("here", answers={("sh", "-c"): answer, ("ip", "-4"): routes})


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "found", lambda: iter(["cluster harness-r0 (3 nodes)"]))


# --- the three answers


def test_what_works_what_does_not_and_what_was_not_tried_are_three_things() -> None:
    host = answering(ipvs="no cannot access ip_vs", netem="untried there is no program tc", esp="no")
    found = features.attempt(host, ["vxlan", "ipvs", "netem", "esp"])
    assert found == {
        "vxlan": Answer(True),
        "ipvs": Answer(False, "cannot access ip_vs"),
        "netem": Answer(None, "there is no program tc"),
        "esp": Answer(False, "refused"),
    }
    assert features.probe(host, ["vxlan", "netem"]) == {"netem": "there is no program tc"}


def test_every_feature_says_what_it_stops() -> None:
    for feature in FEATURES.values():
        assert feature.blocks
        assert feature.group in ("networks", "faults", "volumes", "machines")


def test_a_probe_that_hangs_is_named_and_the_others_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = features.Feature("hang", "networks", "sleep 60", ("everything",), "patience")
    fine = features.Feature("fine", "networks", "true", ("everything",), "nothing")
    monkeypatch.setattr(features.probes, "FEATURES", {"hang": hang, "fine": fine})
    monkeypatch.setattr(features.probes, "FEATURE_TIMEOUT_S", 0.5)
    found = features.attempt(LocalHost(), ["hang", "fine"])
    assert found["hang"].ok is not True
    assert "no answer in 0.5 s" in found["hang"].why
    assert "no answer" not in found["fine"].why


def test_a_program_that_is_not_there_is_not_a_lack_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = features.Feature("odd", "faults", "frobnicate", ("everything",), "it", ("frobnicate",))
    monkeypatch.setattr(features.probes, "FEATURES", {"odd": odd})
    assert features.attempt(LocalHost(), ["odd"])["odd"] == Answer(None, "there is no program frobnicate")


@root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)")
def test_another_user_is_told_what_could_not_be_tried() -> None:
    nobody = LocalHost(prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
    found = features.attempt(nobody, ["overlayfs", "ipvs", "loop"])
    assert not [name for name, answer in found.items() if answer.ok is False], "without rights nothing is denied"


# --- the examination


def test_the_form_that_programs_read() -> None:
    told = doctor.examine(answering(ipvs="no it")).to_json()
    assert set(told) == {"features", "leftovers"}
    assert told["features"]["ipvs"] == {
        "ok": False,
        "why": "it",
        "blocks": list(FEATURES["ipvs"].blocks),
        "mend": FEATURES["ipvs"].mend,
    }
    assert {"engine", "cgroups", "capabilities", "disk", "memory", "inotify"} <= set(told["features"])
    assert told["leftovers"] == ["cluster harness-r0 (3 nodes)"]


def test_a_subnet_that_the_machine_routes_is_named() -> None:
    found = doctor.examine(answering(), planned()).finding("subnets")
    assert (found.ok, found.why) == (False, "10.60.0.0/16 of network app overlaps the machine's 10.60.0.0/24")


def test_routes_that_cannot_be_read_are_not_free() -> None:
    def late(_argv: Sequence[str], _stdin: bytes) -> Result:
        raise DeadlineExceeded("late")

    host = FakeHost("here", answers={("ip", "-4"): late})
    finding = list(machine.findings(host, planned()))[-1]
    assert (finding.name, finding.ok) == ("subnets", None)


def test_only_what_was_tried_and_failed_is_unmet() -> None:
    found = doctor.examine(answering(ipvs="no it", esp="untried it"))
    wanted = [Demand("ipvs", "service web", "vip"), Demand("esp", "network app"), Demand("vxlan", "network app")]
    assert [demand for demand, _ in doctor.unmet_demands(found, wanted)] == wanted[:1]


def test_a_group_is_a_table_that_fits(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(width=100)
    for table in doctor.tables(doctor.examine(answering(ipvs="no a kernel without it"))):
        console.print(table)
    text = capsys.readouterr().out
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "a kernel without it. It stops: service VIP" in text
    for title in ("Networks", "Faults", "Volumes", "This machine"):
        assert title in text


def test_small_rooms_are_no_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "there"))
    monkeypatch.setattr(machine, "ROOM_BYTES", 1 << 60)
    found = {finding.name: finding for finding in machine.findings(answering(), None)}
    assert found["disk"].ok is False
    assert str(tmp_path) in found["disk"].why


# --- the verb


def here(monkeypatch: pytest.MonkeyPatch, host: Host, *others: Finding) -> None:
    monkeypatch.setattr("harness.cli.doctor.LocalHost", lambda _name: host)
    monkeypatch.setattr(machine, "findings", lambda _host, _plan: iter(others))


TOPOLOGY = """name: x
networks: {app: {driver: overlay, attachable: true}}
services: {web: {deploy: {endpoint_mode: vip}, networks: [app]}}
checks: [{connectivity: {}}]
"""


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({}, 0),
        ({"ipvs": "no it"}, 0),
        ({"vxlan": "no it"}, 70),
        ({"veth": "no it"}, 70),
        ({"vxlan": "untried it"}, 0),
    ],
)
def test_what_a_topology_cannot_do_without_is_70(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: dict[str, str], code: int
) -> None:
    here(monkeypatch, answering(**said))
    file = tmp_path / "x.yaml"
    file.write_text(TOPOLOGY)
    assert main(["doctor", str(file)]) == code


def test_without_a_topology_only_what_every_run_needs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, answering(vxlan="no it", ipvs="no it"))
    assert main(["doctor"]) == 0
    here(monkeypatch, answering(), Finding("engine", "machines", False, "none", ("provider docker",), "start it"))
    assert main(["doctor"]) == 70


def test_unmet_demands_stand_in_the_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here(monkeypatch, answering(ipvs="no it"))
    file = tmp_path / "x.yaml"
    file.write_text(TOPOLOGY)
    assert main(["doctor", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["unmet"] == [{"wanted_by": "service web", "part": "vip", "feature": "ipvs", "why": "it"}]


def test_a_topology_that_is_wrong_is_64(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("name: x\nnetworks: {app: {driver: overlai}}\n")
    assert main(["doctor", str(file)]) == 64


# --- leftovers


def test_what_bears_our_name_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = (
        "netns/harness-vms",
        "netns/harness-x-vms",
        "netns/other",
        "run/harness-x",
        "run/other",
        "run/harness",
    )
    for name in names:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "run" / "harness-x" / "mnt").touch()
    backing = tmp_path / "block" / "loop3" / "loop"
    backing.mkdir(parents=True)
    (backing / "backing_file").write_text("/srv/harness-r1/brick\n")
    monkeypatch.undo()
    monkeypatch.setattr(leftovers, "NAMESPACES", tmp_path / "netns")
    monkeypatch.setattr(leftovers, "STATE", tmp_path / "run")
    monkeypatch.setattr(leftovers, "LOOPS", tmp_path / "block")
    monkeypatch.setattr(leftovers, "cluster_infos", lambda: [])
    monkeypatch.setattr(leftovers, "_processes", lambda: iter(()))
    assert list(leftovers.found()) == [
        "network namespace harness-vms",
        "network namespace harness-x-vms (of HARNESS_STATE=x, and removed with that set)",
        f"an engine of ours in {tmp_path / 'run' / 'harness-x'} (of HARNESS_STATE=x, and removed with that set)",
        "loop device loop3 on /srv/harness-r1/brick",
    ]


@pytest.mark.parametrize(
    ("programs", "cached", "why", "blocks"),
    [
        ({"mmdebstrap"}, set(), "20.10.24, 26.1.5, 28.5.2 built when first asked for", ()),
        ({"docker"}, {"forky"}, "28.5.2 cached; 20.10.24, 26.1.5 built when first asked for", ()),
        (set(), {"trixie", "bookworm", "forky"}, "20.10.24, 26.1.5, 28.5.2 cached", ()),
        (
            set(),
            {"trixie"},
            "26.1.5 cached; 20.10.24, 28.5.2 not to be had",
            ("cluster.engine: 20.10.24", "cluster.engine: 28.5.2"),
        ),
    ],
)
def test_which_engines_nodes_can_have(
    monkeypatch: pytest.MonkeyPatch, programs: set[str], cached: set[str], why: str, blocks: tuple[str, ...]
) -> None:
    monkeypatch.setattr(images, "is_cached", lambda _role, release: release.suite in cached)
    monkeypatch.setattr(shutil, "which", lambda name: name if name in programs else None)
    found = machine._engine_versions()
    assert (found.ok, found.why, found.blocks) == (not blocks, why, blocks)
