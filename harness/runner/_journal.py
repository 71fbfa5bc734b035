"""Everything that goes into the history, from agents and from the runner itself (docs/history.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.model.errors import EnvironmentBroken
from harness.model.history import ABSENT
from harness.model.plan import Plan
from harness.ports import Container, Felt, Scene
from harness.runner._seams import Batch, Clock, RecorderLike

#: `host` of rows that no node wrote.
CONTROLLER = "controller"
NEMESIS = "nemesis"
#: `network` of a node's own address, and the `process` of nodes: they belong to no service.
NODE = "node"
NO_SERVICE = "-"


class Journal:
    """Writes one check's rows. `broken` is set once the recorder has refused a row: the run cannot go on.

    With `keep`, `news` tells what was written since it was last asked.
    """

    def __init__(self, recorder: RecorderLike, check: str, clock: Clock, *, keep: bool = False) -> None:
        self._recorder = recorder
        self._kept: list[Batch] | None = [] if keep else None
        self._check = check
        self._clock = clock
        self.broken: EnvironmentBroken | None = None

    def batch(self, host: str, batch: Batch) -> None:
        """An agent's batch. Raises EnvironmentBroken, which ends the program that it came from."""
        self._put({**batch, "host": host}, now=False)

    def reserve(self, host: str, params: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """Put a worker's reservation on disk; when this returns, it may be granted. Raises EnvironmentBroken."""
        number = int(wanted["writer"])
        workers = params.get("writers") or params["workers"]
        writer = next(entry for entry in workers if entry["writer"] == number)
        first = number << 32 | int(wanted["first"])
        row = {"process": writer["process"], "host": host, "at": writer["at"], "key": params["key"]}
        self._write({**row, "f": "reserve", "value": first, "length": int(wanted["count"])}, now=True)

    def look(self, phase: str, scene: Scene, plan: Plan) -> None:
        """The scene as `endpoint`, `endpoint6`, `task`, `pod`, `mac`, `truth` and `truth6` rows."""
        self._rows("endpoint", _endpoints(phase, scene))
        self._rows("endpoint6", list(_endpoints6(phase, scene)))
        self._rows(
            "task", [(c.node, c.service, c.name, f"{phase}|{c.service}", "running") for c in scene.containers]
        )
        self._rows("pod", list(_pods(phase, scene)))
        self._rows("mac", list(_macs(phase, scene)))
        self._rows("truth", list(_truth(phase, scene, plan, 4)))
        self._rows("truth6", list(_truth(phase, scene, plan, 6)))

    def act(self, key: str, value: str, start_ns: int, outcome: str) -> None:
        self._interval("act", key, value, start_ns=start_ns, outcome=outcome)

    def fault(self, name: str, targets: Sequence[str], part: str, start_ns: int, outcome: str = "ok") -> None:
        """`part` is inject, hold, heal or recover; it ends now."""
        self._interval("fault", name, part, at=",".join(targets), start_ns=start_ns, outcome=outcome)

    def felt(self, name: str, targets: Sequence[str], felt: Felt, start_ns: int) -> None:
        outcome = "ok" if felt.felt else "fail"
        self._interval("felt", name, felt.evidence, at=",".join(targets), start_ns=start_ns, outcome=outcome)

    def lost(self, node: str, why: str) -> None:
        self._interval("lost", node, why, start_ns=self._clock.now_ns(), outcome="fail")

    def command(self, row: Mapping[str, Any]) -> None:
        """A command that the runner ran on a host; it ends now."""
        self._write({"process": CONTROLLER, **row, "end_ns": self._clock.now_ns()}, now=True)

    def news(self) -> list[Batch]:
        """Batches that were written since the last call."""
        kept = self._kept or []
        found = kept[:]
        del kept[: len(found)]
        return found

    def raise_if_broken(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _interval(self, f: str, key: str, value: str, *, start_ns: int, outcome: str, at: str = "") -> None:
        row = {"process": NEMESIS, "host": CONTROLLER, "at": at, "f": f, "key": key, "value": value}
        self._write({**row, "start_ns": start_ns, "end_ns": self._clock.now_ns(), "outcome": outcome}, now=True)

    def _rows(self, f: str, rows: Iterable[tuple[str, str, str, str, str]]) -> None:
        """Rows of (host, process, at, key, value)."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        if columns:
            names = ("host", "process", "at", "key", "value")
            self._write({"f": f, **dict(zip(names, columns, strict=True))})

    def _write(self, row: Mapping[str, Any], *, now: bool = False) -> None:
        at_ns = self._clock.now_ns()
        n = next((len(column) for column in row.values() if isinstance(column, list)), 1)
        whole = {"n": n, "offset": ABSENT, "start_ns": at_ns, "end_ns": at_ns, "outcome": "ok", **row}
        self._put(whole, now=now)

    def _put(self, batch: Batch, *, now: bool) -> None:
        whole = {**batch, "check": self._check}
        if self._kept is not None:
            self._kept.append(whole)
        try:
            self._recorder.write(whole, now=now)
        except EnvironmentBroken as error:
            self.broken = error
            raise


def _endpoints(phase: str, scene: Scene) -> list[tuple[str, str, str, str, str]]:
    rows = [row for container in scene.containers for row in _endpoint(phase, scene, container)]
    nodes = scene.nodes.items()
    return rows + [(node, NO_SERVICE, node, f"{phase}|{NODE}", address) for node, address in nodes]


def _endpoint(phase: str, scene: Scene, container: Container) -> list[tuple[str, str, str, str, str]]:
    addresses = {network: address.ip for network, address in container.networks.items()}
    if container.host:
        addresses = {NODE: scene.nodes.get(container.node, "")}
    who = (container.node, container.service, container.name)
    return [(*who, f"{phase}|{network}", ip) for network, ip in addresses.items()]


def _endpoints6(phase: str, scene: Scene) -> Iterator[tuple[str, str, str, str, str]]:
    for container in scene.containers:
        for network, address in container.networks.items():
            if address.ip6:
                yield container.node, container.service, container.name, f"{phase}|{network}", address.ip6


def _macs(phase: str, scene: Scene) -> Iterator[tuple[str, str, str, str, str]]:
    for container in scene.containers:
        for network, address in container.networks.items():
            if address.mac:
                yield container.node, container.service, container.name, f"{phase}|{network}", address.mac


def _pods(phase: str, scene: Scene) -> Iterator[tuple[str, str, str, str, str]]:
    for container in scene.containers:
        if container.pod is not None:
            told = json.dumps(asdict(container.pod), sort_keys=True)
            yield container.node, container.service, container.name, f"{phase}|{container.pod.namespace}", told


def _truth(phase: str, scene: Scene, plan: Plan, family: int) -> Iterator[tuple[str, str, str, str, str]]:
    for target in plan.targets:
        for network in target.networks:
            if family == 4 or plan.network(network).resolves_ipv6:
                told = _joined(scene, target.service, network, family)
                yield CONTROLLER, "orchestrator", "", f"{phase}|{network}|{target.service}", told


def _joined(scene: Scene, service: str, network: str, family: int) -> str:
    present = [c.networks[network] for c in scene.of(service) if network in c.networks]
    return ",".join(sorted(address.of(family) for address in present if address.of(family)))
