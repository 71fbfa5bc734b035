"""What one run says of its cell: verdicts, promises, who reached whom, and figures with their baselines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from harness.model.history import NEVER, History
from harness.model.topology import Topology
from harness.model.verdict import Promise, Verdict
from harness.report import RunView
from harness.report.mesh import matrices

State = Literal["pass", "fail", "unknown", "broke", "skip"]
#: What agents do to files, and how a person calls it.
_WORK = {
    "append": "append", "put": "write", "get": "read", "save": "writing session", "load": "reading session",
    "increment": "increment", "blit": "block write", "scan": "block read", "claim": "claim", "replace": "rename",
    "peek": "look", "sync": "sync", "appear": "new name",
}  # fmt: skip
_QUANTILES = (50, 99)
#: Figures that are measured, not counted: their unit stands last in the name.
_UNITS = ("_us", "_ms", "_s", "bit_s", "mib_s", "per_s", "_bytes")
_WIRE = "wire_"
_BROKE_OFF = "broke off: "


@dataclass(frozen=True)
class Measure:
    """A figure of a run, and the same of its baseline in that run: node to node, or a local disk. `is_base`: it is
    one itself, and nothing that cells differ in.
    """

    value: float
    base: float | None = None
    is_base: bool = False

    @property
    def ratio(self) -> float | None:
        return self.value / self.base if self.base else None


@dataclass(frozen=True)
class Reached:
    """Pairs of one way of asking that were not as expected, of so many."""

    bad: int
    pairs: int


@dataclass(frozen=True)
class Sample:
    """One run. A run that broke has its state and `error`, and nothing else: it says nothing of what was compared.

    Keys: `checks` by id; `promises` by (what it is of, name); `reached` by (check, way); `measures` by (check,
    figure).
    """

    cell: int
    round: int
    run: str
    folder: str
    state: State
    error: str = ""
    checks: Mapping[str, tuple[State, str]] = field(default_factory=dict)
    promises: Mapping[tuple[str, str], Promise] = field(default_factory=dict)
    reached: Mapping[tuple[str, str], Reached] = field(default_factory=dict)
    measures: Mapping[tuple[str, str], Measure] = field(default_factory=dict)


def baselines(topologies: Iterable[Topology]) -> frozenset[str]:
    """Volumes that are local and the same in every cell: what others are told against."""
    found: list[dict[str, str]] = [
        {name: repr(volume) for name, volume in topology.volumes.items() if volume.driver == "local"}
        for topology in topologies
    ]
    first, rest = found[0], found[1:]
    return frozenset(name for name, volume in first.items() if all(other.get(name) == volume for other in rest))


def sample(cell: int, round_: int, view: RunView, folder: str, local: frozenset[str]) -> Sample:
    run = view.run
    if run.error is not None:
        return Sample(cell, round_, run.id, folder, "broke", run.error.partition("\n")[0])
    checks: dict[str, tuple[State, str]] = {check.id: (_state(check), check.reason) for check in run.checks}
    for skip in run.all_skipped:
        if not skip.part:
            checks.setdefault(skip.check, ("skip", f"needs {skip.needs}"))
    judged = [check for check in run.checks if check.verdict != "unknown"]
    return Sample(
        cell,
        round_,
        run.id,
        folder,
        run.verdict,
        checks=checks,
        promises=_promises(run.checks),
        reached={key: found for check in judged for key, found in _reached(view.history, check)},
        measures=_measures(view, judged, local),
    )


def _state(check: Verdict) -> State:
    broke = check.verdict == "unknown" and check.reason.startswith(_BROKE_OFF)
    return "broke" if broke else check.verdict


_WORSE = {"unmeasured": 0, "kept": 1, "broken": 2}


def _promises(checks: Iterable[Verdict]) -> dict[tuple[str, str], Promise]:
    """The worst of the checks that measure it."""
    found: dict[tuple[str, str], Promise] = {}
    for check in checks:
        for promise in check.promises:
            key = (check.target or check.id, promise.name)
            if key not in found or _WORSE[promise.observed] > _WORSE[found[key].observed]:
                found[key] = promise
    return found


def _reached(history: History, check: Verdict) -> Iterator[tuple[tuple[str, str], Reached]]:
    for matrix in matrices(history, check):
        yield (check.id, matrix.view), Reached(matrix.bad, len(matrix.cells))


# --- figures ---------------------------------------------------------------------------------------------


def _measures(view: RunView, checks: list[Verdict], local: frozenset[str]) -> dict[tuple[str, str], Measure]:
    figures = {check.id: {**_figures(check), **_work(view.history.only(check=check.id))} for check in checks}
    volumes = {each.id: str(each.params.get("volume", "")) for each in view.plan.checks}
    found = {}
    for check in checks:
        base = _baseline(view, check, local, figures)
        for name, value in figures[check.id].items():
            is_base = name.startswith(_WIRE) or volumes.get(check.id) in local
            found[check.id, name] = Measure(value, base.get(name), is_base)
    return found


def _figures(check: Verdict) -> dict[str, float]:
    """Numbers with a unit."""
    numbers = {name: value for name, value in check.figures.items() if type(value) in (int, float)}
    return {name: float(value) for name, value in numbers.items() if name.endswith(_UNITS)}


def _work(rows: History) -> dict[str, float]:
    """Rates and latencies of what was done to files, from the rows that were acknowledged."""
    found = {}
    present = set(rows["f"].tolist()) if len(rows) else set()
    for kind, word in _WORK.items():
        done = rows.only(f=kind, outcome="ok") if kind in present else rows.only(f=kind)
        took = (done["end_ns"] - done["start_ns"])[done["end_ns"] != NEVER]
        if len(took) < 2:
            continue
        name = word.replace(" ", "_")
        span_ns = int(done["end_ns"].max() - done["start_ns"].min())
        found[f"{name}_per_s"] = len(took) * 1e9 / max(span_ns, 1)
        for quantile, value in zip(_QUANTILES, np.percentile(took, _QUANTILES), strict=True):
            found[f"{name}_p{quantile}_us"] = float(value) / 1e3
    return found


def _baseline(
    view: RunView, check: Verdict, local: frozenset[str], figures: Mapping[str, Mapping[str, float]]
) -> Mapping[str, float]:
    """For a network's figures, the wire's; for a volume's, those of the same kind of check on a local volume."""
    mine = figures[check.id]
    wire = {name.removeprefix(_WIRE): value for name, value in mine.items() if name.startswith(_WIRE)}
    if wire:
        return {name: wire[rest] for name in mine for rest in wire if _is_of_a_network(name, rest)}
    volumes = {each.id: str(each.params.get("volume", "")) for each in view.plan.checks}
    if volumes.get(check.id, "") in {"", *local}:
        return {}
    kinds = {each.id: each.kind for each in view.plan.checks}
    same = (each for each in figures if kinds.get(each) == check.name and volumes.get(each) in local)
    return figures.get(next(same, ""), {})


def _is_of_a_network(name: str, rest: str) -> bool:
    return name.endswith(f"_{rest}") and not name.startswith(_WIRE)
