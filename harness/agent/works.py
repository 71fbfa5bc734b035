"""The call `work`: workers that run a program, one of `programs.PROGRAMS`."""

from __future__ import annotations

import json
from collections.abc import Callable

from .crew import Crew, Member
from .nursery import Nursery
from .programs import PROGRAMS
from .protocol import Call
from .rows import Row

#: What a call says of itself and not to its workers.
_OWN = ("workers", "deadline_s")


def work(nursery: Nursery) -> Callable[[Call], Row]:
    """The handler of the call `work`. Raises ValueError for a program that there is not."""

    def handler(call: Call) -> Row:
        name = call.params["program"]
        if name not in PROGRAMS:
            raise ValueError(f"there is no program {name!r}; there are {', '.join(sorted(PROGRAMS))}")
        crew = _Working(call, call.params.get("deadline_s"))
        shared = {key: value for key, value in call.params.items() if key not in _OWN}
        try:
            crew.start(nursery, [{**shared, **params} for params in call.params["workers"]])
            return {"workers": {m.process: {"operations": m.next, "end": m.ended} for m in crew.serve()}}
        finally:
            crew.close()

    return handler


class _Working(Crew):
    """Workers make whole batches. Of one that vanished, its reservations cover what it may have done."""

    def _take(self, member: Member, body: bytes) -> None:
        batch = json.loads(body)
        member.next += batch["n"]
        self._call.batch({**batch, "at": member.at})
