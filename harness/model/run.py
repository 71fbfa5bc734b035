"""A finished run: what results.json says, and what comes back when it is read again.

`run_from_json(run.to_json()).to_json() == run.to_json()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from harness.model.verdict import Failure, Outcome, Promise, Skip, Verdict, merge

SCHEMA = 1


@dataclass(frozen=True)
class FaultRecord:
    """One injection. Times are seconds since the first row of the check that it belongs to."""

    name: str
    check: str
    targets: tuple[str, ...]
    start_s: float
    end_s: float
    felt: bool
    healed: bool


#: How the reason of a check begins that the environment stopped, and of one that this topology cannot be asked.
BROKE_OFF, NOT_ASKED = "broke off: ", "cannot be asked: "


@dataclass(frozen=True)
class Tried:
    """How an earlier try of a run ended, and each of its checks by id."""

    run: str
    verdict: Outcome
    error: str | None
    checks: dict[str, Outcome] = field(default_factory=dict)

    @property
    def ended(self) -> str:
        return "broke" if self.error is not None else self.verdict


@dataclass(frozen=True)
class Run:
    """`started` is ISO 8601, UTC. `error` says why a run broke off; None where it came to its end.

    `verdict` is what `overall` says, unless the caller knows of a reason to be stricter. `settings` are what was
    laid over the file (`--set`). Runs of one topology that were asked for at once (`--repeat`, `--retries`) share
    a word in `series`, and are numbered by `attempt`. `tries` are those before this one (`--retries`), in order.
    """

    id: str
    topology: str
    provider: str
    orchestrator: str
    seed: int
    verdict: Outcome
    error: str | None
    started: str
    duration_s: float
    checks: tuple[Verdict, ...] = ()
    skipped: tuple[Skip, ...] = ()
    faults: tuple[FaultRecord, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    series: str = ""
    attempt: int = 1
    tries: tuple[Tried, ...] = ()

    @property
    def tried(self) -> Tried:
        """What the next try of the same says of this one."""
        return Tried(self.id, self.verdict, self.error, {check.id: check.verdict for check in self.checks})

    def is_flaky(self, check: Verdict) -> bool:
        """Whether a check passes that an earlier try came to and that did not pass there."""
        return check.verdict == "pass" and any(each.checks.get(check.id, "pass") != "pass" for each in self.tries)

    @property
    def all_skipped(self) -> tuple[Skip, ...]:
        """The run's skips and those of its checks, each once, in order."""
        return tuple(dict.fromkeys([*self.skipped, *(skip for check in self.checks for skip in check.skipped)]))

    def to_json(self) -> dict[str, Any]:
        """results.json (harness/schema/results.schema.json)."""
        return {
            "schema": SCHEMA,
            "run": self.id,
            "topology": self.topology,
            "provider": self.provider,
            "orchestrator": self.orchestrator,
            "seed": self.seed,
            "verdict": self.verdict,
            "error": self.error,
            "started": self.started,
            "duration_s": self.duration_s,
            "checks": [verdict_to_json(check) for check in self.checks],
            "skipped": [asdict(skip) for skip in self.all_skipped],
            "faults": [{**asdict(fault), "targets": list(fault.targets)} for fault in self.faults],
            "settings": dict(self.settings),
            "series": self.series,
            "attempt": self.attempt,
            "tries": [asdict(each) for each in self.tries],
        }


def overall(
    checks: Iterable[Verdict],
    *,
    error: str | None = None,
    skipped: Iterable[Skip] = (),
    no_skip: bool = False,
) -> Outcome:
    """The verdict of a run: the worst of its checks; unknown where none ran or where it broke off.

    With `no_skip` a skip fails.
    """
    ran = tuple(checks)
    outcomes: list[Outcome] = [check.verdict for check in ran]
    if error is not None:
        outcomes.append("unknown")
    if no_skip and (any(skipped) or any(check.skipped for check in ran)):
        outcomes.append("fail")
    return merge(outcomes)


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """An entry of `checks` in results.json. Skipped parts stand in the run's own list."""
    return {
        "id": verdict.id,
        "name": verdict.name,
        "target": verdict.target,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "correct": verdict.correct,
        "wrong": verdict.wrong,
        "no_value": verdict.no_value,
        "ignored": verdict.ignored,
        "operations": {node: dict(kinds) for node, kinds in verdict.operations.items()},
        "promises": [asdict(promise) for promise in verdict.promises],
        "failures": [failure.as_json() for failure in verdict.failures],
        "figures": dict(verdict.figures),
        "duration_s": verdict.duration_s,
    }


def verdict_from_json(data: Mapping[str, Any]) -> Verdict:
    """Raises ValueError where an entry of `checks` is not one that this version can read."""
    try:
        return Verdict(
            **{
                **data,
                "verdict": _outcome(data["verdict"]),
                "promises": tuple(Promise(**row) for row in data["promises"]),
                "failures": tuple(_failure(row) for row in data["failures"]),
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a check in results.json lacks or misspells {error}") from error


def run_from_json(data: Mapping[str, Any]) -> Run:
    """An earlier run. Raises ValueError where `data` is not results.json of a version that this one can read."""
    if data.get("schema") != SCHEMA:
        raise ValueError(f"results.json has schema {data.get('schema')!r}; this version reads {SCHEMA}")
    try:
        rest = {key: value for key, value in data.items() if key not in ("schema", "run")}
        rest["verdict"] = _outcome(data["verdict"])
        rest["checks"] = tuple(verdict_from_json(row) for row in data["checks"])
        rest["skipped"] = tuple(Skip(**row) for row in data["skipped"])
        rest["faults"] = tuple(FaultRecord(**{**row, "targets": tuple(row["targets"])}) for row in data["faults"])
        rest["tries"] = tuple(
            Tried(**{**row, "verdict": _outcome(row["verdict"])}) for row in data.get("tries", [])
        )
        return Run(id=data["run"], **rest)
    except (KeyError, TypeError) as error:
        raise ValueError(f"results.json lacks or misspells {error}") from error


def _failure(row: Mapping[str, Any]) -> Failure:
    rest = {key: value for key, value in row.items() if key not in ("from", "to")}
    return Failure(source=row["from"], target=row["to"], **rest)


def _outcome(value: Any) -> Outcome:
    if value not in get_args(Outcome):
        raise ValueError(f"results.json has the verdict {value!r}")
    outcome: Outcome = value
    return outcome
