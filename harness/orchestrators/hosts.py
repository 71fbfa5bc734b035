"""Commands on hosts: checked, in parallel, awaited."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from harness.model.errors import CommandFailed
from harness.ports import Host, Result
from harness.transport.parallel import at_once

T = TypeVar("T")

POLL_S = 0.2
LONG_POLL_S = 3.0
_TOKEN = re.compile(r"SWMTKN-\S+")


def redacted(text: str) -> str:
    """Without join tokens: whoever has one can join the cluster."""
    return _TOKEN.sub("SWMTKN-***", text)


def failure(host: Host, argv: Sequence[str], result: Result, hint: str | None = None) -> CommandFailed:
    return CommandFailed(
        [redacted(word) for word in argv], result.code, redacted(result.output), where=host.name, hint=hint
    )


def image_hint(text: str) -> str | None:
    """What to do where an engine lacks an image."""
    if re.search("no such image|unable to find image", text, re.IGNORECASE):
        return "every node needs the image; `docker image ls` on a node lists what is there"
    return None


def must(host: Host, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> str:
    """The command's standard output. Raises CommandFailed, DeadlineExceeded, ChannelLost."""
    result = host.run(argv, timeout_s=timeout_s, stdin=stdin)
    if not result.ok:
        raise failure(host, argv, result)
    return result.stdout


def script(text: str, *arguments: str) -> list[str]:
    """Several commands in one round trip; `arguments` are $1 and on, so that nothing needs quoting."""
    return ["sh", "-c", text, "sh", *arguments]


def each(hosts: Iterable[Host], call: Callable[[Host], T]) -> dict[str, T]:
    """`call(host)` on all hosts at once, by the host's name. Waits for all, then raises the first error."""
    wanted = list(hosts)
    results = at_once([partial(call, host) for host in wanted])
    return {host.name: result for host, result in zip(wanted, results, strict=True)}


def ticks(timeout_s: float, every_s: float | None = None) -> Iterator[None]:
    """Once now, then every `every_s` (POLL_S) until `timeout_s` is over; the last is at the deadline or later.

    The pause is as long as what the caller did, up to LONG_POLL_S: an emulated node, which takes seconds for every
    answer, is not kept from what it is waited for by being asked without end.
    """
    shortest_s = POLL_S if every_s is None else every_s
    end = time.monotonic() + timeout_s
    began = time.monotonic()
    yield
    while (now := time.monotonic()) < end:
        time.sleep(max(shortest_s, min(now - began, LONG_POLL_S)))
        began = time.monotonic()
        yield
