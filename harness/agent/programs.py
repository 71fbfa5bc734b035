"""Programs that a worker can run: a name, and a function of a Hand in a module of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import (
    file_blocks,
    file_counter,
    file_durable,
    file_names,
    file_register,
    file_sessions,
    file_space,
    file_tail,
    file_visibility,
)
from .hand import Hand

PROGRAMS: Mapping[str, Callable[[Hand], None]] = {
    "blocks": file_blocks.run,
    "counter": file_counter.run,
    "durable": file_durable.run,
    "names": file_names.run,
    "register": file_register.run,
    "sessions": file_sessions.run,
    "space": file_space.run,
    "tail": file_tail.run,
    "visibility": file_visibility.run,
}
