"""A libvirt to make guests with: the machine's own where it answers, else one of ours, in namespaces of its own.

Ours needs no systemd and touches nothing of the system's: in its mount namespace what libvirt thinks of as /etc,
/run, /var/lib, /var/cache and /var/log are folders of ours; its network namespace has no default route. Guests
that it started live on when it is killed; the next one finds them.

    /run/harness/vms/mnt         keeps the mount namespace
    /run/harness/vms/pid         libvirtd's process and its start time
    /run/harness/vms/run         libvirt's /run/libvirt

With HARNESS_STATE=WORD it is /run/harness-WORD, and so are namespace and data (places.vms_dir).
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentBroken
from harness.model.places import run_dir, state_name, vms_dir
from harness.ports import Progress, Result
from harness.providers import engine as engines
from harness.providers.machine import (
    Guard,
    keep_mounts,
    last_lines,
    launch,
    make_netns,
    read_pid,
    refuse_uplink,
    remove_netns,
    residents,
    tell,
    unmount,
    wait_until,
    write_pid,
)
from harness.transport.process import run_process

URI = "qemu:///system"
#: Where disks are.
POOL = "default"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
CALL_TIMEOUT_S = 60.0
#: What is called, and the package of Debian that has it.
PROGRAMS = {
    "vagrant": "vagrant",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
}
OWN_PROGRAMS = {
    "libvirtd": "libvirt-daemon-system",
    "dnsmasq": "dnsmasq-base",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "tini": "tini",
}
#: Not a program: where Debian keeps vagrant's plugin.
PLUGIN = ("/usr/share/rubygems-integration/all/gems", "vagrant-libvirt-*", "vagrant-libvirt")

_BIND = """
set -eu
own=$1 run=$2
for place in etc lib cache log; do mkdir -p "$own/$place"; done
mkdir -p "$run"
bind() { mkdir -p "$2"; mount --bind "$1" "$2"; }
bind "$own/etc" /etc/libvirt
bind "$run" /run/libvirt
bind "$own/lib" /var/lib/libvirt
bind "$own/cache" /var/cache/libvirt
bind "$own/log" /var/log/libvirt
"""
#: No security driver, no cgroups, no namespaces around a guest: it runs as root with what the caller has.
QEMU_CONF = """
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
"""
LIBVIRTD_CONF = """
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
"""


@dataclass(frozen=True)
class Libvirt:
    """One that answers. `netns` is the namespace that leads to its guests; empty: this one. `prefix` stands before
    every program that is to meet it.
    """

    prefix: tuple[str, ...] = ()
    netns: str = ""

    @property
    def own(self) -> bool:
        return bool(self.prefix)

    def argv(self, *arguments: str) -> list[str]:
        return [*self.prefix, "virsh", "--connect", URI, "--quiet", *arguments]

    def ask(self, *arguments: str, timeout_s: float = CALL_TIMEOUT_S) -> Result:
        return run_process(self.argv(*arguments), timeout_s=timeout_s, stdin=b"", where="libvirt")

    def tell(self, *arguments: str, timeout_s: float = CALL_TIMEOUT_S) -> str:
        """What virsh prints. Raises CommandFailed."""
        result = self.ask(*arguments, timeout_s=timeout_s)
        if not result.ok:
            raise CommandFailed(self.argv(*arguments), result.code, result.output, where="libvirt")
        return result.stdout

    def answers(self) -> bool:
        """Whether it does so now: one that has just begun looks first at what QEMU can, and for long."""
        try:
            return self.ask("version", timeout_s=10.0).ok
        except DeadlineExceeded:
            return False


def missing_packages(*, own: bool) -> list[str]:
    """Debian's packages of programs that are not there."""
    wanted = {**PROGRAMS, **(OWN_PROGRAMS if own else {})}
    absent = {package for program, package in wanted.items() if shutil.which(program) is None}
    folder, pattern, package = PLUGIN
    if "vagrant" in absent or not (any(Path(folder).glob(pattern)) or _has_plugin()):
        absent.add(package)
    return sorted(absent)


