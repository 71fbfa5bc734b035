"""Measures the clocks of hosts that do not share a kernel: before, during and after their checks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

from harness.model.clocks import CLOCK, CONTROLLER
from harness.model.errors import EnvironmentBroken
from harness.runner._seams import SYSTEM_CLOCK, AgentLike, Clock, RecorderLike

#: Drift widens what lies between two measurements; a lost host is asked no longer than its answer is worth.
EVERY_S = 2.0
ANSWER_S = 1.0
#: Before and after: the quickest of several answers says most.
BURST = 8


@contextlib.contextmanager
def measured_clocks(
    agents: Mapping[str, AgentLike], recorder: RecorderLike, clock: Clock = SYSTEM_CLOCK
) -> Iterator[None]:
    """While it is open every agent's clock is measured again and again, and written down as `clock` rows."""
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(agents, recorder, clock, over), name="clocks", daemon=True)
    for _ in range(BURST):
        _measure(agents, recorder, clock)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        for _ in range(BURST):
            _measure(agents, recorder, clock)


def _keep(agents: Mapping[str, AgentLike], recorder: RecorderLike, clock: Clock, over: threading.Event) -> None:
    while not over.wait(EVERY_S):
        _measure(agents, recorder, clock)


def _measure(agents: Mapping[str, AgentLike], recorder: RecorderLike, clock: Clock) -> None:
    """One measurement of each host. One that does not answer says nothing; a history that cannot be written is
    told to whoever writes the next row.
    """
    for host, agent in agents.items():
        with contextlib.suppress(EnvironmentBroken):
            start_ns = clock.now_ns()
            told = agent.open("ping", {}, _no_rows).wait(ANSWER_S)["monotonic_ns"]
            recorder.write(
                {
                    "n": 1,
                    "process": CONTROLLER,
                    "host": host,
                    "f": CLOCK,
                    "key": "monotonic",
                    "value": str(told),
                    "start_ns": start_ns,
                    "end_ns": clock.now_ns(),
                    "outcome": "ok",
                }
            )


def _no_rows(_batch: object) -> None:
    """A ping answers with no rows."""
