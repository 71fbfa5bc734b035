"""Containers of ours on a node: all carry the run; those that stand by themselves are no task of Swarm's."""

from __future__ import annotations

from harness.faults import _wire
from harness.model.plan import LABEL
from harness.ports import Host

_FORMAT = '{{.ID}} {{.Label "com.docker.swarm.task.id"}}'


def start_exited(host: Host, timeout_s: float) -> list[str]:
    """Start the plain containers that have ended; Swarm makes its tasks anew by itself. Returns their ids."""
    which = ("--all", "--filter", f"label={LABEL}", "--filter", "status=exited", "--format", _FORMAT)
    listed = _wire.run(host, ["docker", "ps", *which], timeout_s)
    plain = [words[0] for words in map(str.split, listed.splitlines()) if len(words) == 1]
    if plain:
        _wire.run(host, ["docker", "start", *plain], timeout_s)
    return plain


def running(host: Host, service: str | None, timeout_s: float) -> list[str]:
    """Ids of the containers of a service, or of all."""
    of = ("--filter", f"label=harness.service={service}") if service else ()
    argv = ["docker", "ps", "--no-trunc", "--quiet", "--filter", f"label={LABEL}", *of]
    return _wire.run(host, argv, timeout_s).split()
