"""One history from a file, ours or a foreign one, judged by itself: no plan, no promises, one sequential model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.checkers import MODELS, Linearity, linearizable, make_model
from harness.foreign import read_calls
from harness.foreign.reading import FailedCas
from harness.model.calls import Call, Calls
from harness.model.errors import UsageError


@dataclass(frozen=True)
class Judged:
    """A history and the verdict on it. `model` is empty where there was nothing to judge."""

    history: Calls
    model: str
    result: Linearity


def judge_history(
    path: Path,
    *,
    timeout_s: float,
    format_: str | None = None,
    model: str | None = None,
    failed_cas: FailedCas | None = None,
) -> Judged:
    """Read and judge one file. `format_`, `model` and `failed_cas` override what its content suggests.

    Raises UsageError where the file cannot be read, or its calls are not those of a model: that is no verdict.
    A file without any call is unknown.
    """
    if model and model not in MODELS:
        raise UsageError(f"--model {model}: no such model", hint=f"there are {', '.join(MODELS)}")
    history = read_calls(path, format_=format_, failed_cas=failed_cas)
    name = model or history.model
    if not history.calls:
        nothing = f"no call that happened: {history.dropped} failed" if history.dropped else "no call at all"
        return Judged(history, name, Linearity("unknown", "none", 0, 0, 0, nothing))
    chosen = make_model(name, history.initial) if name else None
    if chosen is None:
        raise UsageError(_no_model(history), hint="a history is judged against one model: --model names it")
    _refuse_others(history, name, chosen.kinds)
    result = linearizable(chosen, history.calls, timeout_s=timeout_s)
    return Judged(history, name, result)


def _no_model(history: Calls) -> str:
    kinds = ", ".join(sorted({call.f for call in history.calls}))
    return f"{history.file}: no model has all of the calls {kinds}"


def _refuse_others(history: Calls, name: str, kinds: frozenset[str]) -> None:
    other: Sequence[Call] = [call for call in history.calls if call.f not in kinds]
    if other:
        known = f"it knows {', '.join(sorted(kinds))}"
        raise UsageError(f"{history.file}: {other[0].place}: {other[0].f} is no call of a {name}", hint=known)
