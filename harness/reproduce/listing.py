"""Which scenarios can run on this machine, and what the others miss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness import features
from harness.providers import images
from harness.providers.releases import offered, release_of
from harness.reproduce.catalog import Scenario, catalog, read_scenario
from harness.reproduce.running import engine_of, outside_of
from harness.transport.local import LocalHost


@dataclass(frozen=True)
class Listed:
    """`engine` is what nodes have where nobody says otherwise. `misses` are features of this machine by name, and
    engines that it cannot have, each with why; `wants` cannot be asked here.
    """

    scenario: Scenario
    engine: str
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
        misses = [f"{need} ({answer.why})" for need, answer in lacking]
        engine, why = engine_of(scenario.topology(())), without_engine(scenario)
        yield Listed(scenario, engine, (*misses, *([why] if why else [])), tuple(scenario.header.wants))


def without_engine(scenario: Scenario) -> str:
    """Why nodes here cannot have an engine that the thread is about; empty where they can."""
    topology = scenario.topology(())
    if outside_of(scenario.header.affects, [engine_of(topology)]):
        return f"engine {scenario.header.affects.words} (Debian has {offered()})"
    release = release_of(topology.cluster.engine)
    if release is None or images.can_be_had("node", release):
        return ""
    return f"engine {release.engine} (no image of it, no mmdebstrap to build one, and no Docker engine)"
