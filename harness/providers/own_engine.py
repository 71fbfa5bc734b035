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
import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.model.errors import EnvironmentBroken
from harness.model.places import engine_dir, run_dir, state_name
from harness.ports import Progress
from harness.providers.engine import Engine
from harness.providers.machine import (
    CALL_TIMEOUT_S,
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
from harness.transport.parallel import at_once
from harness.transport.process import run_process

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
PROGRAMS = {"ip": "iproute2", "nsenter": "util-linux", "unshare": "util-linux", "mount": "mount"}

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
        self._guard = Guard(self._dir)
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
        with self._guard.locked():
            self._guard.take_lease()
            found = self.running()
            if found is None:
                progress("starting an engine of the harness's own (no Docker engine answers)")
                self._end_processes(shims=False)
                self._drop_lost_root()
                root = None if self._mnt.exists() else self._root(progress)
                # in a thread of its own: an interrupt waits for its end, so that what it makes can be removed
                at_once([partial(self._make, root)])
                found = self._wait()
            refuse_uplink(self._netns)
            return found

    def stop_if_unused(self, is_used: Callable[[Engine], bool]) -> bool:
        """Stop the engine unless `is_used` says so or another process holds a lease. True if it is gone now."""
        if not self.left:
            return True
        with self._guard.locked():
            self._guard.drop_lease()
            engine = self.running()
            if self._guard.others_use_it() or (engine is not None and is_used(engine)):
                return False
            self._end_processes(shims=True)
            self._remove_namespaces()
            return True

    def wake(self) -> None:
        """Start one that was killed while its containers live on: only an engine can remove them."""
        if self.left and self.running() is None:
            self.start(lambda _line: None)

    def tidy(self, is_used: Callable[[Engine], bool]) -> list[str]:
        """Stop it where no cluster needs it, also one that was killed. Returns what was removed."""
        if not self.left:
            return []
        self.wake()
        return ["the harness's own engine"] if self.stop_if_unused(is_used) else []

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

    def _drop_lost_root(self) -> None:
        """A cache may be removed while its engine is there: in a namespace without its root nothing can be run."""
        if self._mnt.exists() and not _can_run(self._mnt, "dockerd"):
            self._end_processes(shims=True)
            unmount(self._mnt)
            self._mnt.unlink(missing_ok=True)

    def _make(self, root: Path | None) -> None:
        self._make_namespaces(root)
        self._launch()

    def _make_namespaces(self, root: Path | None) -> None:
        """`root` is None where the mount namespace is there already."""
        make_netns(self._netns)
        if root is None:
            return
        run, data = self._state / "run", engine_dir() / "data"
        self._state.mkdir(parents=True, exist_ok=True)
        for folder in (run, data):
            folder.mkdir(parents=True, exist_ok=True)
        keep_mounts(self._mnt, _ENTER_ROOT, str(root), str(run), str(data))

    def _launch(self) -> None:
        # a hard kill leaves these; a number in them may be that of a zombie, where nobody reaps orphans
        for name in ("docker.sock", "docker.pid", "docker/containerd/containerd.pid"):
            (self._state / "run" / name).unlink(missing_ok=True)
        dockerd = ["dockerd", "--host", "unix:///run/docker.sock", "--storage-driver", "overlay2"]
        enter = ["nsenter", f"--net=/run/netns/{self._netns}", f"--mount={self._mnt}", *dockerd]
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HARNESS_ENGINE=own"]
        write_pid(self._pid_file, launch((*environment, *enter), self.log))

    def _wait(self) -> Engine:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            found = self.running()
            if found is not None:
                return found
            if self._pid() is None:
                break
            time.sleep(0.05)
        raise EnvironmentBroken(
            f"the harness's own engine did not start; the end of {self.log}:\n{last_lines(self.log)}"
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
        return read_pid(self._pid_file)

    def _end_processes(self, *, shims: bool) -> None:
        """First the engine, politely; then whatever lives in our mount namespace.

        Without `shims` those are spared: the next engine ends a killed one's containers through them, which it
        cannot do properly where nobody reaps orphans.
        """
        pid = self._pid()
        if pid is not None:
            tell(pid, signal.SIGTERM)
            wait_until(lambda: self._pid() is None, STOP_TIMEOUT_S)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for process in self._residents(shims=shims):
                tell(process, sign)
            wait_until(lambda: not self._residents(shims=shims), 5.0)

    def _residents(self, *, shims: bool) -> list[int]:
        """Processes in our mount namespace: the engine, containerd, its shims. Containers have their own."""
        return [pid for pid in residents(self._mnt) if shims or not _is_shim(pid)]

    def _remove_namespaces(self) -> None:
        for point in (self._mnt, self._state):
            unmount(point)
        shutil.rmtree(self._state, ignore_errors=True)
        remove_netns(self._netns)


def _can_run(namespace: Path, program: str) -> bool:
    argv = ("nsenter", f"--mount={namespace}", "sh", "-c", 'command -v "$0"', program)
    return run_process(argv, timeout_s=CALL_TIMEOUT_S, stdin=b"", where="this machine").ok


def _is_shim(pid: int) -> bool:
    """By proc_pid_comm(5), which holds 15 letters of a name."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().startswith("containerd-shim")
    return False


def _library_folders(root: Path) -> list[Path]:
    return [folder for folder in (root / "usr" / "lib").glob("*-linux-gnu*") if folder.is_dir()] + [
        root / "usr/lib"
    ]
