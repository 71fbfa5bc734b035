"""Stores whose every act on a node is a script that the node keeps.

`servers` starts what serves, `mount` mounts the store and makes its volumes' directories, `down` ends and removes;
`fresh` mounts it once more beside that (`on`), for reads that no cache answers, and takes that mount away (`off`);
`daemons/NAME` is called with `pid` or `start`. All are idempotent: after a restart of the node its entrypoint
calls `up`, which is `servers`, then `mount`, then the volume plugin. Scripts are the same on all nodes; `hostname`
tells which one it is.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.model.errors import CommandFailed
from harness.model.places import SLOWNESS_FILE, STORE_DATA, STORE_FRESH, STORE_MOUNTS, STORES_DIR
from harness.model.plan import Document, Plan, Step, StorePlan
from harness.model.topology import Topology
from harness.ports import Cluster, Daemon, Declared, Host, Progress
from harness.stores import _plugin
from harness.stores._removal import clear
from harness.transport import daemons
from harness.transport.parallel import at_once

FILES_TIMEOUT_S = 15.0
MOUNT_TIMEOUT_S = 60.0
LOOK_TIMEOUT_S = 15.0

#: How many times longer than elsewhere the node may take for all that a script waits for.
SLOW = f"$(cat {SLOWNESS_FILE} 2>/dev/null || echo 1)"
#: A shell function for scripts: `waits SECONDS COMMAND...` tries until it works; what it said last is told.
#: `$slow` is SLOW, by which it multiplies the seconds.
WAITS = (
    f"slow={SLOW}"
    + """
waits() {
  end=$(($(date +%s) + $1 * slow)); shift
  until out=$("$@" 2>&1); do
    [ "$(date +%s)" -lt "$end" ] || { echo "$* did not work in time: $out" >&2; return 1; }
    sleep 0.2
  done
}
"""
)


_FRESH = """
point={point}
case "$1" in
on)
  mkdir -p "$point"
  mountpoint -q "$point" || {{
{attach}
  }}
  mountpoint -q "$point"
  ;;
off)
  if mountpoint -q "$point"; then umount "$point" 2>/dev/null || umount -l "$point"; fi
  if [ -d "$point" ]; then rmdir "$point"; fi
  ;;
esac
"""


class Options(BaseModel):
    """Base of a store's options: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Scripts:
    """What a node keeps of a store. `down` need not unmount the store: that is done before, on all nodes.

    `fresh` is the shell's words that mount the store at `$point` by a client of its own.
    """

    servers: str
    mount: str
    down: str
    fresh: str
    daemons: Mapping[str, str] = field(default_factory=dict)
    #: Takes all room away and gives it back: `fill`, `free`, `state` (see harness/faults/disk_full.py).
    disk: str = ""
    #: Shuts the node's client out and lets it in again: `evict`, `admit`, `state` (see harness/faults/evict.py).
    client: str = ""


