"""What the runner needs of others, and nothing more of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Batch = Mapping[str, Any]
OnBatch = Callable[[Batch], None]
#: Returns once the reservation is on disk: what it was given is granted then.
OnReserve = Callable[[Mapping[str, Any]], None]


class JobLike(Protocol):
    """A call of an agent that is under way."""

    def stop(self) -> None:
        """Ask it to end. Idempotent; returns at once."""

    def wait(self, timeout_s: float) -> Mapping[str, Any]:
        """What it ended with; its batches have been handed over. Raises EnvironmentBroken where it failed,
        DeadlineExceeded where it goes on, ChannelLost where its agent is gone.
        """


class AgentLike(Protocol):
    """One host's agent (docs/agent.md)."""

    def open(
        self, method: str, params: Mapping[str, Any], on_batch: OnBatch, on_reserve: OnReserve | None = None
    ) -> JobLike: ...

    def alive(self, timeout_s: float) -> bool: ...


#: Starts an agent on a host anew, in the place of the one that went with it. Raises EnvironmentBroken.
Revive = Callable[[str], None]


class RecorderLike(Protocol):
    def write(self, batch: Batch, *, now: bool = False) -> None:
        """Append a batch; with `now` it is on disk when the call returns. Raises EnvironmentBroken."""


@dataclass(frozen=True)
class Clock:
    """Time as the runner sees it: CLOCK_MONOTONIC in nanoseconds."""

    now_ns: Callable[[], int] = time.monotonic_ns
    sleep: Callable[[float], None] = time.sleep

    def now_s(self) -> float:
        return self.now_ns() / 1e9

    def sleep_until(self, at_s: float) -> None:
        self.sleep(max(0.0, at_s - self.now_s()))

    def until(self, done: Callable[[], bool], within_s: float, every_s: float) -> bool:
        """Ask `done` until it says so or `within_s` is over; it is asked at least once."""
        end_s = self.now_s() + within_s
        while not done():
            if self.now_s() + every_s > end_s:
                return False
            self.sleep(every_s)
        return True


SYSTEM_CLOCK = Clock()
