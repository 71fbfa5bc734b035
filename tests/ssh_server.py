"""An SSH server in this process that runs commands on this machine, and a relay that can cut or hold its bytes."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_FAILED_RESOURCE_SHORTAGE,
    OPEN_SUCCEEDED,
)

#: What reading, writing and closing raise once the other end, or the whole connection, is gone. Any thread here
#: may meet it at any moment, and none may leak it; paramiko says EOFError where a socket says OSError.
GONE = (OSError, EOFError, paramiko.SSHException)

#: Slow to make: one for all servers of a test session.
HOST_KEY = paramiko.ECDSAKey.generate()
CLIENT_KEY = paramiko.ECDSAKey.generate()


def host_key_text(key: paramiko.PKey = HOST_KEY) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def write_key(folder: Path, key: paramiko.PKey = CLIENT_KEY) -> Path:
    path = folder / f"id_{key.get_fingerprint().hex()[-6:]}"
    key.write_private_key_file(str(path))
    return path


class _Rules(paramiko.ServerInterface):
    """Of one connection."""

    def __init__(self, server: SshServer) -> None:
        self.server = server
        self._targets: dict[int, socket.socket] = {}
        self._channels: list[paramiko.Channel] = []  # a transport only knows them weakly

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if key == CLIENT_KEY else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        self.server.asked_through.append(destination)
        try:
            self._targets[chanid] = socket.create_connection(destination, 5)
        except OSError:
            return OPEN_FAILED_CONNECT_FAILED
        return OPEN_SUCCEEDED if self.server.open else OPEN_FAILED_RESOURCE_SHORTAGE

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.server.commands.append(command.decode())
        _spawn(lambda: _execute(channel, command.decode(), self.server.environment))
        return True

    def serve(self, transport: paramiko.Transport) -> None:
        """Until the connection ends: bytes are passed on for every channel that was opened to somewhere else."""
        while transport.is_active():
            channel = transport.accept(0.2)
            if channel is None:
                continue
            self._channels.append(channel)
            if (target := self._targets.pop(channel.chanid, None)) is not None:
                _spawn(functools.partial(_pass_on, channel, target))
        for target in self._targets.values():
            target.close()


class SshServer:
    """`commands` are those that it was asked to run, with `environment` added to ours; `connections` counts those
    that were made.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.environment = dict(environment or {})
        self.commands: list[str] = []
        self.asked_through: list[tuple[str, int]] = []
        self.connections = 0
        self.open = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._transports: list[paramiko.Transport] = []
        _spawn(self._accept)

    def close(self) -> None:
        self.open = False
        _stop_listening(self._listener)
        for transport in list(self._transports):
            transport.close()

    def _accept(self) -> None:
        while self.open:
            sock, _ = self._listener.accept()
            self.connections += 1
            _spawn(functools.partial(self._talk, sock))

    def _talk(self, sock: socket.socket) -> None:
        transport = paramiko.Transport(sock)
        self._transports.append(transport)
        rules = _Rules(self)
        try:
            transport.add_server_key(HOST_KEY)
            transport.start_server(server=rules)
            if self.open:
                rules.serve(transport)
        finally:
            transport.close()


def _spawn(target: Callable[[], None]) -> threading.Thread:
    """A thread that ends quietly when whoever it talks to is gone."""

    def run() -> None:
        with contextlib.suppress(*GONE):
            target()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _stop_listening(listener: socket.socket) -> None:
    """close() alone would leave a thread in accept(), on a descriptor that the next socket may get."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _pass_on(channel: paramiko.Channel, target: socket.socket) -> None:
    try:
        with target:
            _pump(channel, target)
    finally:
        channel.close()


def _execute(channel: paramiko.Channel, command: str, environment: Mapping[str, str]) -> None:
    process = subprocess.Popen(
        ["sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **environment},
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    stdout, stderr, stdin = process.stdout, process.stderr, process.stdin

    def feed() -> None:
        with contextlib.suppress(*GONE):
            while piece := channel.recv(65536):
                stdin.write(piece)
                stdin.flush()
        stdin.close()

    def tell(read: Callable[[int], bytes], send: Callable[[bytes], None]) -> None:
        while piece := read(65536):
            send(piece)

    _spawn(feed)
    tellers = [
        _spawn(functools.partial(tell, stdout.read1, channel.sendall)),  # type: ignore[attr-defined]
        _spawn(functools.partial(tell, stderr.read1, channel.sendall_stderr)),  # type: ignore[attr-defined]
    ]
    for thread in tellers:
        thread.join()
    stdout.close()
    stderr.close()
    channel.send_exit_status(process.wait() & 255)
    channel.close()


def _pump(one: socket.socket | paramiko.Channel, other: socket.socket | paramiko.Channel) -> None:
    while True:
        readable, _, _ = select.select([one, other], [], [], 0.2)
        for source in readable:
            data = source.recv(65536)
            if not data:
                return
            (other if source is one else one).sendall(data)


class Relay:
    """TCP to `port` by way of a port of its own; `hold` lets no byte through any more, and says nothing of it."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._held = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        _spawn(self._accept)

    def hold(self) -> None:
        self._held.set()

    def cut(self) -> None:
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        _stop_listening(self._listener)
        self.cut()
        for sock in self._sockets:
            sock.close()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                _spawn(functools.partial(self._copy, source, sink))

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            if self._held.is_set():
                return
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def ssh_server(environment: Mapping[str, str] | None = None) -> Iterator[SshServer]:
    server = SshServer(environment)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def relay(port: int) -> Iterator[Relay]:
    made = Relay(port)
    try:
        yield made
    finally:
        made.close()
