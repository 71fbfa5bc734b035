"""Which format a history has, by what stands in it, and its calls."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from harness.foreign._etcd import read_etcd
from harness.foreign._jepsen import read_edn
from harness.foreign._own import read_own
from harness.model.calls import Calls
from harness.model.errors import UsageError

#: What a failed cas says: `observed`, that the register held something else; `not-done`, nothing.
FailedCas = Literal["observed", "not-done"]

FORMATS = {
    "harness": "a run folder, history.parquet or history/*.jsonl of ours",
    "edn": "Jepsen's or Knossos' history in EDN",
    "kv": "Porcupine's key-value log",
    "etcd": "Jepsen's log of etcd, as in Porcupine's tests",
}
_PARQUET = b"PAR1"
_BEFORE_EDN = re.compile(r"(?:[\s,]+|;[^\n]*)*")
_LOG = re.compile(r"\s*(?:TRACE|DEBUG|INFO|WARN|ERROR)\s")


def read_calls(path: Path, *, format_: str | None = None, failed_cas: FailedCas | None = None) -> Calls:
    """The calls of a history. `format_` (one of FORMATS) and `failed_cas` override what the content suggests.

    Raises UsageError, with the line where there is one, for whatever cannot be read or understood.
    """
    if format_ and format_ not in FORMATS:
        raise UsageError(f"--format {format_}: no such format", hint=f"there are {', '.join(FORMATS)}")
    if not path.exists():
        raise UsageError(f"{path}: there is no such history")
    if path.is_dir() or format_ == "harness":
        if format_ not in (None, "harness"):
            raise UsageError(f"{path} is a folder; a history in {FORMATS[format_ or '']} is a file")
        return read_own(path)
    content = _content(path)
    if content.startswith((_PARQUET, b'{"')) and not format_:
        return read_own(path)
    text = _text(path, content)
    form = format_ or _recognised(path, text)
    if form == "etcd":
        return read_etcd(str(path), text, failed_cas_is_seen=failed_cas != "not-done")
    return read_edn(str(path), text, failed_cas_is_seen=failed_cas == "observed", store=form == "kv")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _text(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}:{line}: byte {error.start} is no UTF-8: the file is binary, or damaged"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UsageError(f"{path}:{line}: a NUL byte: the file is binary, or damaged")
    return text


def _recognised(path: Path, text: str) -> str:
    before = _BEFORE_EDN.match(text)
    first = text[before.end() : before.end() + 1] if before else ""
    if first in ("[", "(", "{", "#", ""):
        return "edn"
    if _LOG.match(text):
        return "etcd"
    line = text.count("\n", 0, text.index(first)) + 1
    known = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    raise UsageError(f"{path}:{line}: no history in a format that is known", hint=f"--format names one: {known}")
