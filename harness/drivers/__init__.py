"""What a network or a volume means on an orchestrator. Pure: no process, no socket.

A new driver is one module with `NETWORKS` or `VOLUMES`, keyed by (orchestrator, driver), and its test.
"""

from harness.model.registry import collect
from harness.ports import NetworkDriver, VolumeDriver

__all__ = ["REGISTRY", "VOLUMES"]

REGISTRY: dict[tuple[str, str], NetworkDriver] = {
    key: driver for module in collect(__name__, "NETWORKS").values() for key, driver in module.items()
}
VOLUMES: dict[tuple[str, str], VolumeDriver] = {
    key: driver for module in collect(__name__, "VOLUMES").values() for key, driver in module.items()
}
