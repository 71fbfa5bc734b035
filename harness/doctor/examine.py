"""Findings about a host: its kernel by doing, the machine by reading, and what earlier runs left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import features
from harness.doctor import leftovers, machine
from harness.doctor.finding import Finding
from harness.features import FEATURES
from harness.model.plan import Demand, Plan
from harness.ports import Host

__all__ = ["Examination", "Finding", "examine", "examine_hosts", "unmet_demands"]


@dataclass(frozen=True)
class Examination:
    """`leftovers` are names of what earlier runs left behind, for people."""

    findings: tuple[Finding, ...]
    leftovers: tuple[str, ...] = ()

    def finding(self, name: str) -> Finding:
        return next(finding for finding in self.findings if finding.name == name)

    def to_json(self) -> dict[str, Any]:
        return {
            "features": {finding.name: finding.to_json() for finding in self.findings},
            "leftovers": list(self.leftovers),
        }


def examine(host: Host, plan: Plan | None = None) -> Examination:
    """The machine that the harness runs on; with a plan also whether its subnets are free there.

    Raises EnvironmentBroken where no probe can run at all.
    """
    kernel = _kernel(host)
    return Examination((*kernel, *machine.findings(host, plan)), tuple(leftovers.found()))


def examine_hosts(hosts: Mapping[str, Host]) -> dict[str, Examination]:
    """Nodes of a live cluster: their kernels only."""
    return {name: Examination(tuple(_kernel(host))) for name, host in hosts.items()}


def _kernel(host: Host) -> list[Finding]:
    answers = features.attempt(host, FEATURES)
    return [
        Finding(name, FEATURES[name].group, answer.ok, answer.why, FEATURES[name].blocks, FEATURES[name].mend)
        for name, answer in answers.items()
    ]


def unmet_demands(examination: Examination, demands: Sequence[Demand]) -> list[tuple[Demand, Finding]]:
    """Demands that this machine's kernel does not meet. What was not tried is not among them."""
    found = {finding.name: finding for finding in examination.findings}
    return [
        (demand, found[demand.feature])
        for demand in demands
        if demand.feature in found and found[demand.feature].ok is False
    ]
