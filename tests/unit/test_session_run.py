"""A run from its file to its report, over fakes: how it ends, what is written, and that nothing is left."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from harness import evidence, session
from harness.model.errors import ChannelLost, EnvironmentBroken, Interrupted, TopologyError, UsageError
from harness.model.run import run_from_json
from harness.ports import Cluster
from harness.session import RunResult
from harness.session.running import MAX_REMAKES
from harness.transport.recorder import read_history
from tests.loader_jsonschema import accepts
from tests.session_fakes import Lab, make_lab, write_topology

SCHEMA = json.loads((files("harness") / "schema" / "results.schema.json").read_text())
BROKEN = EnvironmentBroken("it is broken", hint="mend it")
VIP: dict[str, Any] = {
    "web": {
        "deploy": {"mode": "global", "endpoint_mode": "vip"},
        "networks": ["app"],
        "ports": [{"target": 5000, "published": 8000, "mode": "ingress"}],
    }
}
FAULT = [{"fault": "partition", "target": "n2"}]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return make_lab(tmp_path, monkeypatch)


def run(lab: Lab, *, changes: dict[str, Any] | None = None, **options: Any) -> RunResult:
    path = write_topology(lab.folder, **(changes or {}))
    return session.run(path, lab.options(**options), lab.lines.append)


def results(result: RunResult) -> dict[str, Any]:
    """results.json, held against its schema and read back."""
    data: dict[str, Any] = json.loads((result.folder / "results.json").read_text())
    assert accepts(SCHEMA, data)
    assert run_from_json(data).to_json() == data
    return data


def verdicts(result: RunResult) -> dict[str, str]:
    return {check.id: check.verdict for check in result.run.checks}


def steps(lab: Lab) -> list[str]:
    """What was done to the cluster, but for logs and images, which may come at any time in between."""
    return [event for event in lab.events if not event.startswith(("logs", "supply"))]


def nothing_is_left(lab: Lab) -> bool:
    return not lab.provider.made and all(agent.closed for agent in lab.agents)


# --- to its end


def test_a_run_in_which_all_is_well_passes_and_leaves_nothing(lab: Lab) -> None:
    result = run(lab)
    assert (result.run.verdict, result.error, result.cluster) == ("pass", None, None)
    assert verdicts(result) == {"mtu": "pass", "latency": "pass"}
    run_id = result.run.id
    assert steps(lab) == [f"up {run_id}", "join", "apply", f"down {run_id}"]
    assert nothing_is_left(lab)


def test_the_folder_holds_what_is_promised(lab: Lab) -> None:
    result = run(lab)
    names = {path.name for path in result.folder.iterdir()}
    promised = {"topology.yaml", "plan.json", "history.parquet", "verdicts.json", "results.json", "junit.xml"}
    assert promised | {"report.html", "env.json"} <= names
    assert result.folder == lab.folder / "runs" / result.run.id
    assert (lab.folder / "runs" / "latest").resolve() == result.folder
    assert results(result)["verdict"] == "pass"
    assert json.loads((result.folder / "env.json").read_text())["nodes"]["n2"] == {
        "address": "192.0.2.2", "kernel": "6.1.0", "engine": "26.1.5",
    }  # fmt: skip


def test_the_rendered_topology_can_be_run_again(lab: Lab) -> None:
    result = run(lab)
    again = session.topology_of(result.folder / "topology.yaml", lab.options())
    assert again == result.view.plan.topology


def test_an_image_instead_of_ours_is_that_of_the_run_done_again(lab: Lab) -> None:
    result = run(lab, workload_image="registry.test/mine:1")
    options = lab.options()
    again = session.topology_of(result.folder / "topology.yaml", options)
    assert session.make_plan(again, options, run="again").workload_image == "registry.test/mine:1"
    assert session.make_plan(again, options, run="again").images == ("registry.test/mine:1",)


def test_a_check_that_fails_fails_the_run_and_the_next_one_is_still_run(lab: Lab) -> None:
    lab.network.largest = 1400
    result = run(lab)
    assert verdicts(result) == {"mtu": "fail", "latency": "pass"}
    assert (result.run.verdict, result.error) == ("fail", None)
    assert results(result)["checks"][0]["failures"][0]["got"] == "mtu"
    assert nothing_is_left(lab)


def test_notes_of_the_plan_are_said(lab: Lab) -> None:
    run(lab, changes={"networks": {"app": {"driver": "overlay", "driver_opts": {"encrypted": ""}}}})
    assert any("making harness-" in line for line in lab.lines)
    assert any("taking harness-" in line for line in lab.lines)


def test_only_runs_that_check_and_an_unknown_one_is_refused_before_anything_is_made(lab: Lab) -> None:
    assert list(verdicts(run(lab, only=("latency",)))) == ["latency"]
    lab.events.clear()
    with pytest.raises(UsageError, match="--only nonsense") as refused:
        run(lab, only=("nonsense",))
    assert "mtu, latency" in str(refused.value.hint)
    assert lab.events == []


def test_a_mistake_in_the_file_is_told_before_anything_is_made(lab: Lab) -> None:
    with pytest.raises(TopologyError):
        run(lab, changes={"networks": {"app": {"driver": "overlai"}}})
    assert lab.events == []
    assert not (lab.folder / "runs").exists()


# --- what breaks


def broken_stages(lab: Lab, error: BaseException) -> dict[str, Any]:
    return {
        "up": lambda: lab.provider.raises.update(up=error),
        "join": lambda: lab.orchestrator.raises.update(join=error),
        "apply": lambda: lab.orchestrator.raises.update(apply=error),
        "agents": lambda: setattr(lab, "agent_error", error),
        "look": lambda: lab.orchestrator.raises.update(look=error),
        "check": lambda: lab.network.raises.update(bulk=error),
        "second check": lambda: lab.network.raises.update(rtt=error),
    }


STAGES = ["up", "join", "apply", "agents", "look", "check", "second check"]


@pytest.mark.parametrize("stage", ["up", "join", "apply", "agents"])
def test_what_breaks_on_the_way_is_in_the_results_and_nothing_is_left(lab: Lab, stage: str) -> None:
    broken_stages(lab, BROKEN)[stage]()
    result = run(lab)
    assert result.error is BROKEN
    assert result.error.exit_code == 70
    told = results(result)
    assert (told["verdict"], told["error"], told["checks"]) == ("unknown", "it is broken", [])
    assert nothing_is_left(lab)
    assert lab.events[-1] == f"down {result.run.id}"


@pytest.mark.parametrize(("stage", "check"), [("look", "mtu"), ("check", "mtu"), ("second check", "latency")])
def test_a_check_that_breaks_is_unknown_and_the_others_count(lab: Lab, stage: str, check: str) -> None:
    broken_stages(lab, BROKEN)[stage]()
    result = run(lab)
    assert (result.run.verdict, result.error) == ("unknown", None)
    assert verdicts(result) == {"mtu": "pass", "latency": "pass", check: "unknown"}
    broken = next(each for each in result.run.checks if each.id == check)
    assert broken.reason == "broke off: it is broken"
    assert nothing_is_left(lab)


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupt_at_any_stage_takes_everything_down_and_keeps_the_record(lab: Lab, stage: str) -> None:
    broken_stages(lab, KeyboardInterrupt())[stage]()
    result = run(lab)
    assert isinstance(result.error, Interrupted)
    assert result.error.exit_code == 130
    recorded = stage not in {"up", "join", "apply"}
    assert (f"harness check {result.folder}" in (result.error.hint or "")) == recorded
    assert (results(result)["verdict"], results(result)["error"]) == ("unknown", "interrupted")
    assert nothing_is_left(lab)


def test_an_interrupt_keeps_what_was_judged_before_it(lab: Lab) -> None:
    lab.network.raises["rtt"] = KeyboardInterrupt()
    lab.network.largest = 1400
    result = run(lab)
    assert verdicts(result)["mtu"] == "fail"
    assert result.run.verdict == "fail"


def test_a_defect_leaves_nothing_behind_either(lab: Lab) -> None:
    lab.network.raises["bulk"] = ZeroDivisionError("a defect")
    with pytest.raises(ZeroDivisionError):
        run(lab)
    assert nothing_is_left(lab)


@pytest.mark.parametrize("error", [None, BROKEN])
def test_every_nodes_logs_are_saved(lab: Lab, error: EnvironmentBroken | None) -> None:
    lab.agent_error = error
    result = run(lab)
    assert sorted(path.name for path in (result.folder / "logs").iterdir()) == ["n1", "n2", "n3"]


def test_logs_that_cannot_be_had_are_said_and_change_no_verdict(lab: Lab) -> None:
    lab.provider.raises["logs"] = EnvironmentBroken("no logs")
    result = run(lab)
    assert result.run.verdict == "pass"
    assert any("no logs" in line for line in lab.lines)
    lab.agent_error, lab.provider.raises["logs"] = BROKEN, EnvironmentBroken("no logs")
    again = run(lab)
    assert again.error is BROKEN
    assert nothing_is_left(lab)


def test_a_cluster_that_cannot_be_removed_is_told_and_the_verdicts_stay(lab: Lab) -> None:
    lab.provider.raises["down"] = EnvironmentBroken("the engine hangs")
    result = run(lab)
    assert verdicts(result) == {"mtu": "pass", "latency": "pass"}
    assert (result.run.verdict, result.run.error) == ("unknown", "the engine hangs")


def test_a_removal_that_fails_does_not_hide_what_broke_before(lab: Lab) -> None:
    lab.agent_error = BROKEN
    lab.provider.raises["down"] = EnvironmentBroken("the engine hangs")
    assert run(lab).run.error == "it is broken"


def test_a_runs_folder_that_cannot_be_written_is_named_before_anything_is_made(lab: Lab) -> None:
    blocked = lab.folder / "runs"
    blocked.write_text("a file")
    with pytest.raises(UsageError, match=f"{blocked}.*: a part of this path is a file") as refused:
        run(lab)
    assert "--runs-dir" in str(refused.value.hint)
    assert lab.events == []


def test_a_disk_that_refuses_is_the_environments_doing_and_named(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(EnvironmentBroken, match=f"{lab.folder / 'runs'}.*: No space left on device"):
        run(lab)
    assert lab.events == []


# --- keep and reuse


def test_keep_leaves_the_cluster_and_names_it(lab: Lab) -> None:
    result = run(lab, keep=True)
    assert result.cluster == f"harness-{result.run.id}"
    assert [info.name for info in lab.provider.clusters()] == [result.cluster]
    assert all(agent.closed for agent in lab.agents)


def test_reuse_takes_a_cluster_of_the_same_shape_and_leaves_it(lab: Lab) -> None:
    first = run(lab, keep=True)
    lab.events.clear()
    second = run(lab, reuse=True, changes={"name": "other"})
    assert second.run.id != first.run.id
    assert second.cluster == first.cluster
    assert steps(lab) == ["delete", "join", "apply", "delete"]
    assert second.run.verdict == "pass"


def test_reuse_makes_a_cluster_where_none_fits(lab: Lab) -> None:
    kept = run(lab, keep=True)
    result = run(lab, reuse=True, changes={"cluster": {"heartbeat_s": 2}})
    assert result.run.verdict == "pass"
    assert f"up {result.run.id}" in lab.events
    assert list(lab.provider.made) == [kept.run.id]


def test_a_reused_cluster_that_a_check_broke_is_not_left_as_good(lab: Lab) -> None:
    run(lab, keep=True)
    lab.network.raises["unlisten"] = ChannelLost("the agent is gone")
    result = run(lab, reuse=True)
    assert result.run.verdict == "pass"
    assert len(lab.provider.made) == 1


# --- dirty clusters


def test_after_a_check_that_did_not_restore_it_the_cluster_is_made_anew(lab: Lab) -> None:
    lab.network.raises["unlisten"] = ChannelLost("the agent is gone")
    result = run(lab)
    name = result.run.id
    assert steps(lab) == [f"up {name}", "join", "apply", f"down {name}"] * 2
    assert result.run.verdict == "pass"
    assert nothing_is_left(lab)


def test_the_cluster_is_not_made_anew_after_the_last_check(lab: Lab) -> None:
    lab.network.raises["unlisten"] = ChannelLost("the agent is gone")
    run(lab, only=("mtu",))
    assert sum(event.startswith("up ") for event in lab.events) == 1


def test_it_is_made_anew_a_few_times_and_then_the_run_breaks(lab: Lab) -> None:
    class Always(dict[str, BaseException]):
        def pop(self, method: str, *_default: Any) -> Any:
            return ChannelLost("the agent is gone") if method == "unlisten" else None

    lab.network.raises = Always()
    many = [{"latency": {"id": f"latency-{i}", "count": 1}} for i in range(MAX_REMAKES + 2)]
    result = run(lab, changes={"checks": many})
    assert "made anew" in str(result.run.error)
    assert sum(event.startswith("up ") for event in lab.events) == MAX_REMAKES + 1
    assert nothing_is_left(lab)


def test_a_cluster_that_does_not_come_up_again_breaks_the_run_with_what_was_shown(lab: Lab) -> None:
    lab.network.raises["unlisten"] = ChannelLost("the agent is gone")
    seen: list[str] = []

    def progress(line: str) -> None:
        seen.append(line)
        if "making the cluster anew" in line:
            lab.provider.raises["up"] = BROKEN

    result = session.run(write_topology(lab.folder), lab.options(), progress)
    assert verdicts(result) == {"mtu": "pass"}
    assert (result.run.verdict, result.error) == ("unknown", BROKEN)
    assert nothing_is_left(lab)


# --- features and rights that are missing


def test_without_what_a_network_cannot_do_without_every_check_is_skipped_by_its_name(lab: Lab) -> None:
    lab.lacks["vxlan"] = "Operation not supported"
    said: list[str] = []
    result = session.run(
        write_topology(lab.folder, checks=[{"mtu": None}, {"dns": None}]), lab.options(), said.append
    )
    needs = "vxlan (n1: Operation not supported)"
    assert [(skip["check"], skip["needs"]) for skip in results(result)["skipped"]] == [
        ("mtu", needs),
        ("dns", needs),
    ]
    assert (result.run.verdict, result.error, result.run.checks) == ("unknown", None, ())
    assert f"network app cannot work here: the hosts lack {needs}: every check is skipped" in said
    assert any("modprobe vxlan" in line for line in said)
    assert "apply" not in lab.events
    assert nothing_is_left(lab)


def test_a_check_whose_fault_needs_a_feature_is_skipped_and_the_plan_remembers(lab: Lab) -> None:
    lab.lacks["nft-bridge"] = "no such table family"
    checks = [{"mtu": None}, {"recovery": {"faults": FAULT}}]
    result = run(lab, changes={"checks": checks})
    [skip] = results(result)["skipped"]
    assert (skip["check"], skip["part"]) == ("recovery", "")
    assert skip["needs"] == "nft-bridge (n1: no such table family)"
    assert result.run.verdict == "pass"
    plan = json.loads((result.folder / "plan.json").read_text())
    assert [demand["feature"] for demand in plan["unmet"]] == ["nft-bridge"]


def test_under_no_skip_a_skip_fails_and_nothing_but_skips_is_unknown(lab: Lab) -> None:
    lab.lacks["nft-bridge"] = "no"
    alone = {"checks": [{"recovery": {"faults": FAULT}}]}
    both = {"checks": [{"mtu": None}, {"recovery": {"faults": FAULT}}]}
    assert run(lab, changes=alone).run.verdict == "unknown"
    assert run(lab, changes=alone, no_skip=True).run.verdict == "fail"
    assert run(lab, changes=both, no_skip=True).run.verdict == "fail"


@pytest.mark.parametrize("kind", ["connectivity", "services"])
def test_parts_of_services_that_need_a_feature_are_skipped_by_name(lab: Lab, kind: str) -> None:
    lab.lacks["ipvs"] = "no"
    result = run(lab, changes={"services": VIP, "checks": [{"mtu": None}, {kind: {"timeout_s": 0.1}}]})
    skips = [(skip["check"], skip["part"], skip["needs"]) for skip in results(result)["skipped"]]
    assert [skip[:2] for skip in skips] == [(kind, "vip of service web"), (kind, "ingress of service web")]
    assert all("ipvs" in needs for _, _, needs in skips)
    assert verdicts(result)["mtu"] == "pass"


def test_parts_of_services_that_a_check_does_not_ask_for_are_no_skips_of_it(lab: Lab) -> None:
    lab.lacks["ipvs"] = "no"
    services = {**VIP, "plain": {"deploy": {"mode": "global"}, "networks": ["app"]}}
    checks = [{"connectivity": {"services": ["plain"], "timeout_s": 0.1}}]
    assert results(run(lab, changes={"services": services, "checks": checks}))["skipped"] == []


# --- judged again


def test_judging_again_says_the_same_and_writes_the_report_anew(lab: Lab) -> None:
    lab.network.largest = 1400
    result = run(lab)
    first = results(result)
    (result.folder / "report.html").unlink()
    judged, folder = session.judge_run(result.folder)
    assert judged.to_json() == first
    assert folder == result.folder
    assert (folder / "report.html").exists()


def test_a_run_that_broke_off_stays_unknown_when_judged_again(lab: Lab) -> None:
    lab.network.raises["rtt"] = BROKEN
    result = run(lab)
    judged, _ = session.judge_run(result.folder)
    assert {check.id: check.reason for check in judged.checks}["latency"] == "broke off: it is broken"
    assert judged.to_json() == result.run.to_json()


def test_no_skip_is_not_forgotten_when_judged_again(lab: Lab) -> None:
    lab.lacks["nft-bridge"] = "no"
    result = run(lab, changes={"checks": [{"mtu": None}, {"recovery": {"faults": FAULT}}]}, no_skip=True)
    assert session.judge_run(result.folder)[0].verdict == result.run.verdict == "fail"


def test_a_killed_run_is_judged_from_its_lines_alone(lab: Lab) -> None:
    result = run(lab)
    for path in result.folder.iterdir():
        if path.is_file() and path.name != "plan.json":
            path.unlink()
    judged, _ = session.judge_run(result.folder)
    assert judged.verdict == "unknown"
    assert judged.error == "the run ended before it wrote its results"
    assert {check.id: check.verdict for check in judged.checks} == {"mtu": "pass", "latency": "pass"}
    assert judged.id == result.run.id
    assert accepts(SCHEMA, json.loads((result.folder / "results.json").read_text()))


def test_a_run_that_was_killed_before_its_first_row_is_judged_unknown(lab: Lab) -> None:
    lab.agent_error = BROKEN
    result = run(lab)
    judged, _ = session.judge_run(result.folder)
    assert (judged.verdict, judged.error) == ("unknown", "it is broken")


def test_judging_only_some_leaves_the_others_out(lab: Lab) -> None:
    result = run(lab)
    judged, _ = session.judge_run(result.folder, only=["latency"])
    assert [check.id for check in judged.checks] == ["latency"]


def test_judging_only_what_is_not_there_is_a_usage_error(lab: Lab) -> None:
    result = run(lab)
    with pytest.raises(UsageError, match="nonsense"):
        session.judge_run(result.folder, only=["nonsense"])


def test_what_is_no_run_is_a_usage_error(lab: Lab) -> None:
    with pytest.raises(UsageError, match="no such run folder"):
        session.judge_run(lab.folder / "nowhere")
    with pytest.raises(UsageError, match=r"plan\.json"):
        session.judge_run(lab.folder)
    result = run(lab)
    (result.folder / "plan.json").write_text('{"schema": 99}')
    with pytest.raises(UsageError, match="schema 99"):
        session.view_of(result.folder)


def test_an_earlier_run_can_be_looked_at(lab: Lab) -> None:
    result = run(lab)
    view = session.view_of(result.folder)
    assert view.run.to_json() == result.run.to_json()
    assert view.env["nodes"]["n1"]["address"] == "192.0.2.1"
    assert len(view.history) == len(result.view.history)


# --- stores


STORED: dict[str, Any] = {
    "stores": {"disk": {"kind": "local"}},
    "volumes": {"data": {"driver": "local", "store": "disk"}},
}


def _touched(lab: Lab, words: str) -> list[str]:
    """Which nodes ran something with these words."""
    return [host.name for host in lab.hosts for argv in host.ran if words in " ".join(argv)]


def test_stores_are_mounted_on_all_nodes_before_the_orchestrator_comes(lab: Lab) -> None:
    lab.orchestrator.raises["join"] = EnvironmentBroken("no swarm today")
    result = run(lab, changes=STORED)
    assert "no swarm today" in str(result.error)
    assert sorted(_touched(lab, "stores/disk/mount")) == ["n1", "n2", "n3"]
    assert nothing_is_left(lab)


def test_a_store_that_the_nodes_cannot_have_is_named_before_it_is_made(lab: Lab) -> None:
    lab.lacks["fs-xfs"] = "the kernel has no file system xfs"
    result = run(lab, changes=STORED)
    assert any("store disk cannot work here" in line for line in lab.lines)
    needs = {skip["needs"] for skip in results(result)["skipped"]}
    assert needs == {"fs-xfs (n1: the kernel has no file system xfs)"}
    assert not _touched(lab, "stores/disk/mount")
    assert nothing_is_left(lab)


@pytest.mark.parametrize("captured", [("nonsense",), ("app", "nonsense"), ("*", "nonsense")])
def test_a_network_to_capture_that_is_not_there_is_refused_before_anything_is_made(
    lab: Lab, captured: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match=r"--pcap (nonsense|\*): the topology has no such network") as refused:
        run(lab, pcap=captured)
    assert refused.value.hint == "its networks are: app"
    assert not lab.events


def test_what_was_captured_is_kept_also_of_a_run_that_passes(lab: Lab) -> None:
    plain, result = run(lab), run(lab, pcap=("app",))
    assert result.run.verdict == "pass"
    assert not (plain.folder / "evidence").exists()
    kept = {str(path.relative_to(result.folder)) for path in (result.folder / "evidence").glob("*/*")}
    assert {
        f"evidence/{node}/app.{end}" for node in ("n1", "n2", "n3") for end in ("packets.txt", "pcap.tar.gz")
    } == kept


def test_what_failed_is_asked_once_more_while_packets_are_captured_and_the_verdict_stays(lab: Lab) -> None:
    lab.network.largest = 1400
    result = run(lab)
    assert [check.verdict for check in result.run.checks] == ["fail", "pass"]
    kept = result.folder / "evidence"
    assert (kept / "again.txt").read_text().startswith("mtu, once more while packets were captured: fail: ")
    assert all((kept / node / "app.pcap.tar.gz").exists() for node in ("n1", "n2", "n3"))
    rows = [len(read_history(folder).only(check="mtu")) for folder in (result.folder, kept / "again")]
    assert rows[0] == rows[1] > 0
    assert not lab.provider.made


def test_what_passes_the_second_time_stays_failed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.network.largest = 1400
    start = evidence.capturing.start

    def mended(cluster: Cluster, captures: Mapping[str, str], **more: float) -> list[str]:
        lab.network.largest = 1450 if captures else 1400
        return start(cluster, captures, **more)

    monkeypatch.setattr(evidence.capturing, "start", mended)
    result = run(lab)
    assert result.run.verdict == "fail"
    assert ": pass: " in (result.folder / "evidence" / "again.txt").read_text()


def test_a_run_that_was_captured_from_its_beginning_asks_nothing_again(lab: Lab) -> None:
    lab.network.largest = 1400
    result = run(lab, pcap=("app",))
    assert result.run.verdict == "fail"
    assert not (result.folder / "evidence" / "again.txt").exists()


def test_after_an_interrupt_nothing_is_asked_again(lab: Lab) -> None:
    lab.network.largest = 1400
    lab.network.raises["rtt"] = KeyboardInterrupt()
    result = run(lab)
    assert isinstance(result.error, Interrupted)
    assert result.run.checks[0].verdict == "fail"
    assert not (result.folder / "evidence" / "again.txt").exists()
    assert not any("captured" in line for line in lab.lines), "nor is anything said of it"


def test_a_second_time_that_breaks_is_told_and_no_more(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.network.largest = 1400

    def broken(_cluster: Cluster, captures: Mapping[str, str], **_more: float) -> list[str]:
        if captures:
            raise EnvironmentBroken("n2 is gone")
        return []

    monkeypatch.setattr(evidence.capturing, "start", broken)
    result = run(lab)
    assert result.run.verdict == "fail"
    assert "mtu could not be asked once more: n2 is gone" in lab.lines
    assert any(line.startswith("evidence of 3 nodes") for line in lab.lines)
    assert not lab.provider.made
