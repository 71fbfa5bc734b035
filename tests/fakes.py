"""Fakes of the seams: they keep the contracts of harness/ports.py, which tests/contract holds them to."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Mapping, Sequence

from harness.model.errors import ChannelLost, DeadlineExceeded
from harness.ports import Channel, Result, Right

Answer = Callable[[Sequence[str], bytes], Result]
#: Lines that a fake program answers to one line of input.
Speak = Callable[[bytes], Iterable[bytes]]


class FakeChannel:
    """A program that answers every line by `speak`; it ends with the channel, or when `end` is called."""

    def __init__(self, speak: Speak) -> None:
        self._speak = speak
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._ended = False

    def send(self, line: bytes) -> None:
        if self._ended:
            raise ChannelLost("the fake program has ended")
        for answer in self._speak(line):
            self._lines.put(answer)

    def receive(self, timeout_s: float) -> bytes | None:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if line is None:
            self._lines.put(None)
            raise ChannelLost("the fake program has ended")
        return line

    def close(self) -> None:
        self.end()

    def end(self) -> None:
        self._ended = True
        self._lines.put(None)


class FakeHost:
    """Answers by the longest prefix of `argv` that `answers` knows; what it does not know is code 127.

    A value is a Result, or a function of argv and stdin; one that raises TimeoutError stands for a command that
    does not end. `programs` are those that can be kept open. `ran` and `inputs` record every call.
    """

    def __init__(
        self,
        name: str = "n1",
        *,
        address: str = "10.0.0.1",
        rights: frozenset[Right] = frozenset({"shell"}),
        answers: Mapping[tuple[str, ...], Result | Answer] | None = None,
        programs: Mapping[tuple[str, ...], Speak] | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.rights = rights
        self.answers = dict(answers or {})
        self.programs = dict(programs or {})
        self.ran: list[tuple[str, ...]] = []
        self.inputs: list[bytes] = []
        self.channels: list[FakeChannel] = []

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        self.ran.append(tuple(argv))
        self.inputs.append(stdin)
        prefix = _longest(self.answers, argv)
        if prefix is None:
            return Result(127, "", f"{argv[0]}: No such file or directory")
        answer = self.answers[prefix]
        try:
            return answer if isinstance(answer, Result) else answer(argv, stdin)
        except TimeoutError:
            raise DeadlineExceeded(f"on {self.name}: {argv[0]} did not end within {timeout_s:g} s") from None

    def channel(self, argv: Sequence[str]) -> Channel:
        prefix = _longest(self.programs, argv)
        if prefix is None:
            raise ChannelLost(f"on {self.name}: {argv[0]} cannot be started")
        opened = FakeChannel(self.programs[prefix])
        self.channels.append(opened)
        return opened


def _longest(known: Iterable[tuple[str, ...]], argv: Sequence[str]) -> tuple[str, ...] | None:
    fitting = [prefix for prefix in known if tuple(argv[: len(prefix)]) == prefix]
    return max(fitting, key=len, default=None)
