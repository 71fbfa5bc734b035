"""access-mode: which node may mount what another one has, as pods tell it."""

from __future__ import annotations

import json
import random

import pytest

from harness import checkers
from harness.model.errors import UsageError
from harness.model.history import History
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Commands, Container, Look, Scene
from harness.workloads.access_mode import WORKLOAD
from tests.checkers_scene import row
from tests.planner_topologies import planned_on_kubernetes

TEXT = """
name: x
volumes: {{data: {{driver: local, access_mode: {mode}}}}}
services: {{writer: {{deploy: {{replicas: 1}}, volumes: ["data:/data"]}}}}
"""
CHECK = Check(kind="access-mode", id="mode")
MULTI = 'FailedAttachVolume: Multi-Attach error for volume "data"'


def plan_of(mode: str) -> Plan:
    return planned_on_kubernetes(TEXT.format(mode=mode))


def judged(mode: str, *told: str, outcome: str = "ok") -> tuple[str, str]:
    rows = [
        row("access", "mode", key="data|n1", at=f"n{number}", value=value, outcome=outcome)
        for number, value in enumerate(told, 2)
    ]
    verdict = checkers.judge(History.of(rows), plan_of(mode), CHECK)
    return verdict.verdict, verdict.reason


def test_one_node_that_nobody_enforces_passes_and_says_so() -> None:
    verdict, reason = judged("ReadWriteOnce", "running\n", "running\n")
    assert (verdict, reason) == (
        "pass",
        "ReadWriteOnce: nothing enforces it: n2, n3 mount data while n1 has it",
    )


def test_one_node_that_is_enforced_passes_by_whose_words() -> None:
    verdict, reason = judged("ReadWriteOnce", f"waiting {MULTI}", f"waiting {MULTI}")
    assert verdict == "pass"
    assert reason.startswith(f"ReadWriteOnce: a second node is refused while n1 has data: n2: {MULTI}")
    assert "nothing enforces" not in reason


def test_many_nodes_must_be_let_in() -> None:
    assert judged("ReadWriteMany", "running", "running")[0] == "pass"
    verdict, reason = judged("ReadWriteMany", "running", f"waiting {MULTI}")
    assert verdict == "fail"
    assert f"refused beside n1: n3: {MULTI}" in reason


@pytest.mark.parametrize("told", ["waiting ", "waiting FailedScheduling: no room", "ended Permission denied", ""])
@pytest.mark.parametrize("mode", ["ReadWriteOnce", "ReadWriteMany"])
def test_a_pod_that_does_not_start_for_another_reason_proves_nothing(mode: str, told: str) -> None:
    assert judged(mode, "running", told)[0] == "unknown"


def test_a_command_that_failed_and_no_row_at_all_prove_nothing() -> None:
    assert judged("ReadWriteOnce", "running", outcome="fail")[0] == "unknown"
    assert judged("ReadWriteMany")[0] == "unknown"


def stages(mode: str, *nodes: str) -> Commands:
    found = tuple(Container(f"writer.{i}", "writer", node, "id", 1) for i, node in enumerate(nodes, 1))
    run = WORKLOAD.stages(CHECK, plan_of(mode), random.Random(1))
    assert isinstance(next(run), Look)
    stage = run.send(Scene(found, {"n1": "192.0.2.1", "n2": "192.0.2.2", "n3": "192.0.2.3"}))
    assert isinstance(stage, Commands)
    return stage


def test_a_pod_is_tried_on_every_other_node_and_removed_again() -> None:
    commands = stages("ReadWriteOnce", "n2").commands
    assert [(command.at, command.key, command.host) for command in commands] == [
        ("n1", "data|n2", "n1"),
        ("n3", "data|n2", "n1"),
    ]
    for command in commands:
        pod = json.loads(command.argv[6])
        assert pod["spec"]["nodeName"] == command.at
        assert pod["metadata"]["name"] == command.argv[5] == command.undo[5]
        assert pod["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data", "readOnly": False}


def test_without_a_container_that_has_it_nothing_can_be_tried() -> None:
    with pytest.raises(UsageError, match="no container that runs mounts the volume data"):
        stages("ReadWriteOnce")


def test_a_volume_without_an_access_mode_is_refused_with_those_that_have_one() -> None:
    wrong = Check(kind="access-mode", id="mode", params={"volume": "other"})
    with pytest.raises(UsageError, match="it takes one volume that has an access mode; there is data"):
        next(WORKLOAD.stages(wrong, plan_of("ReadWriteOnce"), random.Random(1)))
