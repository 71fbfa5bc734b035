"""Docker Swarm, by the docker CLI on the nodes: over Host.run only, so that any transport will do."""

from harness.orchestrators.swarm.orchestrator import Swarm
from harness.orchestrators.swarm.render import SwarmRendering

__all__ = ["Swarm", "SwarmRendering"]
