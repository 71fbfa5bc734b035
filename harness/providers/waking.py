"""Machines asleep and awake: a snapshot of them is taken by `virsh save`, and woken under the names of a run.

Both sides of a snapshot are made at one moment: the processors of all machines stand still before the first one is
saved, and none goes on before the last one is there. Their connections with each other outlive it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from harness.model.errors import CommandFailed, EnvironmentBroken, Unreachable
from harness.model.places import data_dir, vms_dir
from harness.model.plan import Plan, cluster_name
from harness.providers import snapshot_xml, snapshots
from harness.providers.box import Box
from harness.providers.guests import GuestHost, guests
from harness.providers.libvirt import POOL, Libvirt, within
from harness.providers.save_image import Head, NotAnImage, read_head, write_head
from harness.providers.snapshot_xml import Naming
from harness.providers.snapshots import NETWORKS, Disk, Snapshot
from harness.providers.vagrant_plan import RUN_VARIABLE, Guest
from harness.transport.parallel import at_once
from harness.transport.process import run_process

#: A gigabyte of memory, written to a disk that others use as well.
SAVE_TIMEOUT_S = 300.0
COPY_TIMEOUT_S = 300.0
CALL_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 60.0
#: A guest knows neither what time it is nor that another one may have been woken from the same memory.
_AWAKE = 'date -u -s "@$1" >/dev/null && cat >/dev/urandom'
_PACK = """
set -eo pipefail
if command -v zstd >/dev/null; then
  tail -c "+$2" "$1" | zstd -q -1 -T0 -o "$3.zst"
else
  tail -c "+$2" "$1" >"$3"
fi
"""
_UNPACK = 'case $1 in *.zst) zstd -q -d -c "$1" >>"$2" ;; *) cat "$1" >>"$2" ;; esac'


@dataclass(frozen=True)
class Maker:
    """Where machines of `run` are made: their libvirt, and the run's own folder, which goes with it."""

    libvirt: Libvirt
    run: str
    folder: Path

    def call(self, *argv: str, timeout_s: float) -> str:
        """A program in the namespaces of the libvirt. Raises CommandFailed."""
        full = within(self.libvirt, argv)
        env = {**os.environ, RUN_VARIABLE: self.run}
        result = run_process(full, timeout_s=timeout_s, stdin=b"", where="this machine", env=env)
        if not result.ok:
            raise CommandFailed(full, result.code, result.output)
        return result.stdout

    def define(self, verb: str, name: str, xml: str, *before: str) -> None:
        file = self.folder / f"{name}.xml"
        file.write_text(xml)
        self.libvirt.tell(verb, *before, str(file))


def place(libvirt: Libvirt, plan: Plan, box: Box, driver: str) -> Path:
    """Where a snapshot of the plan's machines is, by a hash of all that they are made of. A box that was built
    anew has another key of its host; a kernel that lent no processor may do so as another one.
    """
    about = Path("/proc/cpuinfo").read_text().partition("\n\n")[0] if driver == "kvm" else ""
    processor = [line for line in about.splitlines() if line.startswith(("model name", "flags"))]
    recipe = (data_dir("vagrant") / "Vagrantfile").read_bytes() + "".join(processor).encode()
    what = snapshots.facts(
        plan,
        driver=driver,
        box=f"{box.folder.name} {box.host_key}",
        recipe=hashlib.sha256(recipe).hexdigest(),
        versions=libvirt.tell("version"),
        machine=f"{platform.release()} {Path('/dev/kvm').exists()}",
    )
    return vms_dir() / "snapshots" / snapshots.name_of(what)


def used(libvirt: Libvirt) -> set[str]:
    """Snapshots whose disks lie below those of machines that are there."""
    return {guest.snapshot for guest in guests(libvirt)} - {""}


def discard(libvirt: Libvirt, snapshot: Snapshot) -> None:
    """Remove it, but for one that other machines stand on."""
    if snapshot.name not in used(libvirt) and snapshot.folder.exists():
        snapshots.discard(snapshot.folder)


# --- taking


def take(maker: Maker, found: Sequence[Guest], addresses: Mapping[str, str]) -> Path:
    """A snapshot of running machines, which are off afterwards. `addresses` map MACs to those of the control link.
    Returns its folder.

    It is made in the run's folder, so that what a killed harness left half-made goes with the run. Raises
    CommandFailed, OSError, EnvironmentBroken.
    """
    new = maker.folder / "snapshot"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    subnets = {which: _keep_network(maker, which, new) for which in NETWORKS}
    at_once([partial(maker.libvirt.tell, "suspend", guest.domain) for guest in found])
    taken_s = time.time()
    disks = at_once([partial(_save, maker, guest, new) for guest in found])
    snapshots.write_receipt(
        Snapshot(
            folder=new,
            taken=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(taken_s)),
            taken_s=taken_s,
            wire=subnets["wire"],
            control=subnets["control"],
            addresses={guest.node: addresses[guest.mac] for guest in found},
            disks={guest.node: disk for guest, disk in zip(found, disks, strict=True)},
            files=snapshots.sizes(new),
        )
    )
    return new


def _keep_network(maker: Maker, which: str, new: Path) -> str:
    text = maker.libvirt.tell("net-dumpxml", f"{cluster_name(maker.run)}-{which}")
    (new / f"{which}.xml").write_text(text)
    return snapshot_xml.subnet_of(text)


