"""Follows agent/frames.py on standard input of a host's Python: the same records, written and nothing else.

    python3 -I -S - PATH WRITER RECORD_BYTES DURATION_S

Prints how many records it wrote and in how many seconds.
"""

import os
import sys
import time
from collections.abc import Callable

#: As many records between two looks at the clock as a recording writer writes between two looks at its stop flag.
CHUNK_RECORDS = 64


def write_plainly(build: Callable[[int], bytes], path: str, duration_s: float) -> "tuple[int, float]":
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    sequence = 0
    start = now = time.monotonic()
    while now < start + duration_s:
        for number in range(sequence, sequence + CHUNK_RECORDS):
            os.write(fd, build(number))
        sequence += CHUNK_RECORDS
        now = time.monotonic()
    os.close(fd)
    return sequence, now - start


if __name__ == "__main__":
    build_record = builder(int(sys.argv[2]), int(sys.argv[3]))  # type: ignore[name-defined]  # noqa: F821
    print(*write_plainly(build_record, sys.argv[1], float(sys.argv[4])))
