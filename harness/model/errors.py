"""The error tree. Every error that a user can cause or meet is one of these.

HarnessError                 exit code
├── UsageError               64   the user's input is wrong
│   └── TopologyError        64   ... in a topology file: a list of problems with their places
├── EnvironmentBroken        70   the machine, engine or cluster did not do what it must
│   ├── CommandFailed        70   ... a command ended with another code than 0
│   ├── DeadlineExceeded     70   ... something did not happen in time
│   ├── ChannelLost          70   ... a kept connection to a host is gone
│   ├── Incomplete           70   ... some of it was done, and some not
│   └── Unreachable          70   ... a host cannot be reached, is not who it should be, or does not let us in
└── Interrupted              130  Ctrl-C or SIGTERM
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

EXIT_PASS = 0
EXIT_FAIL = 1
EXIT_UNKNOWN = 2
EXIT_USAGE = 64
EXIT_BROKEN = 70
EXIT_INTERRUPTED = 130


class HarnessError(Exception):
    """Base of all errors that are shown to a user without a stack trace.

    `hint` says what to do about it; None where nothing sensible can be said. `logs` are what hosts that are gone
    by now have said, by file (`n1/journal.log`): they go into the run.
    """

    exit_code: ClassVar[int] = EXIT_BROKEN

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.logs: dict[str, str] = {}


class UsageError(HarnessError):
    exit_code = EXIT_USAGE


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a topology: of a file, where `line` and `column` count from 1, or of an option, whose words
    `file` holds. `key` is a dotted path.
    """

    file: str
    line: int
    column: int
    key: str
    message: str
    nearest: str | None = None

    def __str__(self) -> str:
        near = f" (did you mean {self.nearest!r}?)" if self.nearest else ""
        where = f"{self.key}: " if self.key else ""
        place = "" if self.file.startswith("-") else f":{self.line}:{self.column}"
        return f"{self.file}{place}: {where}{self.message}{near}"


class TopologyError(UsageError):
    """A topology cannot be used. `problems` is never empty and holds every mistake that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class EnvironmentBroken(HarnessError):
    """The machine, the engine or the cluster failed; this says nothing about a driver."""


class FeatureMissing(EnvironmentBroken):
    """The hosts lack what a network, a volume or a store cannot do without. `needs` are the features' names, each
    with the host that lacks it: `ipvlan (n1: not supported)`.
    """

    def __init__(self, message: str, needs: Sequence[str], *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.needs = tuple(needs)


def command_line(argv: Sequence[str]) -> str:
    """A command for a message, quoted for a shell; of scripts that stand in it only how long they are, since
    `harness plan` shows them.
    """
    lines = [(word, len(word.strip().splitlines())) for word in argv]
    return " ".join(f"'<a script of {count} lines>'" if count > 1 else shlex.quote(word) for word, count in lines)


class CommandFailed(EnvironmentBroken):
    """A command ended with a code other than 0. Carries what a person needs to run it again.

    `doing` says what it was for, where that tells more than the host on which it ran.
    """

    def __init__(
        self,
        argv: Sequence[str],
        code: int,
        output: str,
        *,
        where: str = "this machine",
        doing: str = "",
        hint: str | None = None,
    ) -> None:
        tail = output.strip()[-2000:]
        super().__init__(
            f"{doing or f'on {where}'}: `{command_line(argv)}` ended with {code}\n{tail}".rstrip(), hint=hint
        )
        self.argv = tuple(argv)
        self.code = code
        self.output = output
        self.where = where


class DeadlineExceeded(EnvironmentBroken):
    """Something did not happen within its deadline. What it was doing is indeterminate."""


class ChannelLost(EnvironmentBroken):
    """A kept stream to a host ended. Operations that were under way are indeterminate."""


class Unreachable(EnvironmentBroken):
    """There is no connection to a host. Nothing was asked of it."""


class Incomplete(EnvironmentBroken):
    """Some of it could not be done: `errors`, never empty, say what and why. `done` says what was, for people."""

    def __init__(self, errors: Sequence[HarnessError], done: Sequence[str] = ()) -> None:
        messages = dict.fromkeys(error.message for error in errors)
        hints = dict.fromkeys(error.hint for error in errors if error.hint)
        super().__init__("\n".join(messages), hint="; ".join(hints) or None)
        self.errors = tuple(errors)
        self.done = tuple(done)


class Interrupted(HarnessError):
    exit_code = EXIT_INTERRUPTED
