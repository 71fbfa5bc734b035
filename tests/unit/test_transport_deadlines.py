"""Deadlines beside the process, as who only looks sees them."""

from __future__ import annotations

from harness.ports import Result
from harness.providers import kind_wait
from harness.transport.deadlines import answer_of, bounded
from tests.fakes import FakeHost


def too_late(_argv: object, _stdin: bytes) -> Result:
    raise TimeoutError


def test_a_look_that_was_too_slow_is_an_answer_that_says_so() -> None:
    host = FakeHost("n1", answers={("look",): too_late, ("see",): Result(0, "all", "")})
    late = answer_of(host, ["look"], timeout_s=3)
    assert (late.ok, late.code) == (False, 124)
    assert "look" in late.stderr
    assert answer_of(host, ["see"], timeout_s=3) == Result(0, "all", "")


def test_an_api_that_is_slow_once_is_asked_again() -> None:
    host = FakeHost("n1", answers={("env",): too_late})
    assert not kind_wait.kubectl(host, "get", "nodes").ok


def test_a_command_that_ignores_its_end_is_killed_two_seconds_later() -> None:
    assert bounded(["a", "b"], 1.5) == ["timeout", "-k", "2", "1.5", "a", "b"]
