"""From a path to text. What cannot be a topology is refused before a parser sees it."""

from __future__ import annotations

from pathlib import Path

from harness.loader.problems import Problems
from harness.loader.tree import Place

MAX_BYTES = 1 << 20


def read_text(path: Path, problems: Problems) -> str:
    """The text of a topology file. Raises TopologyError."""
    if path.is_dir():
        _refuse(problems, path, "is a directory: name a topology file in it")
    if not path.exists():
        _refuse(problems, path, "there is no such file")
    if not path.is_file():
        _refuse(problems, path, "is not a regular file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        _refuse(problems, path, f"cannot be read: {error.strerror}")
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


def _refuse(problems: Problems, path: Path, message: str) -> None:
    problems.add(Place(str(path), 1, 1), "", message)
    problems.fail()
