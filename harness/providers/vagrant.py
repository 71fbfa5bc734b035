"""Provider `vagrant`: every node a machine with a kernel of its own, by Vagrant and libvirt.

Domains, networks and disks are called harness-<run>-...; list, find, logs and down work from those names, and from
the domains' descriptions, alone. Vagrant makes guests; what is there is seen and removed by virsh.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from harness.model.errors import CommandFailed, EnvironmentBroken, HarnessError, UsageError
from harness.model.places import SHARED_DIR, SLOWNESS_FILE, vms_dir
from harness.model.plan import PREFIX, Demand, Plan, cluster_key, cluster_name
from harness.model.topology import Topology
from harness.ports import Cluster, ClusterInfo, Progress
from harness.providers import box as boxes
from harness.providers import images, kvm, libvirt, snapshots, waking
from harness.providers.box import Box
from harness.providers.cache import alone
from harness.providers.guests import GuestHost, cluster_of, guests, leases
from harness.providers.labels import remove_tables_on
from harness.providers.libvirt import POOL, Libvirt, OwnLibvirt, within
from harness.providers.machine import call, tell, wait_until
from harness.providers.snapshots import Snapshot
from harness.providers.vagrant_plan import (
    MEMORY_MB,
    RUN_VARIABLE,
    Guest,
    console_lines,
    render,
    run_of,
    subnets,
)
from harness.providers.vagrant_up import UP_TIMEOUT_S, Up
from harness.transport.local import LocalHost
from harness.transport.parallel import at_once

#: An interrupted `vagrant up` is noticed and ended within this.
STOP_TIMEOUT_S = 15.0
PREPARE_TIMEOUT_S = 120.0
LOAD_TIMEOUT_S = 120.0
LOG_TIMEOUT_S = 20.0
#: A machine's memory is written as it is before it is packed, and its disk is copied.
SNAPSHOT_ROOM = 2

#: On a guest that has come up: names, what drivers will ask the kernel for, and an engine that answers.
_PREPARE = r"""
set -e
mkdir -p "$1" "${4%/*}"
echo "$3" >"$4"
sed -i '/ n[0-9]*$/d' /etc/hosts
printf '%s\n' "$2" >>/etc/hosts
modprobe -a vxlan ip_vs esp4 xfrm_user 8021q macvlan ipvlan sch_netem sch_tbf sch_htb 2>/dev/null || true
modprobe -a nfsv3 nfsv4 loop xfs overlay 2>/dev/null || true
! systemctl is-failed --quiet docker || systemctl start --no-block docker
until docker info --format '{{.Driver}}' >/tmp/driver 2>/dev/null && [ -s /tmp/driver ]; do sleep 1; done
cat /tmp/driver
"""


class VagrantProvider:
    """Implements ports.Provider."""

    name = "vagrant"

    def __init__(self, own: OwnLibvirt | None = None) -> None:
        self.own = own or OwnLibvirt()

    def demands(self, _topology: Topology) -> list[Demand]:
        """Nothing of a guest: it has a kernel of its own. Programs are asked for by `up`."""
        return []

    # --- making

    def up(self, plan: Plan, progress: Progress) -> Cluster:
        chosen = libvirt.choose(lambda: self.own.start(progress))
        stop = threading.Event()
        pool = ThreadPoolExecutor(max_workers=1)
        ended = threading.Event()
        try:
            return pool.submit(self._made, ended, chosen, plan, progress, stop).result()
        except BaseException:
            # nothing is made any more while it is removed; guests that are up are not waited for, but taken away
            stop.set()
            ended.wait(STOP_TIMEOUT_S)
            progress(f"{plan.cluster} did not come up: removing what was made")
            with contextlib.suppress(HarnessError):
                self.down(plan.cluster)
            raise
        finally:
            pool.shutdown(wait=True)

    def _made(
        self, ended: threading.Event, chosen: Libvirt, plan: Plan, progress: Progress, stop: threading.Event
    ) -> Cluster:
        try:
            return self._make(chosen, plan, progress, stop)
        finally:
            ended.set()

    def _make(self, chosen: Libvirt, plan: Plan, progress: Progress, stop: threading.Event) -> Cluster:
        box = boxes.ensure(progress, boxes.packages_for(plan.demands))
        driver = _driver(box, progress)
        folder = _folder(plan.run)
        folder.mkdir(parents=True, exist_ok=True)
        wire, control = subnets(plan, _routes(chosen))
        rendered = render(
            plan,
            box,
            driver=driver,
            wire=wire,
            control=control,
            serial=folder,
            since=_now(),
            boot_timeout_s=int(UP_TIMEOUT_S[driver]),
        )
        (folder / "plan.json").write_text(json.dumps(rendered, indent=1))
        how = "under KVM" if driver == "kvm" else "emulated"
        progress(f"starting {len(plan.nodes)} machines, {how}, {rendered['memory_mb']} MiB each (vagrant up)")
        Up(chosen, plan.run, folder, UP_TIMEOUT_S[driver], progress, stop).run()
        cluster = self.find(plan.cluster)
        at_once([partial(_prepare, host, cluster) for host in _guest_hosts(cluster)])
        progress(f"the engines of {', '.join(cluster.hosts)} answer")
        return cluster

    def supply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        """Our own workload image is built and handed on; any other is left to a registry."""
        if images.tag("workload") in plan.images:
            archive = images.plain_archive("workload", progress)
            at_once([partial(_load, host, archive) for host in _guest_hosts(cluster)])

    # --- asleep and awake

    def wake(self, plan: Plan, progress: Progress) -> Cluster | None:
        """Only on a libvirt of our own: QEMU of the machine's may not read what is the user's."""
        chosen = libvirt.choose(lambda: self.own.start(progress))
        box = boxes.built(boxes.recipe_hash(boxes.packages_for(plan.demands)))
        snapshot = _snapshot(chosen, plan, box) if box and chosen.own else None
        if snapshot is None:
            return None
        try:
            return self._woken(chosen, snapshot, plan, progress)
        except (HarnessError, OSError, ValueError) as error:
            progress(f"the snapshot of {snapshot.taken} did not wake ({_in_words(error)}): it is made anew")
            _remove(chosen, plan.run)
            with alone(snapshot.folder.parent, progress):
                waking.discard(chosen, snapshot)
            return None
        except BaseException:
            with contextlib.suppress(HarnessError):
                self.down(plan.cluster)
            raise

    def _woken(self, chosen: Libvirt, snapshot: Snapshot, plan: Plan, progress: Progress) -> Cluster | None:
        maker = waking.Maker(chosen, plan.run, _folder(plan.run))
        maker.folder.mkdir(parents=True, exist_ok=True)
        says = {"topology": plan.topology.name, "key": cluster_key(plan.topology), "since": _now()}
        with alone(snapshot.folder.parent, progress):
            if why := waking.flaw(maker, snapshot):
                raise EnvironmentBroken(why)
            if taken := waking.in_the_way(snapshot, [*_routes(chosen), *_declared(plan)]):
                progress(f"the snapshot of {snapshot.taken} sleeps on: {taken} overlaps its addresses")
                return None
            heads = waking.lay_out(maker, snapshot, {node.name: says for node in plan.nodes})
        progress(f"waking {len(plan.nodes)} machines from the snapshot of {snapshot.taken}")
        waking.wake(maker, snapshot, heads)
        cluster = self.find(plan.cluster)
        at_once([partial(waking.greet, host) for host in _guest_hosts(cluster)])
        at_once([partial(_prepare, host, cluster) for host in _guest_hosts(cluster)])
        progress(f"the engines of {', '.join(cluster.hosts)} answer")
        return cluster

    def take_snapshot(self, cluster: Cluster, plan: Plan, progress: Progress) -> Cluster:
        chosen = self.own.running()
        found = guests(chosen, plan.run) if chosen else []
        if chosen is None or not found:
            progress("note: no snapshot is taken: the machines are of a libvirt that is not the harness's own")
            return cluster
        box = _box_of(found[0])
        if why := self._why_not(chosen, plan, box):
            progress(f"note: no snapshot is taken: {why}")
            return cluster
        progress(f"taking a snapshot of {cluster.name}, for the next start with --reuse")
        for host in _guest_hosts(cluster):
            host.close()
        try:
            self._take(chosen, found, plan, box, progress)
        except (HarnessError, OSError, ValueError) as error:
            progress(f"no snapshot could be taken ({_in_words(error)}): the machines are started anew")
        _remove(chosen, plan.run)
        return self.wake(plan, progress) or self.up(plan, progress)

    def _why_not(self, chosen: Libvirt, plan: Plan, box: Box) -> str:
        """Why this cluster cannot have a snapshot; empty where it can."""
        if _snapshot(chosen, plan, box) is not None:
            return "there is one of its like, which could not be woken here"
        needed = len(plan.nodes) * (plan.topology.cluster.memory_mb or MEMORY_MB) * SNAPSHOT_ROOM
        free = shutil.disk_usage(vms_dir()).free // 2**20
        return "" if free > needed else f"it needs {needed} MiB in {vms_dir()}, where {free} are free"

    def _take(self, chosen: Libvirt, found: list[Guest], plan: Plan, box: Box, progress: Progress) -> None:
        maker = waking.Maker(chosen, plan.run, _folder(plan.run))
        new = waking.take(maker, found, leases(chosen, plan.run))
        place = waking.place(chosen, plan, box, "qemu" if found[0].emulated else "kvm")
        with alone(place.parent, progress):
            if snapshots.read(place) is None:  # else another run was first, and may stand on it
                snapshots.publish(new, place)
            snapshots.prune(place.parent, waking.used(chosen))

    # --- finding

    def find(self, name: str) -> Cluster:
        run = name.removeprefix(PREFIX)
        for each in self._libvirts():
            found = guests(each, run)
            if found:
                return cluster_of(each, run, found, _box_of(found[0]))
        known = ", ".join(info.name for info in self.clusters()) or "none"
        raise UsageError(f"there is no cluster {name!r}", hint=f"clusters that are there: {known}")

    def clusters(self) -> list[ClusterInfo]:
        return [info for each in self._libvirts() for info in _infos(each)]

    def _libvirts(self) -> list[Libvirt]:
        found = [self.own.running(), libvirt.system_libvirt()]
        return [each for each in found if each is not None]

    def logs(self, name: str, into: Path) -> None:
        run = name.removeprefix(PREFIX)
        for each in self._libvirts():
            found = guests(each, run)
            for guest in found:
                folder = into / guest.node
                folder.mkdir(parents=True, exist_ok=True)
                _copy_console(guest, folder / "console.log")
            if any(guest.running for guest in found):
                at_once([partial(_save_journal, host, into) for host in _guest_hosts(self.find(name))])

    # --- removing

    def down(self, name: str) -> list[str]:
        run = name.removeprefix(PREFIX)
        _end_makers(run)
        if self.own.left and self.own.running() is None:
            self.own.start(lambda _line: None)  # killed, with guests that live on: only a libvirt can remove them
        try:
            removed = [line for each in self._libvirts() for line in _remove(each, run)]
            shutil.rmtree(_folder(run), ignore_errors=True)
            return removed
        finally:
            self.own.stop_if_unused(_is_used)

    def tidy(self) -> list[str]:
        """Stop a libvirt of ours that no guest needs, also one that was killed. Returns what was removed."""
        was_there = self.own.left
        if was_there and self.own.running() is None:
            self.own.start(lambda _line: None)
        return ["the harness's own libvirt"] if was_there and self.own.stop_if_unused(_is_used) else []


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _in_words(error: Exception) -> str:
    """One line: what was done, and the last word about it."""
    lines = (error.message if isinstance(error, HarnessError) else str(error)).splitlines()
    return " ".join([*lines[:1], *lines[1:][-1:]])


def _box_of(guest: Guest) -> Box:
    """The one that it was made of: the recipe may have changed since."""
    found = boxes.built(guest.box)
    if found is None:
        hint = f"harness down {cluster_name(guest.run)}"
        raise EnvironmentBroken(f"the box of {guest.domain}, with its key, is gone from the cache", hint=hint)
    return found


def _folder(run: str) -> Path:
    return vms_dir() / "runs" / run


def _guest_hosts(cluster: Cluster) -> list[GuestHost]:
    return [host for host in cluster.hosts.values() if isinstance(host, GuestHost)]


# --- snapshots


def _snapshot(chosen: Libvirt, plan: Plan, box: Box) -> Snapshot | None:
    """The one that fits. KVM is not tried first, for seconds: machines that ran under it here will do so again."""
    found = (snapshots.read(waking.place(chosen, plan, box, driver)) for driver in ("kvm", "qemu"))
    return next(filter(None, found), None)


def _declared(plan: Plan) -> list[str]:
    return [text for network in plan.topology.networks.values() for text in network.subnets]


# --- parts of making


def _driver(box: Box, progress: Progress) -> str:
    """`kvm` where a guest runs under it; else the emulator, said aloud with what it costs."""
    why = kvm.refusal(box)
    if not why:
        return "kvm"
    progress(
        f"no guest runs under KVM here ({why}): machines are emulated, about ten times slower; `up` takes minutes"
    )
    return "qemu"


def _routes(chosen: Libvirt) -> list[str]:
    """Subnets that the namespace of the guests routes to already."""
    argv = within(chosen, ["ip", "-4", "-o", "route", "show"])
    words = (line.split()[0] for line in call(*argv).splitlines() if line.strip())
    return [word for word in words if word != "default"]


def _prepare(host: GuestHost, cluster: Cluster) -> None:
    names = "\n".join(f"{each.address} {each.name}" for each in cluster.hosts.values())
    argv = ["sh", "-c", _PREPARE, "sh", SHARED_DIR, names, str(int(host.slowness)), SLOWNESS_FILE]
    result = host.run(argv, timeout_s=PREPARE_TIMEOUT_S)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name, doing=f"preparing {host.name}")
    if result.stdout.strip() != "overlay2":
        raise EnvironmentBroken(f"the engine of {host.name} uses the storage driver {result.stdout.strip()}")


def _load(host: GuestHost, archive: Path) -> None:
    """Where the box did not bring it."""
    if host.run(["docker", "image", "inspect", images.tag("workload")], timeout_s=LOG_TIMEOUT_S).ok:
        return
    argv = ["docker", "load", "--quiet"]
    result = host.feed(argv, archive, timeout_s=LOAD_TIMEOUT_S)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)


def _copy_console(guest: Guest, path: Path) -> None:
    try:
        path.write_text("\n".join(console_lines(Path(guest.serial).read_text(errors="replace"))) + "\n")
    except OSError as error:
        path.write_text(f"could not be had: {error}\n")


def _save_journal(host: GuestHost, into: Path) -> None:
    path = into / host.name / "engine.log"
    argv = ["journalctl", "--no-pager", "--lines=3000", "--unit=docker.service"]
    try:
        path.write_text(host.run(argv, timeout_s=LOG_TIMEOUT_S).output + "\n")
    except HarnessError as error:
        path.write_text(f"could not be had: {error}\n")


# --- what is there, and its removal


def _names(chosen: Libvirt, *listing: str) -> list[str]:
    return [line.split()[0] for line in chosen.ask(*listing).stdout.splitlines() if line.strip()]


def _networks(chosen: Libvirt) -> list[str]:
    return [name for name in _names(chosen, "net-list", "--all", "--name") if run_of(name)]


def _is_used(chosen: Libvirt) -> bool:
    return bool(_infos(chosen))


def _infos(chosen: Libvirt) -> list[ClusterInfo]:
    """Every run of which anything is there: a killed one may have got no further than its networks."""
    by_run: dict[str, list[Guest]] = {}
    for guest in guests(chosen):
        by_run.setdefault(guest.run, []).append(guest)
    for network in _networks(chosen):
        by_run.setdefault(str(run_of(network)), [])
    return [_info(run, found) for run, found in by_run.items()]


def _info(run: str, found: list[Guest]) -> ClusterInfo:
    first = found[0] if found else None
    return ClusterInfo(
        name=cluster_name(run),
        run=run,
        provider="vagrant",
        nodes=len(found),
        since=first.since if first else "",
        topology=first.topology if first else "",
        key=first.key if first else "",
    )


def _end_makers(run: str) -> None:
    """What a killed harness left making machines: processes with the run in their environment."""

    def makers() -> list[int]:
        word = f"{RUN_VARIABLE}={run}".encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if word in _environ(pid)]

    for pid in makers():
        if pid != os.getpid():
            tell(pid, signal.SIGKILL)
    wait_until(lambda: not set(makers()) - {os.getpid()}, 5.0)


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _remove(chosen: Libvirt, run: str) -> list[str]:
    """Remove what carries the run: faults on the wire, machines, their disks, networks. Returns what was
    removed.
    """
    removed = []
    mine = f"{cluster_name(run)}-"
    found = guests(chosen, run)
    removed += remove_tables_on(LocalHost("wire", prefix=within(chosen, ())), run) if found else []
    for guest in found:
        chosen.ask("destroy", guest.domain)
        chosen.ask("undefine", guest.domain, "--managed-save", "--snapshots-metadata")
        removed.append(f"machine {guest.domain}")
    for volume in _names(chosen, "vol-list", POOL):
        if volume.startswith(mine):
            chosen.tell("vol-delete", volume, "--pool", POOL)
            removed.append(f"disk {volume}")
    for network in _networks(chosen):
        if network.startswith(mine):
            chosen.ask("net-destroy", network)
            chosen.tell("net-undefine", network)
            removed.append(f"network {network}")
    left = [guest.domain for guest in guests(chosen, run)]
    if left:
        raise EnvironmentBroken(f"machines that libvirt does not let go of: {', '.join(left)}")
    return removed
