"""Networks and shared volumes on real multi-node clusters, checked across hosts under faults."""

__version__ = "0.1.0"
