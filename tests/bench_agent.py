"""What recording costs: append writers beside the same Python writes without time stamps or rows.

    python -m tests.bench_agent [DIRECTORY]

Both append records to a new file in the same directory, in turn, as fast as they can. The last column is the
median of the rounds' ratios.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from harness.agent.frames import builder
from harness.transport.agent import Agent
from harness.transport.local import LocalHost

RECORD_BYTES = 128
ROUND_S = 1.0
ROUNDS = 5


def plain(path: Path, writer: int) -> None:
    """The same records, written until the time is over, and nothing else."""
    build = builder(writer, RECORD_BYTES)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    end = time.monotonic() + ROUND_S
    sequence = 0
    while time.monotonic() < end:
        for _ in range(64):
            os.write(fd, build(sequence))
            sequence += 1
    os.close(fd)


def plain_rate(path: Path, writers: int) -> float:
    context = get_context("spawn")
    processes = [context.Process(target=plain, args=(path, writer)) for writer in range(1, writers + 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return path.stat().st_size / RECORD_BYTES / ROUND_S


def recorded_rate(agent: Agent, path: Path, writers: int) -> float:
    """Records a second of the agent's writers, from the first to the last of them."""
    starts: list[int] = []
    ends: list[int] = []

    def on_batch(batch: dict[str, list[int]]) -> None:
        starts.append(batch["start_ns"][0])
        ends.append(batch["end_ns"][-1])

    common = {"at": "bench", "pid": 0, "path": str(path)}
    params = {
        "writers": [{"process": f"w{number}", "writer": number, **common} for number in range(writers)],
        "key": "bench", "record_bytes": RECORD_BYTES, "rate_per_s": 0, "block": 65536, "fsync": False,
    }  # fmt: skip
    job = agent.open("append", params, on_batch, lambda _wanted: None)
    time.sleep(ROUND_S)
    job.stop()
    told = job.wait(30)["writers"].values()
    return float(sum(writer["appended"] for writer in told) / ((max(ends) - min(starts)) / 1e9))


def measure(agent: Agent, folder: Path, writers: int) -> str:
    plains, recordeds = [], []
    for number in range(ROUNDS):
        paths = folder / f"{writers}-{number}-plain", folder / f"{writers}-{number}-recorded"
        plains.append(plain_rate(paths[0], writers))
        recordeds.append(recorded_rate(agent, paths[1], writers))
        for path in paths:
            path.unlink()
    ratio = statistics.median(r / p for r, p in zip(recordeds, plains, strict=True))
    figures = f"{statistics.median(plains):,.0f} | {statistics.median(recordeds):,.0f}"
    return f"| {writers} | {figures} | {ratio:.2f} |"


def main(directory: str | None) -> None:
    print("| writers | plain writes/s | recorded writes/s | ratio |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        agent = Agent.start(LocalHost(), timeout_s=30)
        try:
            for writers in (1, 2):
                print(measure(agent, Path(folder), writers), flush=True)
        finally:
            agent.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
