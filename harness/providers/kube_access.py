"""The way into a Kubernetes that exists: its kubeconfig, a context of it, and kubectl on this machine.

What the kubeconfig keeps secret is taken out of everything that kubectl says, so that it reaches no log.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.model.errors import UsageError
from harness.model.places import cache_dir
from harness.model.topology import Cluster
from harness.ports import Progress
from harness.providers.debian import cached_program
from harness.transport.kubectl import KubectlHost

CALL_TIMEOUT_S = 30.0
SUITE, PACKAGE, PROGRAM = "trixie", "kubernetes-client", "usr/bin/kubectl"
_HINT = "--kubeconfig FILE, or KUBECONFIG, names one"
#: What a kubeconfig says of a user that is no secret: how a program is called that gets one.
_OPEN = ("command", "args", "apiVersion", "interactiveMode", "installHint", "provideClusterInfo")
#: Shorter texts are words that may stand anywhere.
_SHORTEST_SECRET = 6


@dataclass(frozen=True)
class Access:
    """`kubeconfig` None: kubectl's own search. `namespace` None: one of ours is made for every run."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None

    @property
    def client(self) -> tuple[str, ...]:
        """As plans write it."""
        return Cluster(
            provider="existing",
            orchestrator="kubernetes",
            kubeconfig=str(self.kubeconfig) if self.kubeconfig else None,
            context=self.context,
        ).kubectl

    def api(self, progress: Progress) -> KubectlHost:
        """Raises UsageError as `read`, EnvironmentBroken without kubectl."""
        secrets = sorted({secret for each in self.read() for secret in _secrets(each)}, key=len, reverse=True)
        return KubectlHost(program(progress), lambda text: _redacted(text, secrets))

    def read(self) -> list[Any]:
        """What its files hold. Raises UsageError for a file, or a context, that is not there."""
        told = [_read(path) for path in self._files()]
        self._require(told)
        return told

    def _files(self) -> list[Path]:
        """As kubectl looks for them."""
        if self.kubeconfig:
            return [self.kubeconfig]
        listed = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
        return [path for path in listed or [Path.home() / ".kube" / "config"] if path.exists()]

    def _require(self, told: list[Any]) -> None:
        if not told:
            raise UsageError("there is no kubeconfig", hint=_HINT)
        files = ", ".join(str(path) for path in self._files())
        contexts = sorted({name for each in told for name in _contexts(each)})
        if not contexts:
            raise UsageError(f"{files}: the kubeconfig has no contexts", hint=_HINT)
        known = ", ".join(contexts)
        if self.context and self.context not in contexts:
            raise UsageError(f"{files}: the kubeconfig has no context {self.context!r}", hint=f"it has {known}")
        if not self.context and not any(isinstance(e, dict) and e.get("current-context") for e in told):
            raise UsageError(
                f"{files}: the kubeconfig names no current context", hint=f"--context NAME; its contexts: {known}"
            )


def _read(path: Path) -> Any:
    """Its words stay here: a message about what is wrong in it might quote a secret. Raises UsageError."""
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", hint=_HINT) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: not a kubeconfig: not YAML") from None


def _contexts(told: Any) -> Iterator[str]:
    for entry in _list(told, "contexts"):
        if isinstance(entry.get("name"), str):
            yield entry["name"]


def _secrets(told: Any) -> Iterator[str]:
    for entry in _list(told, "users"):
        yield from _texts(entry.get("user"))


def _list(told: Any, key: str) -> list[dict[str, Any]]:
    found = told.get(key) if isinstance(told, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _texts(value: Any, key: str = "") -> Iterator[str]:
    if key in _OPEN:
        return
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, key)
    elif key == "tokenFile":
        yield from _of_file(str(value))
    elif len(str(value)) >= _SHORTEST_SECRET and key not in ("username", "name"):
        yield str(value)


def _of_file(path: str) -> Iterator[str]:
    try:
        yield Path(path).read_text().strip()
    except OSError:
        return


def _redacted(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def program(progress: Progress) -> str:
    """The path of kubectl: from PATH, else Debian's, unpacked into the cache."""
    if found := shutil.which("kubectl"):
        return found
    return cached_program(PACKAGE, SUITE, PROGRAM, cache_dir() / "kind" / f"kubectl-{SUITE}", progress)
