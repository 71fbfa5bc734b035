"""Live clusters with shipped topologies, for tests that break something on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness import session
from harness.model.places import data_dir
from harness.ports import Container, Host
from harness.session import Bench, Options

TIMEOUT_S = 20.0


@contextmanager
def live_bench(topology: str | Path, folder: Path, **settings: str) -> Iterator[Bench]:
    """A cluster with topologies/<topology>.yaml, or the one of a path, taken down at the end. `settings` are laid
    over it, with `__` for the dots of a key.
    """
    laid_over = tuple((key.replace("__", "."), value) for key, value in settings.items())
    options = Options(seed=1, settings=laid_over)
    path = topology if isinstance(topology, Path) else data_dir("topologies") / f"{topology}.yaml"
    loaded = session.topology_of(path, options)
    live = session.up(session.make_plan(loaded, options, run=session.new_run()), quiet)
    try:
        with Bench(live, folder, quiet) as made:
            yield made
    finally:
        session.down(live.cluster.name)


def quiet(_line: str) -> None:
    pass


def containers(bench: Bench, service: str | None = None) -> list[Container]:
    return list(bench.live.orchestrator.containers(bench.live.cluster, bench.live.plan, service))


def container(bench: Bench, name: str) -> Container:
    return next(each for each in containers(bench) if each.name == name)


def done(host: Host, argv: Sequence[str], stdin: str = "") -> str:
    """The output of a command that must succeed."""
    result = host.run(argv, timeout_s=TIMEOUT_S, stdin=stdin.encode())
    assert result.ok, result.output
    return result.stdout


@contextmanager
def dropped(host: Host, *match: str) -> Iterator[None]:
    """What a node gets over the wire and iptables matches is dropped, before any NAT."""
    rule = ("PREROUTING", "-i", "eth0", *match, "-j", "DROP")
    done(host, ["iptables", "-t", "raw", "-A", *rule])
    try:
        yield
    finally:
        done(host, ["iptables", "-t", "raw", "-D", *rule])


@contextmanager
def listening(host: Host, argv: Sequence[str]) -> Iterator[None]:
    """A process on a node that says `listening` once it does, and ends with the block."""
    channel = host.channel(["sh", "-c", 'echo $$; exec "$@"', "sh", *argv])
    pid = channel.receive(TIMEOUT_S)
    assert pid is not None
    try:
        assert channel.receive(TIMEOUT_S) == b"listening\n"
        yield
    finally:
        done(host, ["kill", pid.decode().strip()])
        channel.close()