class Scripted:
    """A ports.Store. A kind says its options, its demands, its scripts, and the steps that make it."""

    kind: ClassVar[str]
    options: ClassVar[type[Options]]
    #: Whether it also mounts a store that exists: `managed: false` with `address`.
    adopts: ClassVar[bool] = False
    #: What may stand between several addresses of one that exists.
    addresses: ClassVar[str] = ""
    #: Whether on Swarm a volume plugin, called as the kind is, serves directories of it to each node's engine.
    plugin: ClassVar[bool] = False

    # --- what a kind says

    def scripts(self, plan: Plan, store: StorePlan) -> Scripts:
        raise NotImplementedError

    def make(self, plan: Plan, store: StorePlan) -> Iterator[Step]:
        """The steps between the nodes' having the scripts and their mounting the store."""
        raise NotImplementedError

    def misfits(self, topology: Topology, store: str, options: Any) -> Iterator[tuple[str, str]]:
        """Problems of options that are right by themselves; `options` is of the kind's model."""
        del topology, store, options
        yield from ()

    # --- the seam

    def problems(self, topology: Topology, store: str) -> list[tuple[str, str]]:
        spec = topology.stores[store]
        found = list(self._unmanaged(spec.managed, spec.address))
        try:
            options = self.options.model_validate(spec.options)
        except ValidationError as error:
            return found + [self._option_problem(each) for each in error.errors(include_url=False)]
        return [*found, *self.misfits(topology, store, options), *self._served_by_another(topology, store)]

    def _served_by_another(self, topology: Topology, store: str) -> Iterator[tuple[str, str]]:
        mine = [name for name, volume in topology.volumes.items() if volume.store == store]
        served = [name for name in mine if topology.volumes[name].via == "plugin"]
        if served and not self._is_first(topology, store):
            told = f"a node's volume plugin {self.kind} serves one store, the first"
            yield "kind", f"{told}: the volume {served[0]} cannot come via plugin"

    def _is_first(self, topology: Topology, store: str) -> bool:
        """Of its kind: that one has the volume plugin."""
        return store == next(name for name, each in topology.stores.items() if each.kind == self.kind)

    def _unmanaged(self, managed: bool, address: str | None) -> Iterator[tuple[str, str]]:
        if not managed and not self.adopts:
            yield "managed", f"a store of kind {self.kind} that exists already is not supported yet"
        elif not managed and not re.fullmatch(rf"[\w.:%{self.addresses}-]+", address or ""):
            yield "address", "a store that exists (managed: false) needs its server's name or address"
        elif managed and address:
            yield "address", "an address is that of a store that exists (managed: false)"

    def _option_problem(self, error: Any) -> tuple[str, str]:
        key = ".".join(["options", *(str(part) for part in error["loc"])])
        if error["type"] == "extra_forbidden":
            known = ", ".join(sorted(self.options.model_fields))
            return key, f"the store {self.kind} knows the options {known}, not {error['loc'][-1]!r}"
        return key, str(error["msg"]).removeprefix("Value error, ")

    def plan(self, topology: Topology, store: str) -> StorePlan:
        spec = topology.stores[store]
        return StorePlan(
            name=store,
            kind=spec.kind,
            nodes=tuple(spec.nodes or topology.cluster.nodes.names),
            mount=f"{STORE_MOUNTS}/{store}",
            volumes=tuple(name for name, volume in topology.volumes.items() if volume.store == store),
            options=self.options.model_validate(spec.options).model_dump(mode="json"),
            address="" if spec.managed else spec.address or "",
            fresh=f"{STORE_FRESH}/{store}",
        )

    def declare(self, plan: Plan, store: str) -> Declared:
        mine = plan.store(store)
        files = _files(store, self.scripts(plan, mine))
        has_plugin = self.plugin and plan.orchestrator == "swarm" and self._is_first(plan.topology, store)
        if has_plugin:
            files = _plugin.beside(mine, files)
        document = Document(f"store-{store}.sh", _installing(store, files))
        steps = [
            *each_node(plan, f"store {store}, scripts", "keep the scripts", ["sh", "-s"], document=document.name),
            *self.make(plan, mine),
            *each_node(plan, f"store {store}, mounts", "mount it", ["sh", hook(store, "mount")]),
        ]
        if has_plugin:
            argv = ["sh", hook(store, "activate")]
            steps += each_node(plan, f"store {store}, plugins", f"start the volume plugin {self.kind}", argv)
        return Declared(steps=tuple(steps), documents=(document,))

    def up(self, cluster: Cluster, plan: Plan, store: str, progress: Progress) -> None:
        declared = self.declare(plan, store)
        execute(cluster, declared.steps, {document.name: document.text for document in declared.documents})
        progress(f"store {store} ({self.kind}) is mounted on {', '.join(cluster.hosts)}")

    def mount(self, host: Host, plan: Plan, store: str, *, timeout_s: float) -> None:
        del plan  # the node knows how
        argv = ["sh", hook(store, "mount")]
        result = host.run(argv, timeout_s=timeout_s)
        if not result.ok:
            raise CommandFailed(argv, result.code, result.output, where=host.name)

    def daemons(self, cluster: Cluster, store: str) -> Mapping[str, Sequence[Daemon]]:
        return daemons.by_node(daemons.daemons(cluster, store, timeout_s=LOOK_TIMEOUT_S))

    def down(self, cluster: Cluster, store: str) -> None:
        clear(cluster, store)


