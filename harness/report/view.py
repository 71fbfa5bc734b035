"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.model.history import History
from harness.model.plan import Plan
from harness.model.run import Run


@dataclass(frozen=True)
class RunView:
    """A finished run with all that was recorded of it. `env` is env.json: versions, kernel, facts of each node."""

    run: Run
    plan: Plan
    history: History
    env: Mapping[str, Any]
