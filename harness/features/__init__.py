"""What a host can do, found out by doing it in a scratch namespace of that host."""

from harness.features.catalog import FEATURES, Feature
from harness.features.probes import Answer, attempt, missing, probe, skips

__all__ = ["FEATURES", "Answer", "Feature", "attempt", "missing", "probe", "skips"]
