"""Runner and checkers agree: what works is judged pass, and every question that a checker expects is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.topology import Check
from harness.model.verdict import Verdict
from harness.runner import run_checks
from harness.workloads import REGISTRY
from tests.runner_fakes import (
    FakeAgent,
    FakeAnswers,
    FakeFault,
    FakeOrchestrator,
    FakeTime,
    MemoryRecorder,
    first_containers,
    make_agents,
    make_check,
    make_cluster,
    make_plan,
)

APART = {"lone", "mate"}


class World(FakeAnswers):
    """Rows as real agents write them, on a cluster where all is well; time passes in each row."""

    def __init__(self, orchestrator: FakeOrchestrator, time: FakeTime) -> None:
        super().__init__(orchestrator)
        self.time = time

    def __call__(self, agent: FakeAgent, method: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        if method in ("probe", "lookup"):
            return [self._timed(row) for row in super().__call__(agent, method, params)]
        answers = {"bulk": self._bulk, "stream": self._stream, "rtt": self._rtt, "beat": self._beat}
        items = params.get("transfers") or params.get("pairs") or params.get("connections") or ()
        return [self._timed(answers[method](item)) for item in items] if method in answers else []

    def _timed(self, row: dict[str, Any]) -> dict[str, Any]:
        self.time.ns += 1000
        return {**row, "start_ns": self.time.ns - 500, "end_ns": self.time.ns}

    def _probe(self, probe: Mapping[str, Any]) -> dict[str, Any]:
        via, _, _, to, address = probe["key"].split("|")
        row = {**super()._probe(probe), "length": probe.get("packet_bytes", 0)}
        if probe.get("df"):
            return {**row, "f": "df", "value": "ok" if probe["packet_bytes"] <= 1450 else "mtu"}
        if via == "ip" and (to in APART) != (probe["at"] in APART):
            return {**row, "value": "timeout", "outcome": "fail"}
        peer = self._peer(via, to, address)
        return {**row, "value": "ok" if probe["protocol"] == "icmp" else f"ok {peer}"}

    def _peer(self, via: str, to: str, address: str) -> str:
        if via == "host-port":
            return f"{to}.n{address.rsplit('.', 1)[1]}"
        return next((c.name for c in first_containers() if c.service == to), to) if via != "ip" else to

    def _row(self, f: str, item: Mapping[str, Any]) -> dict[str, Any]:
        return {"n": 1, "f": f, "at": item["at"], "key": item["key"], "value": f"ok {item['key'].split('|')[3]}"}

    def _bulk(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._row("bulk", item), "length": item["bytes"], "offset": item["bytes"]}

    def _stream(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._row("stream", item), "length": 1000}

    def _rtt(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return self._row("rtt", item)

    def _beat(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._row("beat", item), "process": item["process"]}


def run_and_judge(check: Check) -> Verdict:
    params = REGISTRY[check.kind].params.model_validate(check.params).model_dump(mode="json")
    whole = check.model_copy(update={"params": params})
    orchestrator, time, recorder, lines = FakeOrchestrator(), FakeTime(), MemoryRecorder(), list[str]()
    plan = make_plan(whole)
    [run] = run_checks(
        make_cluster(),
        plan,
        orchestrator,
        faults={"pause": FakeFault()},
        agents=make_agents(World(orchestrator, time)),
        recorder=recorder,
        progress=lines.append,
        clock=time.clock,
    )
    assert run.error is None, lines
    return judge(recorder.history, plan, whole)


@pytest.mark.parametrize("kind", ["connectivity", "isolation", "dns", "mtu", "throughput", "latency"])
def test_a_cluster_where_all_is_well_passes(kind: str) -> None:
    verdict = run_and_judge(make_check(kind))
    assert (verdict.verdict, verdict.no_value) == ("pass", 0), verdict.reason


def test_a_fault_that_is_felt_and_healed_passes() -> None:
    verdict = run_and_judge(make_check("recovery", faults=[{"fault": "pause", "target": "n2"}]))
    assert verdict.verdict == "pass", verdict.reason
    assert verdict.figures["connections"] == 8


def test_connectivity_on_some_services_and_protocols_leaves_nothing_open() -> None:
    verdict = run_and_judge(make_check("connectivity", services=["web", "lone", "mate"], protocols=["tcp"]))
    assert verdict.verdict == "pass", verdict.reason
