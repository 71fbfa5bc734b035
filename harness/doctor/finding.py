"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """`ok` is None where it could not be tried. `why` are the attempt's words, or the figure that was read;
    `blocks` says what does not work without it, `mend` what to do.
    """

    name: str
    group: str
    ok: bool | None
    why: str = ""
    blocks: tuple[str, ...] = ()
    mend: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "why": self.why, "blocks": list(self.blocks), "mend": self.mend}
