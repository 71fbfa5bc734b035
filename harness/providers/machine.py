"""Daemons of our own on this machine: processes, mounts, and who still needs them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.transport.process import run_process

CALL_TIMEOUT_S = 20.0
LOCK_TIMEOUT_S = 80.0

#: Leases belong to the process, by run-time folder: whoever in it removes the last cluster stops the daemon.
_LEASES: dict[Path, int] = {}


class Lock(NamedTuple):
    """A file that one process at a time has, for as long as it lives. `held` is said where somebody else has had
    it for `within_s`.
    """

    file: Path
    within_s: float
    held: str


@contextlib.contextmanager
def locked(lock: Lock, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Have `lock`; `on_wait` is called once where somebody else has it. Raises EnvironmentBroken with `held`."""
    lock.file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(handle):
            on_wait()
            if not wait_until(lambda: _taken(handle), lock.within_s):
                raise EnvironmentBroken(lock.held)
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Guard:
    """Who may start or stop what stands in `folder`, and who uses it: locks that go with their process."""

    def __init__(self, folder: Path) -> None:
        self._dir = folder

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Starts and stops happen under this. Raises EnvironmentBroken where somebody else has it for too long."""
        held = "another process of the harness has held the engine's lock for too long"
        return locked(Lock(self._dir / "lock", LOCK_TIMEOUT_S, held))

    def take_lease(self) -> None:
        if self._dir not in _LEASES:
            lease = os.open(self._dir / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lease, fcntl.LOCK_SH)
            _LEASES[self._dir] = lease

    def drop_lease(self) -> None:
        lease = _LEASES.pop(self._dir, None)
        if lease is not None:
            os.close(lease)

    def others_use_it(self) -> bool:
        handle = os.open(self._dir / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            return not _taken(handle)
        finally:
            os.close(handle)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def call(*argv: str, timeout_s: float = CALL_TIMEOUT_S) -> str:
    """What `argv` prints on this machine. Raises CommandFailed."""
    result = run_process(argv, timeout_s=timeout_s, stdin=b"", where="this machine")
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output)
    return result.stdout


def is_mounted(point: Path) -> bool:
    """From mountinfo: os.path.ismount does not see a folder that is bound onto itself."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(point) for line in mounts)


def unmount(point: Path) -> None:
    while is_mounted(point):
        call("umount", "-l", str(point))


def keep_mounts(keeper: Path, script: str, *arguments: str) -> None:
    """A mount namespace that `script` has set up and that `keeper`, a file, keeps."""
    folder = keeper.parent
    folder.mkdir(parents=True, exist_ok=True)
    # mount_namespaces(7): a namespace can be kept by a file only below a private mount
    if not is_mounted(folder):
        call("mount", "--bind", str(folder), str(folder))
        call("mount", "--make-private", str(folder))
    new = keeper.with_suffix(".new")
    unmount(new)  # of one that was killed just here
    new.touch()
    call("unshare", f"--mount={new}", "--propagation", "private", "sh", "-c", script, "enter", *arguments)
    keeper.touch()
    call("mount", "--move", str(new), str(keeper))
    new.unlink()


def make_netns(name: str) -> None:
    """A network namespace whose loopback is up, and that has nothing else. Idempotent."""
    if not Path("/run/netns", name).exists():
        call("ip", "netns", "add", name)
    call("ip", "-n", name, "link", "set", "lo", "up")


def remove_netns(name: str) -> None:
    if Path("/run/netns", name).exists():
        call("ip", "netns", "del", name)


def refuse_uplink(netns: str) -> None:
    """Raises EnvironmentBroken where the namespace leads out of this machine."""
    if call("ip", "-n", netns, "route", "show", "default").strip():
        raise EnvironmentBroken(f"the network namespace {netns} has a default route: test traffic could leak")


def last_lines(log: Path) -> str:
    """The end of a daemon's log, for an error."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def launch(argv: tuple[str, ...], log: Path) -> int:
    """Start a daemon that outlives us without being our child. Returns its process number."""
    # the shell goes away at once
    script = 'log=$1; shift; setsid "$@" </dev/null >"$log" 2>&1 & echo $!'
    return int(call("sh", "-c", script, "launch", str(log), *argv))


def tell(pid: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)


def start_time(pid: int) -> str | None:
    """Field 22 of proc_pid_stat(5): tells a process from a later one with its number. None: a zombie, or gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def write_pid(file: Path, pid: int) -> None:
    file.write_text(f"{pid} {start_time(pid)}\n")


def read_pid(file: Path) -> int | None:
    """The process in `file`, if it is still the one that was written there."""
    try:
        text, started = file.read_text().split()
        pid = int(text)
    except (OSError, ValueError):
        return None
    return pid if start_time(pid) == started else None


def residents(keeper: Path) -> list[int]:
    """Processes in the mount namespace that `keeper` keeps. What they run in containers has its own."""
    try:
        ours = keeper.stat()
    except OSError:
        return []
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_in(pid, ours)]


def _is_in(pid: int, ours: os.stat_result) -> bool:
    try:
        theirs = os.stat(f"/proc/{pid}/ns/mnt")
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
