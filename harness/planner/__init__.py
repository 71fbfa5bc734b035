"""What a topology means on one provider and orchestrator, before anything is changed. Pure.

The planner knows no orchestrator: drivers and a `Rendering` are handed to it.
"""

from harness.planner.describe import describe
from harness.planner.planning import plan
from harness.planner.problems import problems
from harness.planner.seams import Choice, Rendering

__all__ = ["Choice", "Rendering", "describe", "plan", "problems"]
