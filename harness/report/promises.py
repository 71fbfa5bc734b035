"""The promise matrix of a run: what each volume's driver promises against what was seen. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.model.plan import Plan, VolumePlan
from harness.model.run import Run
from harness.model.verdict import Observed, Promise, Verdict
from harness.promises import OVERRIDDEN
from harness.report.view import RunView

#: How bad an observation is where several checks made one.
_WORSE: dict[Observed, int] = {"unmeasured": 0, "kept": 1, "broken": 2}
_SAYS = {"holds": "promised", "may": "not promised", "opt": "depends on options", "unproven": "unproven"}


@dataclass(frozen=True)
class Cell:
    """One promise of one volume, all checks together. `asked` is false where no check of the run measures it."""

    name: str
    expected: str
    observed: Observed
    count: int = 0
    of: int = 0
    source: str = ""
    witness: str = ""
    asked: bool = True

    @property
    def state(self) -> str:
        """kept, broken (though promised), allowed (broken, never promised), missing (promised, asked, unmeasured)
        or unmeasured.
        """
        if self.observed == "broken":
            return "broken" if self.expected == "holds" else "allowed"
        if self.observed == "unmeasured" and self.asked and self.expected == "holds":
            return "missing"
        return self.observed

    @property
    def says(self) -> str:
        """What the driver says, in words."""
        return _SAYS.get(self.expected, self.expected)

    @property
    def overridden(self) -> bool:
        return self.source.startswith(OVERRIDDEN)

    @property
    def counted(self) -> str:
        return f"{self.count:,} of {self.of:,}" if self.observed == "broken" and self.of else ""

    @property
    def words(self) -> str:
        """Everything but source and witness, without colour: `broken 3 of 9, promised`."""
        seen = " ".join(filter(None, (self.observed, self.counted)))
        return f"{seen}, {self.says}{' (overridden)' if self.overridden else ''}"


@dataclass(frozen=True)
class Column:
    """What promises are made about: a volume, or whatever a check without one looked at (`volume` None)."""

    subject: str
    about: str
    cells: Mapping[str, Cell]
    checks: tuple[str, ...] = ()
    volume: VolumePlan | None = None

    @property
    def measured(self) -> list[Cell]:
        return [cell for cell in self.cells.values() if cell.asked]

    @property
    def unasked(self) -> list[str]:
        return [cell.name for cell in self.cells.values() if not cell.asked]


@dataclass(frozen=True)
class Mounted:
    """A volume as it was planned and as containers saw it: `seen` is one text for each different mount."""

    volume: str
    driver: str
    options: tuple[str, ...]
    seen: tuple[str, ...] = field(default=())


def columns(run: Run, plan: Plan) -> list[Column]:
    """One for each volume that a check measured, and one for each other subject, in order of the checks."""
    groups: dict[str, list[Verdict]] = {}
    volumes: dict[str, VolumePlan] = {}
    for check in run.checks:
        if check.promises:
            volume = _volume(check, plan)
            subject = volume.name if volume else check.target or check.id
            key = f"volume {subject}" if volume else f"{check.name} {subject}"
            groups.setdefault(key, []).append(check)
            if volume:
                volumes[key] = volume
    return [_column(checks, volumes.get(key)) for key, checks in groups.items()]


def rows(found: Iterable[Column]) -> list[str]:
    """The promises of all columns, each once, in order of appearance."""
    return list(dict.fromkeys(name for column in found for name in column.cells))


def mounted(view: RunView) -> list[Mounted]:
    """Volumes with the options they were made with, and the mounts that were recorded inside containers."""
    seen: dict[str, Counter[str]] = {}
    mounts = view.history.only(f="mount", outcome="ok")
    places: dict[tuple[str, str], set[str]] = {}
    for op in mounts.ops():
        volume = op.key.partition("|")[2]
        places.setdefault((volume, _mount_words(str(op.value))), set()).add(op.at)
    for (volume, words), at in places.items():
        seen.setdefault(volume, Counter())[words] = len(at)
    return [_mounted(volume, seen.get(volume.name, Counter())) for volume in view.plan.volumes]


def _mounted(volume: VolumePlan, seen: Counter[str]) -> Mounted:
    options = tuple(f"{key}={value}" if value else key for key, value in volume.options.items())
    told = tuple(
        f"{words}, in {count} container{'s' if count != 1 else ''}" for words, count in seen.most_common()
    )
    return Mounted(volume.name, volume.driver, options, told)


def _mount_words(value: str) -> str:
    """`st_dev fstype source options` without what differs by host; older histories have no options."""
    words = value.split()
    if len(words) < 3:
        return value
    has_options = len(words) > 3 and words[-1].partition(",")[0] in ("rw", "ro")
    source = " ".join(words[2:-1] if has_options else words[2:])
    options = [word for word in words[-1].split(",") if not word.startswith("clientaddr=")] if has_options else []
    return f"{words[1]} from {source}{' with ' + ','.join(options) if options else ''}"


def _volume(check: Verdict, plan: Plan) -> VolumePlan | None:
    asked = next((each.params.get("volume") for each in plan.checks if each.id == check.id), check.target)
    return next((volume for volume in plan.volumes if volume.name == asked), None)


def _column(checks: list[Verdict], volume: VolumePlan | None) -> Column:
    cells = {name: _unasked(name, *said) for name, said in (volume.promises if volume else {}).items()}
    for check in checks:
        for promise in check.promises:
            known = cells.get(promise.name)
            cells[promise.name] = _both(known, _cell(promise)) if known and known.asked else _cell(promise)
    first = checks[0]
    subject = volume.name if volume else first.target or first.id
    about = f"{volume.driver} volume" if volume else first.name
    return Column(subject, about, cells, tuple(check.id for check in checks), volume)


def _unasked(name: str, expected: str, source: str) -> Cell:
    return Cell(name, expected, "unmeasured", source=source, asked=False)


def _cell(promise: Promise) -> Cell:
    return Cell(
        promise.name,
        promise.expected,
        promise.observed,
        promise.count,
        promise.of,
        promise.source,
        promise.witness,
    )


def _both(one: Cell, other: Cell) -> Cell:
    """Two checks of one promise: the worse observation is shown, with its own witness; chances add up."""
    worse, better = (other, one) if _WORSE[other.observed] > _WORSE[one.observed] else (one, other)
    return Cell(
        worse.name,
        worse.expected,
        worse.observed,
        one.count + other.count,
        one.of + other.of,
        worse.source or better.source,
        worse.witness or better.witness,
    )


def told(found: Iterable[Column]) -> Iterator[tuple[Column, Cell]]:
    """What needs words beside the matrix: broken promises and overrides, worst first."""
    order = ("broken", "missing", "allowed", "kept", "unmeasured")
    cells = [(column, cell) for column in found for cell in column.cells.values()]
    wanted = [pair for pair in cells if pair[1].observed == "broken" or pair[1].overridden]
    yield from sorted(wanted, key=lambda pair: order.index(pair[1].state))
