"""Known bugs by number: a scenario, the predicates that tell, a hit rate, and evidence to paste."""

from harness.reproduce.bundle import write_bundle
from harness.reproduce.catalog import Scenario, catalog, read_scenario
from harness.reproduce.listing import Listed, listed
from harness.reproduce.running import Outcome, Reproduction, Trial, engines_in, reproduce

__all__ = [
    "Listed",
    "Outcome",
    "Reproduction",
    "Scenario",
    "Trial",
    "catalog",
    "engines_in",
    "listed",
    "read_scenario",
    "reproduce",
    "write_bundle",
]
