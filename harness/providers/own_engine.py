"""The harness's own Docker engine: Debian's, in a root and namespaces of its own, without an uplink.

Nothing is installed into the system. The engine's root file system is the node's (images.py); it is entered by
pivot_root in a mount namespace that is kept by a file, so that an engine that was killed can be started again
where its containers still live. Its network namespace has no default route: what is tested there cannot leak.

    /run/harness/lock            starts and stops happen under this
    /run/harness/users           held shared by every process that uses the engine
    /run/harness/engine/mnt      keeps the mount namespace
    /run/harness/engine/pid      the engine's process and its start time
    /run/harness/engine/run/     the engine's /run: docker.sock, containerd's state

With HARNESS_STATE=WORD it is /run/harness-WORD, and so are namespace and data: engines live side by side.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.places import engine_dir, run_dir, state_name
from harness.ports import Progress
from harness.providers.engine import Engine
from harness.transport.parallel import at_once
from harness.transport.process import run_process

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
CALL_TIMEOUT_S = 20.0
PROGRAMS = {"ip": "iproute2", "nsenter": "util-linux", "unshare": "util-linux", "mount": "mount"}

#: Leases belong to the process, by run-time folder: whoever in it removes the last cluster stops the engine.
_LEASES: dict[Path, int] = {}

_ENTER_ROOT = """
set -eu
root=$1 run=$2 data=$3
mount --bind "$root" "$root"
for tree in proc sys dev; do mount --rbind "/$tree" "$root/$tree"; done
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$run" "$root/run"
mkdir -p "$root/var/lib/docker" "$root/mnt"
mount --bind "$data" "$root/var/lib/docker"
cd "$root"
pivot_root . mnt
umount -l /mnt
"""


class OwnEngine:
    """One engine a machine and HARNESS_STATE. `root` gives the path of an unpacked node root; asked only when one
    is needed.
    """

    def __init__(self, root: Callable[[Progress], Path]) -> None:
        self._root = root
        self._dir = run_dir()
        self._netns = f"{state_name()}-engine"
        self._state = self._dir / "engine"
        self._mnt = self._state / "mnt"
        self._pid_file = self._state / "pid"
        self._socket = self._state / "run" / "docker.sock"

    @property
    def log(self) -> Path:
        return engine_dir() / "engine.log"

    @property
    def left(self) -> bool:
        """Whether there is an engine of ours on this machine: answering, killed or half-made."""
        return self._state.exists() or Path("/run/netns", self._netns).exists()

    def running(self) -> Engine | None:
        if not self._socket.exists():
            return None
        engine = self._engine()
        version = engine.ask_version()
        return Engine(engine.host, engine.program, own=True, version=version) if version else None

    def start(self, progress: Progress) -> Engine:
        """The engine, started if it does not answer. It stays while this process, or a cluster, needs it.

        Raises EnvironmentBroken, with the end of its log, when it does not come up.
        """
        self._check_machine()
        with self._locked():
            self._take_lease()
            found = self.running()
            if found is None:
                progress("starting an engine of the harness's own (no Docker engine answers)")
                self._end_processes(shims=False)
                root = None if self._mnt.exists() else self._root(progress)
                # in a thread of its own: an interrupt waits for its end, so that what it makes can be removed
                at_once([partial(self._make, root)])
                found = self._wait()
            self._refuse_uplink()
            return found

    def stop_if_unused(self, is_used: Callable[[Engine], bool]) -> bool:
        """Stop the engine unless `is_used` says so or another process holds a lease. True if it is gone now."""
        if not self.left:
            return True
        with self._locked():
            self._drop_lease()
            engine = self.running()
            if self._others_use_it() or (engine is not None and is_used(engine)):
                return False
            self._end_processes(shims=True)
            self._remove_namespaces()
            return True

    # --- starting

    def _check_machine(self) -> None:
        if os.geteuid() != 0:
            raise EnvironmentBroken(
                "no Docker engine answers, and starting one of the harness's own needs root",
                hint="start Docker, or run the harness as root",
            )
        missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
        if missing:
            raise EnvironmentBroken(
                "programs are missing that an engine of the harness's own needs",
                hint=f"apt-get install {' '.join(missing)}",
            )

    def _make(self, root: Path | None) -> None:
        self._make_namespaces(root)
        self._launch()

    def _make_namespaces(self, root: Path | None) -> None:
        """`root` is None where the mount namespace is there already."""
        if not Path("/run/netns", self._netns).exists():
            _call("ip", "netns", "add", self._netns)
        _call("ip", "-n", self._netns, "link", "set", "lo", "up")
        if root is None:
            return
        self._state.mkdir(parents=True, exist_ok=True)
        # mount_namespaces(7): a namespace can be kept by a file only below a private mount
        if not _is_mounted(self._state):
            _call("mount", "--bind", str(self._state), str(self._state))
            _call("mount", "--make-private", str(self._state))
        run, data = self._state / "run", engine_dir() / "data"
        for folder in (run, data):
            folder.mkdir(parents=True, exist_ok=True)
        keeper = self._state / "mnt.new"
        _unmount(keeper)  # of one that was killed just here
        keeper.touch()
        script = ["sh", "-c", _ENTER_ROOT, "enter", str(root), str(run), str(data)]
        _call("unshare", f"--mount={keeper}", "--propagation", "private", *script)
        self._mnt.touch()
        _call("mount", "--move", str(keeper), str(self._mnt))
        keeper.unlink()

    def _launch(self) -> None:
        # a hard kill leaves these; a number in them may be that of a zombie, where nobody reaps orphans
        for name in ("docker.sock", "docker.pid", "docker/containerd/containerd.pid"):
            (self._state / "run" / name).unlink(missing_ok=True)
        dockerd = ["dockerd", "--host", "unix:///run/docker.sock", "--storage-driver", "overlay2"]
        enter = ["nsenter", f"--net=/run/netns/{self._netns}", f"--mount={self._mnt}", *dockerd]
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HARNESS_ENGINE=own"]
        # the shell goes away at once, so that the engine outlives us without being our child
        script = 'log=$1; shift; setsid "$@" </dev/null >"$log" 2>&1 & echo $!'
        pid = int(_call("sh", "-c", script, "launch", str(self.log), *environment, *enter))
        self._pid_file.write_text(f"{pid} {_start_time(pid)}\n")

    def _wait(self) -> Engine:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            found = self.running()
            if found is not None:
                return found
            if self._pid() is None:
                break
            time.sleep(0.05)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        raise EnvironmentBroken(f"the harness's own engine did not start; the end of {self.log}:\n{tail}")

    def _refuse_uplink(self) -> None:
        if _call("ip", "-n", self._netns, "route", "show", "default").strip():
            raise EnvironmentBroken(
                f"the network namespace {self._netns} has a default route: test traffic could leak"
            )

    def _engine(self) -> Engine:
        return Engine(f"unix://{self._socket}", self._program(), own=True)

    def _program(self) -> tuple[str, ...]:
        """The docker client of this machine, or the root's own with the root's own libraries."""
        found = shutil.which("docker")
        if found:
            return (found,)
        root = self._root(lambda _line: None)
        loader = next(iter(sorted(root.glob("lib64/ld-linux*.so.*"))), None)
        prefix = (str(loader), "--library-path", ":".join(map(str, _library_folders(root)))) if loader else ()
        return (*prefix, str(root / "usr" / "bin" / "docker"))

    # --- stopping

    def _pid(self) -> int | None:
        """The engine's process, if it is still the one that we started."""
        try:
            text, started = self._pid_file.read_text().split()
            pid = int(text)
        except (OSError, ValueError):
            return None
        return pid if _start_time(pid) == started else None

    def _end_processes(self, *, shims: bool) -> None:
        """First the engine, politely; then whatever lives in our mount namespace.

        Without `shims` those are spared: the next engine ends a killed one's containers through them, which it
        cannot do properly where nobody reaps orphans.
        """
        pid = self._pid()
        if pid is not None:
            _signal(pid, signal.SIGTERM)
            _wait_until(lambda: self._pid() is None, STOP_TIMEOUT_S)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for process in self._residents(shims=shims):
                _signal(process, sign)
            _wait_until(lambda: not self._residents(shims=shims), 5.0)

    def _residents(self, *, shims: bool) -> list[int]:
        """Processes in our mount namespace: the engine, containerd, its shims. Containers have their own."""
        try:
            ours = self._mnt.stat()
        except OSError:
            return []
        return [pid for pid in _all_pids() if _same_namespace(pid, ours) and (shims or not _is_shim(pid))]

    def _remove_namespaces(self) -> None:
        for point in (self._mnt, self._state):
            _unmount(point)
        shutil.rmtree(self._state, ignore_errors=True)
        if Path("/run/netns", self._netns).exists():
            _call("ip", "netns", "del", self._netns)

    # --- locks

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._dir.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(handle, START_TIMEOUT_S + STOP_TIMEOUT_S)
            yield
        finally:
            os.close(handle)

    def _take_lease(self) -> None:
        if self._dir not in _LEASES:
            lease = os.open(self._dir / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lease, fcntl.LOCK_SH)
            _LEASES[self._dir] = lease

    def _drop_lease(self) -> None:
        lease = _LEASES.pop(self._dir, None)
        if lease is not None:
            os.close(lease)

    def _others_use_it(self) -> bool:
        handle = os.open(self._dir / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False


def _lock(handle: int, timeout_s: float) -> None:
    def taken() -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    if not _wait_until(taken, timeout_s):
        raise EnvironmentBroken("another process of the harness has held the engine's lock for too long")


def _wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _is_mounted(point: Path) -> bool:
    """From mountinfo: os.path.ismount does not see a folder that is bound onto itself."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(point) for line in mounts)


def _unmount(point: Path) -> None:
    while _is_mounted(point):
        _call("umount", "-l", str(point))


def _call(*argv: str) -> str:
    result = run_process(argv, timeout_s=CALL_TIMEOUT_S, stdin=b"", where="this machine")
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output)
    return result.stdout


def _signal(pid: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)


def _start_time(pid: int) -> str | None:
    """Field 22 of proc_pid_stat(5): tells a process from a later one with its number. None: a zombie, or gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _is_shim(pid: int) -> bool:
    """By proc_pid_comm(5), which holds 15 letters of a name."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().startswith("containerd-shim")
    return False


def _same_namespace(pid: int, ours: os.stat_result) -> bool:
    try:
        theirs = os.stat(f"/proc/{pid}/ns/mnt")
    except OSError:
        return False
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def _library_folders(root: Path) -> list[Path]:
    return [folder for folder in (root / "usr" / "lib").glob("*-linux-gnu*") if folder.is_dir()] + [
        root / "usr/lib"
    ]
