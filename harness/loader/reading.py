"""From a path to text. What cannot be a topology is refused before a parser sees it."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from harness.loader.problems import Problems
from harness.loader.tree import Place

MAX_BYTES = 1 << 20


def read_text(path: Path, problems: Problems) -> str:
    """The text of a topology file. Raises TopologyError."""
    try:
        data = _read(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this is no path"
        problems.add(Place(str(path), 1, 1), "", f"cannot be read: {reason}")
        problems.fail()
    return decode(data, str(path), problems)


def decode(data: bytes, file_name: str, problems: Problems) -> str:
    """UTF-8 text from bytes. Raises TopologyError for what is too large or not text."""
    check_size(len(data), file_name, problems)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(Place(file_name, line, 1), "", "is a binary file or not UTF-8: a topology is text in UTF-8")
        problems.fail()
    return text


def check_size(size: int, file_name: str, problems: Problems) -> None:
    if size > MAX_BYTES:
        message = "is larger than 1 MiB: this is not a topology, or too much of one"
        problems.add(Place(file_name, 1, 1), "", message)
        problems.fail()


def _read(path: Path) -> bytes:
    """Raises OSError with words for people; reads a little more than is allowed at most."""
    kind = path.stat().st_mode
    if stat.S_ISDIR(kind):
        raise OSError(errno.EISDIR, "it is a directory, name a topology file in it")
    if not stat.S_ISREG(kind):
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
