"""A volume plugin of Docker's legacy protocol: one a node, beside its engine, for a store that is mounted there.

    python3 volume_plugin.py SOCKET MOUNT

An engine finds it as /run/docker/plugins/NAME.sock, and calls it NAME. A volume is a directory
MOUNT/.volumes/VOLUME, and that is all the state there is: every node sees the same volumes (scope global), a
plugin that was killed starts again as it was, and every call may come twice. Who uses a volume on its node is
counted by the engine. Where the store is not mounted everything is refused: the engine must never be given an
empty directory of the node's own (moby#34556).

Nodes keep this as a file: it imports the standard library only, and runs on Python 3.9.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, Optional

#: Below the mount: what the plugin hands out is apart from what else the store holds.
FOLDER = ".volumes"
#: A store that does not answer must not hold the engine, which gives up after half a minute and asks again.
DEADLINE_S = 10.0
MEDIA_TYPE = "application/vnd.docker.plugins.v1.2+json"
#: As the engine's own volumes may be called (docker-volume-create(1)).
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_PATH, _DIRECTORY = os.O_PATH | os.O_CLOEXEC, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

Message = dict[str, Any]
Call = Callable[["Volumes", Message], Optional[Message]]  # noqa: UP045 - evaluated, on Python 3.9 too


class Refused(Exception):
    """What the engine is told in `Err`."""


def mount_point_of(fd: int) -> str:
    """Where the file system is mounted on which `fd` was opened (proc(5): fdinfo, mountinfo)."""
    with open(f"/proc/self/fdinfo/{fd}") as info:
        number = next(line.split()[1] for line in info if line.startswith("mnt_id:"))
    with open("/proc/self/mountinfo") as mounts:
        return next((line.split()[4] for line in mounts if line.split()[0] == number), "")


class Volumes:
    """The volumes of the store that is mounted at `mount`. Methods raise Refused, and OSError."""

    def __init__(self, mount: str, mount_point: Callable[[int], str] = mount_point_of) -> None:
        self.mount = mount
        self._mount_point = mount_point

    def create(self, name: str, options: dict[str, str]) -> None:
        if not _NAME.fullmatch(name):
            raise Refused(f"{name!r} is no name of a volume")
        if options:
            raise Refused(f"volumes of a store have no options of their own: {', '.join(sorted(options))}")
        with self._folder() as folder, contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
            os.chmod(name, 0o1777, dir_fd=folder)  # noqa: S103 - any container's user may write

    def remove(self, name: str) -> None:
        """With its data, for all nodes: that is what a volume of scope global means."""
        _refuse_unknown(name)
        with self._folder() as folder:
            gone = f".removed-{os.uname().nodename}-{os.getpid()}-{threading.get_ident()}-{name}"
            with contextlib.suppress(FileNotFoundError):
                os.rename(name, gone, src_dir_fd=folder, dst_dir_fd=folder)
                shutil.rmtree(f"/proc/self/fd/{folder}/{gone}")

    def path(self, name: str) -> str:
        """Where the volume is. Raises Refused where there is none."""
        _refuse_unknown(name)
        with self._folder() as folder:
            try:
                os.close(os.open(name, _DIRECTORY, dir_fd=folder))
            except (FileNotFoundError, NotADirectoryError):
                raise Refused(f"no such volume: {name}") from None
        return self.place(name)

    def place(self, name: str) -> str:
        return f"{self.mount}/{FOLDER}/{name}"

    def names(self) -> list[str]:
        with self._folder() as folder:
            return sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))

    @contextlib.contextmanager
    def _folder(self) -> Iterator[int]:
        """The folder of all volumes, opened by way of the mount: whoever unmounts the store meanwhile, what is
        done in the folder is done in the store.
        """
        try:
            top = os.open(self.mount, _PATH)
        except FileNotFoundError:
            raise Refused(f"the store is not mounted at {self.mount}") from None
        try:
            if self._mount_point(top) != self.mount:
                raise Refused(f"the store is not mounted at {self.mount}")
            with contextlib.suppress(FileExistsError):
                os.mkdir(FOLDER, dir_fd=top)
            folder = os.open(FOLDER, _DIRECTORY, dir_fd=top)
        finally:
            os.close(top)
        try:
            yield folder
        finally:
            os.close(folder)


def _refuse_unknown(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Refused(f"no such volume: {name}")


def _get(volumes: Volumes, asked: Message) -> Message:
    return {"Volume": {"Name": asked["Name"], "Mountpoint": volumes.path(asked["Name"]), "Status": {}}}


def _path(volumes: Volumes, asked: Message) -> Message:
    return {"Mountpoint": volumes.path(asked["Name"])}


def _list(volumes: Volumes, _asked: Message) -> Message:
    return {"Volumes": [{"Name": name, "Mountpoint": volumes.place(name)} for name in volumes.names()]}


#: docs.docker.com/engine/extend/plugins_volume. An unmount asks nothing of the store: a container must be able to
#: end where it is gone.
CALLS: dict[str, Call] = {
    "/Plugin.Activate": lambda _volumes, _asked: {"Implements": ["VolumeDriver"]},
    "/VolumeDriver.Capabilities": lambda _volumes, _asked: {"Capabilities": {"Scope": "global"}},
    "/VolumeDriver.Create": lambda volumes, asked: volumes.create(asked["Name"], asked.get("Opts") or {}),
    "/VolumeDriver.Remove": lambda volumes, asked: volumes.remove(asked["Name"]),
    "/VolumeDriver.Path": _path,
    "/VolumeDriver.Mount": _path,
    "/VolumeDriver.Unmount": lambda _volumes, _asked: None,
    "/VolumeDriver.Get": _get,
    "/VolumeDriver.List": _list,
}


def answer(volumes: Volumes, path: str, body: bytes, deadline_s: float = DEADLINE_S) -> tuple[int, Message]:
    """The HTTP status, and what the engine is told. A store that hangs holds a thread of ours, not the engine."""
    call = CALLS.get(path)
    if call is None:
        return 404, {"Err": f"a volume plugin has no {path}"}
    told: list[tuple[int, Message]] = []
    worker = threading.Thread(target=lambda: told.append(_told(call, volumes, body)), daemon=True)
    worker.start()
    worker.join(deadline_s)
    return told[0] if told else (500, {"Err": f"the store at {volumes.mount} did not answer in {deadline_s:g} s"})


def _told(call: Call, volumes: Volumes, body: bytes) -> tuple[int, Message]:
    try:
        return 200, {**(call(volumes, json.loads(body or b"{}")) or {}), "Err": ""}
    except (Refused, OSError) as error:
        return 500, {"Err": str(error)}
    except (ValueError, KeyError, TypeError) as error:
        return 400, {"Err": f"this is no call of a volume plugin: {error!r}"}


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The socket appears whole, where it listens already; it takes the place of what a killed one left."""

    daemon_threads = True

    def __init__(self, socket: str, volumes: Volumes) -> None:
        self.volumes = volumes
        self._socket = socket
        super().__init__(f"{socket}.{os.getpid()}", _Handler)

    def server_activate(self) -> None:
        super().server_activate()
        os.rename(f"{self._socket}.{os.getpid()}", self._socket)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, message = answer(self.server.volumes, self.path, body)
        data = json.dumps(message).encode()
        self.send_response(status)
        self.send_header("Content-Type", MEDIA_TYPE)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a node has no log of it."""


if __name__ == "__main__":
    with Server(sys.argv[1], Volumes(sys.argv[2])) as server:
        server.serve_forever()
