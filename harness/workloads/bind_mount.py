"""bind-mount: what a container can do to its node's files, tried as the container and looked at on the node."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check, Mount
from harness.ports import Command, Commands, Container, Look, Scene
from harness.workloads._experiment import Experiment, Params, Stages

COMMAND_TIMEOUT_S = 20.0
#: Whose files the scratch directory holds besides root's: a user that no container of ours runs as.
STRANGER = "4321:4321"
_SEED = (
    'set -e; umask 022; rm -rf "$1"; mkdir "$1"; cd "$1"; '
    "for f in write delete chown secret foreign; do echo original >$f; done; "
    'chmod 600 secret foreign; chown "$2" foreign'
)
_UNSEED = 'rm -rf "$1"; ! test -e "$1"'
#: Each attempt in a shell of its own, as the container's user with the container's capabilities.
_ATTEMPTS = """
cd "$1" || exit 1
try() { name=$1; shift; if out=$(sh -c "$*" 2>&1); then echo "$name ok"; else echo "$name no $out"; fi; }
try write 'echo changed >write'
try create 'echo new >create'
try delete 'rm delete'
try chown 'chown 4321 chown'
try foreign 'echo changed >foreign'
try secret 'read -r line <secret'
try mknod 'mknod mknod c 1 3'
try rootfs 'echo x >/harness-probe && rm /harness-probe'
"""
_LOOK = (
    'cd "$1" && for f in write create delete chown foreign mknod; do '
    'if [ -e $f ]; then echo "$f $(stat -c "%u %F" $f | tr " " _) $([ -f $f ] && head -c 20 $f)"; '
    'else echo "$f absent"; fi; done'
)


class BindMountParams(Params):
    service: str | None = Field(
        None, description="The service whose containers try; default: all with a bind mount"
    )


class _Bind(NamedTuple):
    container: Container
    mount: Mount
    directory: str

    @property
    def key(self) -> str:
        return f"{self.container.service}|{self.mount.source}"

    @property
    def on_node(self) -> str:
        return f"{(self.mount.source or '').rstrip('/')}/{self.directory}"

    @property
    def inside(self) -> str:
        return f"{self.mount.target.rstrip('/')}/{self.directory}"


def run(params: BindMountParams, check: Check, plan: Plan, rng: random.Random) -> Stages:  # noqa: ARG001
    scene = yield Look("start")
    binds = list(_binds(params, plan, scene))
    if not binds:
        raise UsageError(f"check {check.id}: no container that runs has a bind mount of a directory of its node")
    yield Commands(tuple(_seed(bind) for bind in binds))
    yield Commands(tuple(_attempt(bind) for bind in binds))
    yield Commands(tuple(_look(bind) for bind in binds))


def _binds(params: BindMountParams, plan: Plan, scene: Scene) -> Iterator[_Bind]:
    for container in scene.containers:
        service = plan.topology.services[container.service]
        for mount in service.volumes if params.service in (None, container.service) else ():
            if mount.type == "bind" and mount.source:
                yield _Bind(container, mount, f"{plan.cluster}-{container.name}")


def _seed(bind: _Bind) -> Command:
    """Files of root's and of a stranger's, on the node, in a directory that bears the run's name."""
    argv = ("sh", "-c", _SEED, "sh", bind.on_node, STRANGER)
    undo = ("sh", "-c", _UNSEED, "sh", bind.on_node)
    return Command(
        bind.container.node, f"files for {bind.key}", argv, COMMAND_TIMEOUT_S, undo, bind.container.name
    )


def _attempt(bind: _Bind) -> Command:
    """Through the engine, so that user, capabilities and seccomp are the container's own."""
    argv = ("docker", "exec", bind.container.id, "sh", "-c", _ATTEMPTS, "sh", bind.inside)
    return _command(bind, argv, "attempts")


def _look(bind: _Bind) -> Command:
    """What the node says of the same files: a container's word proves nothing."""
    return _command(bind, ("sh", "-c", _LOOK, "sh", bind.on_node), "node-files")


def _command(bind: _Bind, argv: tuple[str, ...], f: str) -> Command:
    return Command(bind.container.node, bind.key, argv, COMMAND_TIMEOUT_S, at=bind.container.name, f=f)


WORKLOAD = Experiment(
    "bind-mount", BindMountParams, run, on_nodes=True, subject=("swarm", "`docker run` and what it tells of binds")
)
