"""What a finished run shows: files for programs and people, and a summary on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.model.history import History
from harness.model.plan import Plan
from harness.model.run import Run


@dataclass(frozen=True)
class RunView:
    """All that a report is made of. `env` is env.json: versions, kernel, what is known of each node."""

    run: Run
    plan: Plan
    history: History
    env: Mapping[str, Any]
