"""Texts that reports share: numbers for people, files for programs."""

from __future__ import annotations

import math
import os
import re
import shlex
from pathlib import Path
from typing import Any

from harness.model.errors import EnvironmentBroken
from harness.model.run import Run

# Neither XML 1.0 (section 2.2) nor a terminal may be given these.
_CONTROL = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0001fffd]")

_UNITS = {
    "gbit_s": "Gbit/s", "mbit_s": "Mbit/s", "mib_s": "MiB/s", "per_s": "a second",
    "bytes": "bytes", "percent": "%", "ms": "ms", "us": "µs", "s": "s",
}  # fmt: skip
_BAD = (("fail", "failed"), ("unknown", "could not be judged"))


def clean(text: object, limit: int = 4000) -> str:
    """`text` without control characters, cut at `limit` characters; what was removed shows as U+FFFD."""
    whole = _CONTROL.sub("\ufffd", str(text))
    return whole if len(whole) <= limit else f"{whole[: limit - 1]}…"


def seconds(value_s: float) -> str:
    """A duration to three figures, in the unit that suits it: `340 µs`, `2.35 s`, `4 min 5 s`."""
    if value_s >= 120:
        return f"{int(value_s // 60)} min {int(value_s % 60)} s"
    for factor, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value_s >= factor:
            return f"{figure(value_s / factor)} {unit}"
    return "0 s" if value_s <= 0 else f"{figure(value_s / 1e-9)} ns"


def rate(bits_per_s: float) -> str:
    """Bits a second with the unit that suits it: `11.4 Gbit/s`."""
    for factor, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bits_per_s >= factor:
            return f"{figure(bits_per_s / factor)} {unit}"
    return f"{figure(bits_per_s)} bit/s"


def figure(value: object) -> str:
    """A number with at most three figures after the leading ones are kept; other values as they are."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return clean(value, 200)
    if not math.isfinite(value):
        return "none"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def labelled(name: str, value: object) -> tuple[str, str]:
    """A figure's name in words and its value with its unit: `rtt_p50_us`, 81.0 -> `rtt p50`, `81 µs`."""
    for suffix, unit in _UNITS.items():
        if name.endswith(f"_{suffix}"):
            return clean(name.removesuffix(f"_{suffix}").replace("_", " "), 80), f"{figure(value)} {unit}"
    return clean(name.replace("_", " "), 80), figure(value)


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: list[str], most: int = 4) -> str:
    """`a, b and c`; beyond `most` the rest is counted."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def headline(run: Run) -> str:
    """One sentence that says what the run showed; of a later try also how those before it ended."""
    return " ".join(filter(None, (_shown(run), tried(run))))


def tried(run: Run) -> str:
    """How the tries before this one ended, and which checks passed only now; empty where there was none."""
    if not run.tries:
        return ""
    flaky = [check.id for check in run.checks if run.is_flaky(check)]
    before = f"Try {run.attempt}; before: {listed([each.ended for each in run.tries], 8)}."
    return before + (f" Flaky: {listed(flaky)}." if flaky else "")


def _shown(run: Run) -> str:
    if run.error is not None:
        return f"The run broke off: {clean(run.error.splitlines()[0] if run.error else 'no reason given', 300)}"
    if not run.checks:
        return "No check ran, so nothing is known."
    parts = [(word, [check.id for check in run.checks if check.verdict == verdict]) for verdict, word in _BAD]
    bad = [f"{len(ids)} {word}: {listed(ids)}" for word, ids in parts if ids]
    if bad:
        return f"Of {plural(len(run.checks), 'check')}, {'; '.join(bad)}."
    skipped = f"; {plural(len(run.all_skipped), 'part')} skipped" if run.all_skipped else ""
    return f"{'The check' if len(run.checks) == 1 else f'All {len(run.checks)} checks'} passed{skipped}."


def again(run: Run, folder: Path | str) -> dict[str, str]:
    """The commands that run the same plan again and judge this history again."""
    place = str(folder)
    return {
        "run": shlex.join(["harness", "run", f"{place}/topology.yaml", "--seed", str(run.seed)]),
        "check": shlex.join(["harness", "check", place]),
        "report": shlex.join(["harness", "report", place]),
    }


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity (RFC 8259, section 6): they become null. numpy scalars become numbers."""
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def write_text(path: Path, text: str) -> None:
    """Replace `path` whole: a reader sees the old file or the new one. Raises EnvironmentBroken."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise EnvironmentBroken(
            f"cannot write {path}: {error.strerror}", hint="free some space there, or name another --runs-dir"
        ) from error
