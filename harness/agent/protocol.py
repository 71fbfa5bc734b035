"""The agent's side of the stream: lines of JSON in, lines of JSON out, every call in a thread of its own."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .rows import FLUSH_S, Batch, Rows

_CHUNK_BYTES = 1 << 16


class Call:
    """One call under way. A handler reads `params`, adds `rows` or sends a `batch`, and looks at `stopped`.

    A handler may replace `on_grant` and `on_stop`; both are called by the thread that reads the stream.
    """

    def __init__(self, number: int, params: dict[str, Any], send: Callable[[str], None]) -> None:
        self.params = params
        self.stopped = threading.Event()
        self.rows = Rows(self.batch)
        self.on_grant: Callable[[dict[str, Any]], None] = lambda _grant: None
        self.on_stop: Callable[[], None] = lambda: None
        self._number = number
        self._send = send

    def batch(self, batch: Batch) -> None:
        self._send(_json({"id": self._number, "batch": batch}))

    def reserve(self, wanted: dict[str, Any]) -> None:
        self._send(_json({"id": self._number, "reserve": wanted}))

    def done(self, result: dict[str, Any]) -> None:
        self.rows.flush()
        self._send(_json({"id": self._number, "done": result}))

    def failed(self, error: BaseException) -> None:
        self.rows.flush()
        told = {"type": type(error).__name__, "message": str(error)}
        self._send(_json({"id": self._number, "error": told}))

    def stop(self) -> None:
        self.stopped.set()
        self.on_stop()


def _json(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


Handler = Callable[[Call], dict[str, Any]]


class Session:
    """Serves one stream until its input ends. `ping` and `hello` style handlers are as any other."""

    def __init__(self, read_fd: int, write_fd: int, handlers: Mapping[str, Handler]) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._handlers = handlers
        self._writing = threading.Lock()
        self._calls: dict[int, Call] = {}

    def serve(self) -> None:
        threading.Thread(target=self._flush, daemon=True).start()
        for line in self._lines():
            self._take(json.loads(line))

    def send(self, line: str) -> None:
        rest = memoryview(line.encode() + b"\n")
        with self._writing:
            while rest:
                rest = rest[os.write(self._write_fd, rest) :]

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        while True:
            chunk = os.read(self._read_fd, _CHUNK_BYTES)
            if not chunk:
                return
            head, newline, tail = chunk.rpartition(b"\n")
            if newline:
                yield from (rest + head).split(b"\n")
                rest = tail
            else:
                rest += chunk

    def _take(self, message: dict[str, Any]) -> None:
        number = message["id"]
        if "call" in message:
            call = Call(number, message["params"], self.send)
            self._calls[number] = call
            threading.Thread(target=self._run, args=(number, message["call"], call), daemon=True).start()
        elif number in self._calls:
            self._tell(self._calls[number], message)

    def _tell(self, call: Call, message: dict[str, Any]) -> None:
        """A grant or a stop. What comes after a call's end is of no use to anyone."""
        if "grant" in message:
            call.on_grant(message["grant"])
        elif message.get("stop"):
            call.stop()

    def _run(self, number: int, name: str, call: Call) -> None:
        try:
            handler = self._handlers.get(name)
            if handler is None:
                raise ValueError(f"the agent has no call {name!r}")
            call.done(handler(call))
        except Exception as error:  # noqa: BLE001 (the controller gets whatever a call met, as its answer)
            call.failed(error)
        finally:
            del self._calls[number]

    def _flush(self) -> None:
        while True:
            time.sleep(FLUSH_S)
            for call in list(self._calls.values()):
                call.rows.flush()
