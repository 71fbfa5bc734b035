"""A docker client that is a small program over a file, and other programs on a PATH of the test's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from harness.providers.engine import Engine

PROGRAM = Path(__file__).with_name("docker_program.py")


class FakeDocker:
    """`program` is what stands for `docker`; `state` what the engine behind it has."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "engine.json"
        self.program = executable(
            folder / "bin" / "docker",
            f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(PROGRAM.parent)!r})\n"
            f"from {PROGRAM.stem} import main\nmain({str(self._file)!r}, sys.argv[1:])\n",
        )
        empty: dict[str, Any] = {"containers": {}, "networks": {}, "volumes": {}, "images": {}}
        knobs = {"calls": [], "failures": [], "taken": [], "tables": [], "stubborn": 0}
        self._file.write_text(json.dumps({**empty, **knobs, "version": "26.1.5", "driver": "overlay2"}))

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.read_text())
        return found

    def change(self, **values: Any) -> None:
        self._file.write_text(json.dumps({**self.state, **values}))

    def fail(
        self, when: str, says: str, *, code: int = 1, times: int = 1, loses: str = "", late: bool = False
    ) -> None:
        """The next `times` calls whose words contain `when` end with `code` and say `says`; by then another client
        has removed everything whose name holds `loses`. Where it is `late`, the call was half done.
        """
        failure = {"when": when, "says": says, "code": code, "times": times, "loses": loses, "late": late}
        self.change(failures=[*self.state["failures"], failure])

    def engine(self, *, own: bool = True) -> Engine:
        return Engine("unix:///nowhere/docker.sock", (str(self.program),), own=own, version="26.1.5")

    def calls(self, *words: str) -> list[list[str]]:
        found: list[list[str]] = [call for call in self.state["calls"] if call[: len(words)] == list(words)]
        return found


def script(path: Path, body: str) -> Path:
    """An executable shell script."""
    return executable(path, f"#!/bin/sh\n{body}\n")


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path
