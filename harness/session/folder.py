"""The folder of a run: made before the cluster, so that it holds what happened even if nothing comes up."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness import loader
from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.plan import Plan, plan_from_json, plan_to_json


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, runs_dir: Path, run: str) -> RunFolder:
        """Raises EnvironmentBroken, or UsageError, naming the folder, where it cannot be written."""
        path = runs_dir / run
        with telling(path):
            path.mkdir(parents=True)
            _point_latest_at(path)
        return cls(path)

    def write_plan(self, plan: Plan) -> None:
        with telling(self.path):
            (self.path / "topology.yaml").write_text(loader.dump(plan.topology))
            (self.path / "plan.json").write_text(json.dumps(plan_to_json(plan), indent=1) + "\n")

    def write_env(self, env: Mapping[str, Any]) -> None:
        with telling(self.path):
            (self.path / "env.json").write_text(json.dumps(env, indent=1) + "\n")

    def write_logs(self, logs: Mapping[str, str]) -> None:
        """What hosts have said that are gone by now, by file."""
        for name, text in logs.items():
            path = self.path / "logs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def read_plan(self) -> Plan:
        """Raises UsageError where there is none that this version can read."""
        file = self.path / "plan.json"
        try:
            return plan_from_json(json.loads(file.read_text()))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"{file}: {why}", hint="name a folder that `harness run` has written") from error

    def read_json(self, name: str) -> dict[str, Any]:
        """An empty mapping where the file is missing or damaged: it only adds to a report."""
        try:
            data = json.loads((self.path / name).read_text())
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}


def _point_latest_at(path: Path) -> None:
    latest = path.parent / "latest"
    new = path.parent / f".latest-{path.name}"
    if latest.exists() and not latest.is_symlink():
        return  # somebody's own file or folder: not ours to replace
    with contextlib.suppress(OSError):  # a file system without symbolic links
        new.symlink_to(path.name)
        os.replace(new, latest)


@contextlib.contextmanager
def telling(path: Path) -> Iterator[None]:
    """What refuses is said with the folder. Raises EnvironmentBroken; UsageError where none can ever be there."""
    hint = "choose another folder with --runs-dir"
    try:
        yield
    except NotADirectoryError as error:
        raise UsageError(f"{path}: a part of this path is a file", hint=hint) from error
    except OSError as error:
        raise EnvironmentBroken(f"{path}: {error.strerror}", hint=hint) from error