def _has_plugin() -> bool:
    """A vagrant that is not Debian's keeps its plugins in the user's home."""
    home = Path(os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d")
    try:
        return "vagrant-libvirt" in (home / "plugins.json").read_text()
    except OSError:
        return False


def refuse_missing(*, own: bool) -> None:
    """Raises EnvironmentBroken with the line that installs what provider vagrant needs."""
    absent = missing_packages(own=own)
    if absent:
        raise EnvironmentBroken(
            f"provider vagrant needs what is not installed: {', '.join(absent)}",
            hint=f"apt-get install --no-install-recommends {' '.join(absent)}   (or: make vm-system)",
        )


def system_libvirt() -> Libvirt | None:
    """The machine's own, where it answers; HARNESS_ENGINE=own leaves it alone, as it does the engine."""
    if (
        engines.choice() == "own"
        or shutil.which("virsh") is None
        or not Path("/run/libvirt/libvirt-sock").exists()
    ):
        return None
    found = Libvirt()
    return found if found.answers() else None


class OwnLibvirt:
    """One a machine and HARNESS_STATE."""

    def __init__(self) -> None:
        self._dir = run_dir()
        self._state = self._dir / "vms"
        self._guard = Guard(self._state)
        self._mnt = self._state / "namespace" / "mnt"
        self._pid_file = self._state / "pid"
        self.netns = f"{state_name()}-vms"

    @property
    def left(self) -> bool:
        """Whether there is one of ours on this machine: answering, killed or half-made."""
        return self._mnt.exists() or Path("/run/netns", self.netns).exists()

    @property
    def log(self) -> Path:
        return vms_dir() / "libvirtd.log"

    def running(self) -> Libvirt | None:
        """The one that answers; None also where it was killed and its guests live on."""
        if read_pid(self._pid_file) is None:
            return None
        found = self._libvirt()
        return found if found.answers() else None

    def start(self, progress: Progress) -> Libvirt:
        """The one of ours, started if it does not answer. It stays while this process, or a guest, needs it.

        Raises EnvironmentBroken, with the end of its log, when it does not come up.
        """
        if os.geteuid() != 0:
            raise EnvironmentBroken(
                "no libvirt answers, and starting one of the harness's own needs root",
                hint="start libvirtd, or run the harness as root",
            )
        refuse_missing(own=True)
        with self._guard.locked():
            self._guard.take_lease()
            found = self.running()
            if found is None:
                progress("starting a libvirt of the harness's own (none answers)")
                self._make()
                found = self._wait()
            refuse_uplink(self.netns)
            return found

    def stop_if_unused(self, is_used: Callable[[Libvirt], bool]) -> bool:
        """Stop it unless `is_used` says so or another process holds a lease. True if it is gone now."""
        if not self.left:
            return True
        with self._guard.locked():
            self._guard.drop_lease()
            found = self.running()
            if self._guard.others_use_it() or (found is not None and is_used(found)):
                return False
            self._end()
            return True

    # --- parts

    def _libvirt(self) -> Libvirt:
        return Libvirt(("nsenter", f"--net=/run/netns/{self.netns}", f"--mount={self._mnt}", "--"), self.netns)

    def _make(self) -> None:
        make_netns(self.netns)
        own = vms_dir()
        if not self._mnt.exists():
            (own / "etc").mkdir(parents=True, exist_ok=True)
            (own / "etc" / "qemu.conf").write_text(QEMU_CONF)
            (own / "etc" / "libvirtd.conf").write_text(LIBVIRTD_CONF)
            keep_mounts(self._mnt, _BIND, str(own), str(self._state / "run"))
        (self._state / "run" / "libvirtd.pid").unlink(missing_ok=True)
        pid_file = "/run/libvirt/libvirtd.pid"
        # libvirtd asks QEMU what it can by processes that leave it, and waits until they are reaped: where the
        # machine's first process reaps nobody, as many a container's, it would do so for minutes (tini(1), -s)
        argv = ("tini", "-s", "--", "libvirtd", "--config", "/etc/libvirt/libvirtd.conf", "--pid-file", pid_file)
        clean = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
        write_pid(self._pid_file, launch((*clean, *self._libvirt().prefix, *argv), self.log))

    def _wait(self) -> Libvirt:
        found: list[Libvirt] = []

        def is_up() -> bool:
            found.extend(filter(None, [self.running()]))
            return bool(found) or read_pid(self._pid_file) is None

        wait_until(is_up, START_TIMEOUT_S)
        if not found:
            raise EnvironmentBroken(
                f"the harness's own libvirt did not start; the end of {self.log}:\n{last_lines(self.log)}"
            )
        return found[0]

    def _end(self) -> None:
        """First libvirtd, politely; then whatever lives in our mount namespace (dnsmasq, guests)."""
        pid = read_pid(self._pid_file)
        if pid is not None:
            tell(pid, signal.SIGTERM)
            wait_until(lambda: read_pid(self._pid_file) is None, STOP_TIMEOUT_S)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for resident in residents(self._mnt):
                tell(resident, sign)
            wait_until(lambda: not residents(self._mnt), STOP_TIMEOUT_S)
        unmount(self._mnt)
        unmount(self._mnt.parent)
        shutil.rmtree(self._mnt.parent, ignore_errors=True)
        shutil.rmtree(self._state / "run", ignore_errors=True)
        self._pid_file.unlink(missing_ok=True)
        remove_netns(self.netns)


def choose(start_own: Callable[[], Libvirt]) -> Libvirt:
    """The libvirt to make guests with. Raises EnvironmentBroken where none can be had."""
    found = system_libvirt()
    if found is not None:
        refuse_missing(own=False)
        return found
    return start_own()


def within(libvirt: Libvirt, argv: Sequence[str]) -> list[str]:
    return [*libvirt.prefix, *argv]
