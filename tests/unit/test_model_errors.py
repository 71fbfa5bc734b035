"""What errors say of commands."""

from __future__ import annotations

import pytest

from harness.model.errors import CommandFailed, command_line


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["docker", "run", "a b"], "docker run 'a b'"),
        (["sh", "-c", "one && two"], "sh -c 'one && two'"),
        (["sh", "-c", "\none\ntwo\nthree\n", "sh", "x"], "sh -c '<a script of 3 lines>' sh x"),
    ],
)
def test_a_command_can_be_run_again_and_a_script_does_not_hide_what_it_said(argv: list[str], told: str) -> None:
    assert command_line(argv) == told
    error = CommandFailed(argv, 1, "no room\n", where="n1 (format a brick)")
    assert str(error) == f"on n1 (format a brick): `{told}` ended with 1\nno room"
    assert error.argv == tuple(argv)
