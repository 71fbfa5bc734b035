"""An SSH server in this process that runs commands on this machine, and a relay that can cut or hold its bytes."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

#: Slow to make: one for all servers of a test session.
HOST_KEY = paramiko.ECDSAKey.generate()
CLIENT_KEY = paramiko.ECDSAKey.generate()


def host_key_text(key: paramiko.PKey = HOST_KEY) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def write_key(folder: Path, key: paramiko.PKey = CLIENT_KEY) -> Path:
    path = folder / f"id_{key.fingerprint[-6:].replace('/', '_')}"
    key.write_private_key_file(str(path))
    return path


class _Rules(paramiko.ServerInterface):
    def __init__(self, server: SshServer) -> None:
        self.server = server

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
        self.server.spawn(lambda: self.server.pass_on(destination))
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.server.commands.append(command.decode())
        self.server.spawn(lambda: _execute(channel, command.decode()))
        return True


class SshServer:
    """`commands` are those that it was asked to run; `connections` counts those that were made."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.asked_through: list[tuple[str, int]] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._transports: list[paramiko.Transport] = []
        self.spawn(self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def spawn(self, target: Callable[[], None]) -> None:
        threading.Thread(target=target, daemon=True).start()

    def pass_on(self, destination: tuple[str, int]) -> None:
        channel = next(filter(None, (transport.accept(5) for transport in self._transports)))
        with socket.create_connection(destination, 5) as target:
            _pump(channel, target)
        channel.close()

    def close(self) -> None:
        self._listener.close()
        for transport in self._transports:
            transport.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                transport = paramiko.Transport(sock)
                transport.add_server_key(HOST_KEY)
                self._transports.append(transport)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Rules(self))


def _execute(channel: paramiko.Channel, command: str) -> None:
    process = subprocess.Popen(
        ["sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    stdout, stderr, stdin = process.stdout, process.stderr, process.stdin

    def feed() -> None:
        with contextlib.suppress(OSError):
            while piece := channel.recv(65536):
                stdin.write(piece)
                stdin.flush()
        with contextlib.suppress(OSError):
            stdin.close()

    def tell(read: Callable[[int], bytes], send: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while piece := read(65536):
                send(piece)

    feeder = threading.Thread(target=feed, daemon=True)
    tellers = [
        threading.Thread(target=tell, args=(stdout.read1, channel.sendall), daemon=True),  # type: ignore[attr-defined]
        threading.Thread(target=tell, args=(stderr.read1, channel.sendall_stderr), daemon=True),  # type: ignore[attr-defined]
    ]
    for thread in (feeder, *tellers):
        thread.start()
    for thread in tellers:
        thread.join()
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.send_exit_status(process.wait() & 255)
        channel.close()
    stdout.close()
    stderr.close()


def _pump(one: socket.socket | paramiko.Channel, other: socket.socket | paramiko.Channel) -> None:
    with contextlib.suppress(OSError):
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
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def hold(self) -> None:
        self._held.set()

    def cut(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()
        for sock in self._sockets:
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._held.is_set():
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def ssh_server() -> Iterator[SshServer]:
    server = SshServer()
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
