"""What a host can do, found out by doing it in a scratch namespace of that host."""

from harness.features.catalog import CNI, FEATURES, PACKAGE, Feature
from harness.features.probes import Answer, attempt, feature, missing, probe, skips

__all__ = ["CNI", "FEATURES", "PACKAGE", "Answer", "Feature", "attempt", "feature", "missing", "probe", "skips"]
