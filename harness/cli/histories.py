"""`harness check --history FILE`: a history by itself, in one screen or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from harness.foreign import FORMATS
from harness.model.errors import UsageError
from harness.model.verdict import EXIT
from harness.session import Judged, judge_history

HistoryFile = Annotated[
    Path | None,
    typer.Option(
        "--history", metavar="FILE", help="Judge this history instead of a run; see docs/foreign-histories.md."
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="With --history: the object, where its calls do not say which."),
]
Format = Annotated[
    str | None, typer.Option("--format", metavar="|".join(FORMATS), help="With --history: instead of by content.")
]
FailedCas = Annotated[
    str | None,
    typer.Option(
        "--failed-cas",
        metavar="observed|not-done",
        help="With --history: a failed cas saw another value, or says nothing; by format otherwise.",
    ),
]
Timeout = Annotated[
    float, typer.Option("--timeout-s", min=0, help="With --history: longer searches are given up as unknown.")
]

_STYLE = {"pass": "green", "unknown": "yellow", "fail": "bold red"}


def check_history(
    path: Path, *, format_: str | None, model: str | None, failed_cas: str | None, timeout_s: float, as_json: bool
) -> int:
    """Judge, print, and return the exit code. Raises UsageError."""
    if failed_cas not in (None, "observed", "not-done"):
        raise UsageError(f"--failed-cas {failed_cas}: it is observed or not-done")
    judged = judge_history(
        path,
        format_=format_,
        model=model,
        failed_cas=failed_cas,  # type: ignore[arg-type]
        timeout_s=timeout_s,
    )
    if as_json:
        print(json.dumps(_as_json(judged)))
    else:
        _show(judged, Console(highlight=False, soft_wrap=True))
    return EXIT[judged.result.verdict]


def _as_json(judged: Judged) -> dict[str, Any]:
    result = judged.result
    return {
        "verdict": result.verdict,
        "checker": result.checker,
        "operations": result.operations,
        "witness": result.witness,
    }


def _show(judged: Judged, console: Console) -> None:
    """What a person needs first stands last."""
    history, result = judged.history, judged.result
    counts = [
        f"{result.operations} answered",
        f"{result.crashed} never answered",
        f"{history.dropped} did not happen",
    ]
    keys = f", on {result.keys} keys" if result.keys > 1 else ""
    console.print(Text(f"{history.file}: {FORMATS[history.format]}"))
    console.print(Text(f"calls: {', '.join(counts)}{keys}"))
    for note in history.notes:
        console.print(Text(f"note: {note}"))
    if result.witness:
        console.print(Text(result.witness))
    what = f"{result.verdict}: {_words(judged)} ({result.checker})"
    console.print(Text(what, style=_STYLE[result.verdict]))


def _words(judged: Judged) -> str:
    model = judged.model or "no model"
    return {
        "pass": f"linearizable as a {model}",
        "unknown": f"nothing is known about it as a {model}",
        "fail": f"not linearizable as a {model}",
    }[judged.result.verdict]
