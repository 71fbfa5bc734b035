"""Folders of runs as rows. What else lies there is named and left out; nothing is changed, nothing remembered."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from harness.model.errors import UsageError
from harness.model.run import SCHEMA
from harness.model.verdict import Outcome

RESULTS, REPORT, COMPARISON = "results.json", "report.html", "compare.json"
#: The results of the largest topologies have a few MiB.
MAX_BYTES = 32 * 2**20


class _Check(BaseModel):
    id: str
    name: str
    verdict: Outcome
    reason: str
    figures: dict[str, Any]
    duration_s: float


class _Skip(BaseModel):
    check: str
    part: str
    needs: str


class Row(BaseModel):
    """What results.json says of a run, as far as a record needs it; keys beyond that are no matter here."""

    model_config = ConfigDict(frozen=True)

    version: int = Field(alias="schema", strict=True)
    run: str = Field(min_length=1)
    topology: str
    provider: str
    orchestrator: str
    verdict: Outcome
    error: str | None
    started: datetime
    duration_s: float
    checks: list[_Check]
    skipped: list[_Skip]
    settings: dict[str, str] = {}
    series: str = ""
    attempt: int = 1


_ROW = TypeAdapter(Row)


@dataclass(frozen=True)
class LeftOut:
    """A folder that is no run that can be read, and why."""

    folder: str
    why: str


@dataclass(frozen=True)
class Folder:
    """`runs` are in the order of their starts. `comparisons` are folders that `harness compare` has left."""

    path: Path
    runs: list[tuple[str, Row]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    comparisons: list[str] = field(default_factory=list)
    reports: frozenset[str] = frozenset()


class _Refused(Exception):
    """A folder is left out."""


def read(path: Path) -> Folder:
    """Every folder in `path`. Raises UsageError where it is no folder, or cannot be listed."""
    runs: dict[str, tuple[str, Row]] = {}
    found = Folder(path)
    for name in _folders(path):
        if (path / name / COMPARISON).is_file():
            found.comparisons.append(name)
            continue
        try:
            row = _row(path / name)
            if row.run in runs:
                raise _Refused(f"the same run as {runs[row.run][0]}: a run counts once")
            runs[row.run] = (name, row)
        except _Refused as refused:
            found.left_out.append(LeftOut(name, str(refused)))
    ordered = sorted(runs.values(), key=lambda each: (each[1].started, each[1].run))
    reports = frozenset(name for name, _ in ordered if (path / name / REPORT).is_file())
    return Folder(path, ordered, found.left_out, found.comparisons, reports)


def _folders(path: Path) -> Iterator[str]:
    """Names of folders, sorted. Links (`latest`) lead to runs that are there by themselves."""
    try:
        with os.scandir(path) as entries:
            yield from sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and e.name[0] != ".")
    except OSError as error:
        hint = "name the folder that holds the runs, such as runs"
        raise UsageError(f"{path}: {error.strerror}", hint=hint) from error


def _row(folder: Path) -> Row:
    raw = _bytes(folder)
    try:
        row = _ROW.validate_json(raw)
    except ValidationError as error:
        raise _Refused(_why(raw, error)) from error
    if row.version != SCHEMA:
        raise _Refused(_other_version(row.version))
    if row.started.tzinfo is None:
        row = row.model_copy(update={"started": row.started.replace(tzinfo=UTC)})
    return row


def _bytes(folder: Path) -> bytes:
    file = folder / RESULTS
    try:
        if not file.is_file():  # a pipe of that name would never end
            raise _Refused(_without_results(folder))
        if file.stat().st_size > MAX_BYTES:
            raise _Refused(f"its {RESULTS} is larger than {MAX_BYTES // 2**20} MiB")
        return file.read_bytes()
    except OSError as error:
        raise _Refused(f"its {RESULTS} cannot be read: {error.strerror}") from error


def _without_results(folder: Path) -> str:
    if (folder / "plan.json").exists():
        return f"half a run: it goes on, or ended before it wrote its results (`harness check {folder}` judges it)"
    return f"no run: there is no {RESULTS}"


def _why(raw: bytes, error: ValidationError) -> str:
    """In words: not JSON, of another version, or what it lacks."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return f"its {RESULTS} is no JSON (cut off, or not ours): {first['msg'].removeprefix('Invalid JSON: ')}"
    version = _version(raw)
    if version is not None and version != SCHEMA:
        return _other_version(version)
    where = ".".join(str(part) for part in first["loc"])
    return f"its {RESULTS} is not one of harness's: {where}: {first['msg'].lower()}" if where else "no run of ours"


def _version(raw: bytes) -> int | None:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    version = data.get("schema") if isinstance(data, dict) else None
    return version if isinstance(version, int) else None


def _other_version(version: int) -> str:
    age = "a later" if version > SCHEMA else "another"
    return f"written by {age} version of harness (schema {version}; this one reads {SCHEMA})"


def numbers(figures: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The figures that are numbers."""
    for name, value in figures.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)
