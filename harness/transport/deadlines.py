"""Deadlines that stand where the process is: ending a client alone would leave on a host what it asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.model.errors import DeadlineExceeded, command_line
from harness.ports import Host, Result

#: How much later than the deadline on the host the client itself is ended.
OUTER_GRACE_S = 5.0
#: timeout(1): the command was ended because its time was over; 137: it ignored that, and was killed 2 s later.
TIMED_OUT = (124, 137)


def bounded(argv: Sequence[str], timeout_s: float) -> list[str]:
    return ["timeout", "-k", "2", f"{timeout_s:g}", *argv]


def was_ended(code: int, began_s: float, timeout_s: float) -> bool:
    """Whether a bounded command that was begun then (time.monotonic) ended by its deadline. One with such a code
    sooner says it itself.
    """
    return code in TIMED_OUT and time.monotonic() - began_s >= timeout_s


def late(argv: Sequence[str], timeout_s: float, where: str, said: str) -> DeadlineExceeded:
    """`said` is what the command wrote to its standard error until then."""
    text = f"on {where}: `{command_line(argv)}` did not end within {timeout_s:g} s\n{said.strip()[-2000:]}"
    return DeadlineExceeded(text.rstrip())


def run_bounded(
    run: Callable[[Sequence[str], float], Result], argv: Sequence[str], *, timeout_s: float, where: str
) -> Result:
    """By `run(argv, timeout_s)`, a client of the host `where`. Raises DeadlineExceeded, whoever notices it."""
    began_s = time.monotonic()
    result = run(bounded(argv, timeout_s), timeout_s + OUTER_GRACE_S)
    if was_ended(result.code, began_s, timeout_s):
        raise late(argv, timeout_s, where, result.stderr)
    return result


def answer_of(host: Host, argv: Sequence[str], *, timeout_s: float) -> Result:
    """For who looks until something is so: a look that its deadline ended is an answer as any other, with the code
    of timeout(1). Raises ChannelLost.
    """
    try:
        return host.run(argv, timeout_s=timeout_s)
    except DeadlineExceeded as error:
        return Result(TIMED_OUT[0], "", error.message)
