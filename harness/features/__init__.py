"""What a host can do, found out by doing it in a scratch namespace of that host."""

from harness.features.probes import FEATURES, Feature, missing, probe, skips

__all__ = ["FEATURES", "Feature", "missing", "probe", "skips"]