def _save(maker: Maker, guest: Guest, new: Path) -> Disk:
    whole, head, memory = (new / f"{guest.node}.{what}" for what in ("saved", "head", "memory"))
    maker.libvirt.tell("save", guest.domain, str(whole), "--paused", timeout_s=SAVE_TIMEOUT_S)
    with whole.open("rb") as stream:
        found = _read(stream)
        behind = stream.tell()
    with head.open("wb") as out:
        write_head(found, out)
    maker.call("bash", "-c", _PACK, "pack", str(whole), str(behind + 1), str(memory), timeout_s=COPY_TIMEOUT_S)
    whole.unlink()
    disk = new / f"{guest.node}.qcow2"
    path = snapshot_xml.disk_of(found.xml)
    maker.call("cp", "--sparse=always", "--reflink=auto", path, str(disk), timeout_s=COPY_TIMEOUT_S)
    told = json.loads(maker.call("qemu-img", "info", "--output=json", str(disk), timeout_s=CALL_TIMEOUT_S))
    below = told.get("full-backing-filename", "")
    return Disk(int(told["virtual-size"]), below, _identity(maker, below))


def _read(stream: IO[bytes]) -> Head:
    try:
        return read_head(stream)
    except NotAnImage as error:
        raise EnvironmentBroken(f"what libvirt saved cannot be read: {error}") from error


def _identity(maker: Maker, path: str) -> str:
    """Size and time of change of the disk that all others lie over; empty where there is none."""
    return maker.call("stat", "--format=%s %Y", path, timeout_s=CALL_TIMEOUT_S).strip() if path else ""


# --- waking


def flaw(maker: Maker, snapshot: Snapshot) -> str:
    """Why machines cannot be made of it; empty where nothing is seen that would forbid it."""
    if found := snapshot.flaw():
        return found
    if snapshots.is_old(snapshot):
        return f"it was taken at {snapshot.taken}"
    for node, disk in snapshot.disks.items():
        try:
            same = _identity(maker, disk.below) == disk.below_is
        except CommandFailed:
            same = False
        if not same:
            return f"the disk of {node} lies over {disk.below}, which is another one now"
    return ""


def in_the_way(snapshot: Snapshot, taken: Sequence[str]) -> str:
    """A subnet of `taken` that overlaps one of the snapshot's; empty where there is none."""
    mine = [ipaddress.ip_network(text) for text in (snapshot.wire, snapshot.control)]
    for text in taken:
        other = ipaddress.ip_network(text, strict=False)
        if other.version == 4 and any(other.overlaps(each) for each in mine):
            return text
    return ""


def lay_out(maker: Maker, snapshot: Snapshot, about: Mapping[str, Mapping[str, str]]) -> dict[str, Head]:
    """Networks, disks and machines of the run, all of them off: from here on the snapshot is seen to be used.
    `about` is what each node's description says beside what the snapshot knows. Returns the heads of the memories.
    """
    heads = {node: _head_for(maker, snapshot, node, dict(more)) for node, more in about.items()}
    hosts = {snapshot_xml.mac_of(head.xml, "control"): snapshot.addresses[node] for node, head in heads.items()}
    for which in NETWORKS:
        text = (snapshot.folder / f"{which}.xml").read_text()
        maker.define("net-define", which, snapshot_xml.network(text, maker.run, hosts))
        maker.libvirt.tell("net-start", f"{cluster_name(maker.run)}-{which}")
    for node, head in heads.items():
        name = Path(snapshot_xml.disk_of(head.xml)).name
        xml = snapshot_xml.volume(name, snapshot.disks[node].capacity_bytes, str(snapshot.disk(node)))
        maker.define("vol-create", f"{node}-disk", xml, POOL)
        maker.define("define", node, head.xml)
    return heads


def _head_for(maker: Maker, snapshot: Snapshot, node: str, more: dict[str, str]) -> Head:
    with (snapshot.folder / f"{node}.head").open("rb") as stream:
        old = _read(stream)
    known = {"snapshot": snapshot.name, "woken": snapshot.taken, "control": snapshot.addresses[node]}
    about = {**snapshot_xml.about_of(old.xml), **more, **known, "run": maker.run}
    naming = Naming(maker.run, str(uuid.uuid4()), about, str(maker.folder / f"{node}.log"))
    return replace(old, xml=snapshot_xml.machine(old.xml, naming))


def wake(maker: Maker, snapshot: Snapshot, heads: Mapping[str, Head]) -> None:
    """Every machine goes on where it stood still, all at one moment. Raises CommandFailed, OSError."""
    at_once([partial(_restore, maker, snapshot, node, head) for node, head in heads.items()])
    at_once([partial(maker.libvirt.tell, "resume", f"{cluster_name(maker.run)}-{node}") for node in heads])


def _restore(maker: Maker, snapshot: Snapshot, node: str, head: Head) -> None:
    whole = maker.folder / f"{node}.saved"
    whole.touch(mode=0o600)
    try:
        with whole.open("wb") as out:
            write_head(head, out)
        memory = str(snapshot.memory(node))
        maker.call("bash", "-c", _UNPACK, "unpack", memory, str(whole), timeout_s=COPY_TIMEOUT_S)
        maker.libvirt.tell("restore", str(whole), "--paused", timeout_s=SAVE_TIMEOUT_S)
    finally:
        whole.unlink()


def greet(host: GuestHost) -> None:
    """The machine learns the time, and gets random numbers of its own. Raises CommandFailed, Unreachable."""
    _await_answer(host)
    argv = ["sh", "-c", _AWAKE, "awake", f"{time.time():.6f}"]
    result = host.run(argv, timeout_s=CALL_TIMEOUT_S, stdin=os.urandom(64))
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name, doing="setting its clock")


def _await_answer(host: GuestHost) -> None:
    """A machine that has just been woken takes a moment to hear. The connection is kept: it outlasts a setting."""
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while True:
        try:
            host.run(["true"], timeout_s=CALL_TIMEOUT_S)
            return
        except Unreachable:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)