def hook(store: str, name: str) -> str:
    """Where a node keeps a script of a store."""
    return f"{STORES_DIR}/{store}/{name}"


def image(plan: Plan, store: str) -> str:
    """A node's file behind a loop device: loop devices belong to the kernel, so its name carries the run."""
    return f"{STORE_DATA}/{plan.engine_name(store)}.img"


def directories(store: StorePlan) -> str:
    """The volumes of a store, made inside its mount only."""
    made = " ".join(f"{store.mount}/{name}" for name in store.volumes)
    return f"mountpoint -q {store.mount}\n" + (f"mkdir -p {made}\nchmod 1777 {made}" if made else ":")


def mounting(store: StorePlan, attach: str) -> str:
    """A script that mounts by FUSE, or anew where the client has died; `attach` is all words but for where."""
    return f"""
set -eu
{WAITS}
works() {{
  timeout 10 stat -t {store.mount}/. >/dev/null 2>&1 && mountpoint -q {store.mount} && return 0
  umount -l {store.mount} 2>/dev/null || true
  timeout 20 {attach} {store.mount} && mountpoint -q {store.mount}
}}
mkdir -p {store.mount} 2>/dev/null || true
waits 45 works
{directories(store)}
"""


def each_node(
    plan: Plan,
    phase: str,
    title: str,
    argv: Sequence[str],
    *,
    nodes: Sequence[str] = (),
    document: str = "",
    timeout_s: float = 0.0,
) -> Iterator[Step]:
    """One step on each of `nodes`, or on all."""
    limit = timeout_s or (FILES_TIMEOUT_S if document else MOUNT_TIMEOUT_S)
    for node in nodes or [node.name for node in plan.nodes]:
        yield Step(phase, title, node, tuple(argv), limit, document=document)


def _files(store: str, scripts: Scripts) -> dict[str, str]:
    """What a node keeps of a store, by its name in the store's folder."""
    up = f"sh {hook(store, 'servers')} && sh {hook(store, 'mount')}\n"
    if scripts.disk:  # nobody can heal the fault disk-full on a node that is off
        up += f"sh {hook(store, 'disk')} free\n"
    files = {"servers": scripts.servers, "mount": scripts.mount, "up": up, "down": scripts.down}
    files["fresh"] = _FRESH.format(point=f"{STORE_FRESH}/{store}", attach=scripts.fresh)
    files |= {name: text for name, text in (("disk", scripts.disk), ("client", scripts.client)) if text}
    return files | {f"daemons/{name}": text for name, text in scripts.daemons.items()}


def _installing(store: str, files: Mapping[str, str]) -> str:
    """A script that writes all files of a store on the node where it runs."""
    lines = [f"mkdir -p {shlex.quote(hook(store, 'daemons'))} {STORE_DATA}", f"cd {shlex.quote(hook(store, ''))}"]
    for name, text in files.items():
        lines += [f"cat >{shlex.quote(name)} <<'END OF SCRIPT'", text.strip("\n"), "END OF SCRIPT"]
    return "\n".join(["set -eu", *lines, ""])


def execute(cluster: Cluster, steps: Sequence[Step], documents: Mapping[str, str]) -> None:
    """All steps of a phase, on all nodes at once, end before the next phase begins. Raises CommandFailed."""
    for _, group in itertools.groupby(steps, key=lambda step: step.phase):
        mine = list(group)
        by_node = [[step for step in mine if step.node == node] for node in cluster.hosts]
        at_once([partial(_in_turn, cluster, own, documents) for own in by_node if own])


def _in_turn(cluster: Cluster, steps: Sequence[Step], documents: Mapping[str, str]) -> None:
    for step in steps:
        stdin = documents[step.document].encode() if step.document else b""
        result = cluster.hosts[step.node].run(step.argv, timeout_s=step.timeout_s, stdin=stdin)
        if not result.ok:
            raise CommandFailed(step.argv, result.code, result.output, where=f"{step.node} ({step.title})")
