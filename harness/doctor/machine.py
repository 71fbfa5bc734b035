"""The machine itself: engine, control groups, rights, room, limits, and addresses that are taken."""

from __future__ import annotations

import ipaddress
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.doctor.finding import Finding
from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.places import cache_dir
from harness.model.plan import Plan
from harness.ports import Host
from harness.providers import images, kind_image
from harness.providers.engine import system_engine
from harness.providers.own_engine import PROGRAMS
from harness.providers.releases import RELEASES
from harness.providers.rights import lacking_capabilities
from harness.transport.process import run_process

GROUP = "machines"
COMMAND_TIMEOUT_S = 5.0
#: A root, two images and the data of three nodes.
ROOM_BYTES = 6 * 2**30
#: Three nodes with their engines; measured at some 250 MiB, with room for workloads.
MEMORY_BYTES = 2 * 2**30
#: Each node's engine and systemd-less daemons take some; the kernel's default of 128 is too few for several.
INOTIFY_INSTANCES = 256
#: Without these the own engine cannot make nodes: namespaces, networks, devices.
NEEDED_CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "SYS_CHROOT", "MKNOD")


def findings(host: Host, plan: Plan | None) -> Iterator[Finding]:
    yield _engine()
    yield _storage()
    yield _cgroups()
    yield _capabilities()
    yield _room()
    yield _memory()
    yield _inotify()
    yield _engine_versions()
    yield _kind()
    if plan is not None:
        yield _subnets(host, plan)


def _engine() -> Finding:
    """The engine that a run would use. None is started."""
    blocks = ("provider docker", "provider kind")
    try:
        engine = system_engine()
    except UsageError as error:
        return Finding("engine", GROUP, False, error.message, blocks, error.hint or "")
    if engine is not None:
        return Finding("engine", GROUP, True, f"Docker {engine.version} answers at {engine.host}")
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        mend = f"start Docker, or apt-get install {' '.join(missing)}"
        return Finding("engine", GROUP, False, "none answers, and one of our own lacks programs", blocks, mend)
    if os.geteuid() != 0:
        why = "none answers, and starting one of our own needs root"
        return Finding("engine", GROUP, False, why, blocks, "start Docker, or run the harness as root")
    return Finding("engine", GROUP, True, "none answers; the harness starts one of its own")


def _storage() -> Finding:
    """Another driver than overlay2 works, slowly; vfs copies every layer."""
    engine = system_engine()
    if engine is None:
        return Finding("storage-driver", GROUP, True, "overlay2 (the harness's own engine)")
    argv = engine.argv("info", "--format", "{{.Driver}}")
    try:
        driver = run_process(argv, timeout_s=COMMAND_TIMEOUT_S, stdin=b"", where="the engine").stdout.strip()
    except EnvironmentBroken as error:
        return Finding("storage-driver", GROUP, None, error.message)
    mend = 'overlay2 in /etc/docker/daemon.json: {"storage-driver": "overlay2"}'
    return Finding("storage-driver", GROUP, driver != "vfs", driver, ("room and time on that engine",), mend)


def _cgroups() -> Finding:
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    hybrid = Path("/sys/fs/cgroup/unified").is_dir()
    mode = "unified (v2)" if unified else "hybrid (v1 and v2)" if hybrid else "legacy (v1)"
    is_there = any(Path("/sys/fs/cgroup").iterdir())
    mend = "mount the control groups: mount -t cgroup2 none /sys/fs/cgroup"
    return Finding("cgroups", GROUP, is_there, mode if is_there else "none mounted", ("every container",), mend)


def _capabilities() -> Finding:
    lacking = lacking_capabilities(Path("/proc/self/status").read_text())
    grave = [name for name in lacking if name in NEEDED_CAPABILITIES]
    why = f"the bounding set lacks {', '.join(lacking)}" if lacking else "the bounding set is full"
    mend = "a machine, or a container with --privileged, that has them"
    return Finding("capabilities", GROUP, not grave, why, ("provider docker with an engine of our own",), mend)


def _room() -> Finding:
    folder = next(path for path in (cache_dir(), *cache_dir().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    why = f"{free / 2**30:.0f} GiB free below {folder}"
    mend = "room there, or XDG_CACHE_HOME on another disk"
    return Finding("disk", GROUP, free >= ROOM_BYTES, why, ("images and nodes of provider docker",), mend)


def _memory() -> Finding:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line)
    free = int(lines["MemAvailable"].split()[0]) * 1024
    why = f"{free / 2**30:.1f} GiB available"
    return Finding(
        "memory", GROUP, free >= MEMORY_BYTES, why, ("clusters of three nodes",), "fewer nodes, or more"
    )


def _inotify() -> Finding:
    path = Path("/proc/sys/fs/inotify/max_user_instances")
    if not path.exists():
        return Finding("inotify", GROUP, None, f"there is no {path}")
    limit = int(path.read_text())
    mend = "sysctl fs.inotify.max_user_instances=512"
    why = f"{limit} instances a user"
    return Finding("inotify", GROUP, limit >= INOTIFY_INSTANCES, why, ("many nodes on one machine, kind",), mend)


def _engine_versions() -> Finding:
    """Which engines container nodes can have here (`cluster.engine`)."""
    ready = [each for each in RELEASES if images.is_cached("node", each)]
    rest = [each for each in RELEASES if each not in ready]
    lacking = [each for each in rest if not images.can_be_had("node", each)]
    parts = [("cached", ready), ("not to be had" if lacking else "built when first asked for", rest)]
    why = "; ".join(f"{', '.join(each.engine for each in those)} {word}" for word, those in parts if those)
    blocks = tuple(f"cluster.engine: {each.engine}" for each in lacking)
    return Finding("engine-versions", GROUP, not lacking, why, blocks, "apt-get install mmdebstrap")


def _kind() -> Finding:
    is_there, why = kind_image.outlook()
    mend = "kind (https://kind.sigs.k8s.io) in PATH, or apt-get install mmdebstrap"
    return Finding("kind", GROUP, is_there, why, ("provider kind",), mend)


def _subnets(host: Host, plan: Plan) -> Finding:
    """A subnet that the machine itself routes elsewhere than by default."""
    listed = _routes(host)
    if listed is None:
        return Finding("subnets", GROUP, None, "the machine's routes could not be read")
    clashes = [
        f"{text} of network {network.base} overlaps the machine's {route}"
        for network in plan.networks
        for text in network.subnets
        for route in listed
        if _overlap(text, route)
    ]
    mend = "another subnet in the topology, where its nodes are to reach the machine's network"
    why = "; ".join(dict.fromkeys(clashes)) or f"none of the topology's overlaps {len(listed)} routes"
    return Finding("subnets", GROUP, not clashes, why, ("networks that must reach that route",), mend)


def _routes(host: Host) -> list[str] | None:
    try:
        result = host.run(["ip", "-4", "route", "show"], timeout_s=COMMAND_TIMEOUT_S)
    except EnvironmentBroken:
        return None
    words = [line.split()[0] for line in result.stdout.splitlines() if line.strip()]
    return [word for word in words if word != "default" and _is_network(word)] if result.ok else None


def _is_network(text: str) -> bool:
    return _parsed(text) is not None


def _parsed(text: str) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None


def _overlap(one: str, other: str) -> bool:
    first, second = _parsed(one), _parsed(other)
    return first is not None and second is not None and first.overlaps(second)
