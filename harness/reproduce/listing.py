"""Which scenarios can run on this machine, and what the others miss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness import features
from harness.reproduce.catalog import Scenario, catalog, read_scenario
from harness.transport.local import LocalHost


@dataclass(frozen=True)
class Listed:
    """`misses` are features of this machine by name, each with why; `wants` cannot be asked here."""

    scenario: Scenario
    misses: tuple[str, ...]
    wants: tuple[str, ...]

    @property
    def runs_here(self) -> bool:
        return not self.misses


def listed() -> Iterator[Listed]:
    """Every scenario of the catalogue. Asks the machine once, and makes nothing."""
    scenarios = [read_scenario(path) for path in catalog().values()]
    answers = features.attempt(
        LocalHost("this machine"), [need for each in scenarios for need in each.header.needs]
    )
    for scenario in scenarios:
        lacking = [(need, answers[need]) for need in scenario.header.needs if answers[need].ok is not True]
        misses = tuple(f"{need} ({answer.why})" for need, answer in lacking)
        yield Listed(scenario, misses, tuple(scenario.header.wants))
