"""What takes minutes is made once, whoever asks for it meanwhile, and is whole or not there."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.model.errors import EnvironmentBroken
from harness.providers import cache

#: Holds the lock of a file until its input ends.
HOLDER = """
import sys, pathlib
from harness.providers import cache
with cache.alone(pathlib.Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def quiet(_line: str) -> None:
    pass


def test_many_who_ask_at_once_get_what_one_makes(tmp_path: Path) -> None:
    path, made, go = tmp_path / "image.tar", [], threading.Event()

    def make(new: Path) -> None:
        go.wait(30)
        made.append(1)
        new.write_bytes(b"whole")

    askers = [threading.Thread(target=cache.once, args=(path, make, quiet)) for _ in range(4)]
    for asker in askers:
        asker.start()
    go.set()
    for asker in askers:
        asker.join(30)
    assert (len(made), path.read_bytes()) == (1, b"whole")


def test_another_process_that_makes_it_is_waited_for_and_said(tmp_path: Path) -> None:
    path, said = tmp_path / "root", list[str]()
    with _holder(path) as holder:
        thread = threading.Thread(target=cache.once, args=(path, lambda new: new.write_bytes(b"x"), said.append))
        thread.start()
        assert not path.exists()
        assert holder.stdin is not None
        holder.stdin.close()
        thread.join(30)
    assert path.read_bytes() == b"x"
    assert said in ([], ["another process of the harness makes root: waiting for it"])


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "root"
    with _holder(path) as holder:
        holder.kill()
        holder.wait(30)
        assert cache.once(path, lambda new: new.write_bytes(b"x"), quiet).exists()


def test_who_waits_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "ALONE_TIMEOUT_S", 0.01)
    path, said = tmp_path / "root", list[str]()
    with _holder(path), pytest.raises(EnvironmentBroken, match="another process has been making"):
        cache.once(path, lambda new: new.write_bytes(b"x"), said.append)
    assert said == ["another process of the harness makes root: waiting for it"]
    assert not path.exists()


def test_what_failed_is_made_by_the_next_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"

    def fail(new: Path) -> None:
        new.write_bytes(b"half")
        raise EnvironmentBroken("no mirror answers")

    with pytest.raises(EnvironmentBroken, match="no mirror"):
        cache.once(path, fail, quiet)
    assert not path.exists()
    assert cache.once(path, lambda new: new.write_bytes(b"whole"), quiet).read_bytes() == b"whole"


def _holder(path: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HOLDER, str(path)]
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder
