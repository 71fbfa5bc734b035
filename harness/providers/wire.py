"""The link between container nodes: a bridge of the engine's with a subnet of its own, and a helper on it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.plan import Plan
from harness.providers.engine import Engine, docker_errors
from harness.providers.labels import CALL_TIMEOUT_S, WIRE
from harness.transport.process import run_process

#: Wires are /24s of this block: outside Docker's default pools (172.17-31, 192.168) and of most topologies.
BLOCK = ipaddress.IPv4Network("10.213.0.0/16")
TRIES = 20
START_TIMEOUT_S = 60.0


def make_network(engine: Engine, plan: Plan, labels: Mapping[str, str]) -> ipaddress.IPv4Network:
    """A bridge that is called as the cluster is, with a subnet that clashes with nothing that the engine or the
    topology uses. Returns the subnet.
    """
    taken = [ipaddress.ip_network(text) for text in _taken_subnets(engine, plan)]
    start = sum(plan.run.encode()) % 256
    candidates = list(BLOCK.subnets(new_prefix=24))
    free = [net for net in candidates[start:] + candidates[:start] if not any(net.overlaps(t) for t in taken)]
    for subnet in free[:TRIES]:
        try:
            with docker_errors("making the wire"):
                engine.client(CALL_TIMEOUT_S).network.create(
                    plan.cluster, driver="bridge", subnet=str(subnet), labels=dict(labels)
                )
        except CommandFailed as error:
            if "overlap" in error.output:  # another run took it between our look and our call
                continue
            raise
        return subnet
    raise EnvironmentBroken(f"no subnet of {BLOCK} is free for the wire")


def start_helper(
    engine: Engine, plan: Plan, image: str, labels: Mapping[str, str], rights: Mapping[str, Any]
) -> None:
    """A container in the engine's own namespaces, where nft, ip and python act on the wire and on nodes."""
    with docker_errors("starting the helper on the wire"):
        engine.client(START_TIMEOUT_S).container.run(
            image,
            ["tini", "--", "sleep", "infinity"],
            name=f"{plan.cluster}-{WIRE}",
            detach=True,
            pull="never",
            networks=["host"],
            pid="host",
            cgroupns="host",
            labels=dict(labels),
            **rights,
        )


def _taken_subnets(engine: Engine, plan: Plan) -> Iterator[str]:
    for network in plan.topology.networks.values():
        yield from (subnet for subnet in network.subnets if ":" not in subnet)
    networks = _ask(engine, "network", "ls", "-q").split()
    # networks of other runs may go away between the two calls: what is left is still told
    told = _ask(
        engine, "network", "inspect", "--format", "{{range .IPAM.Config}}{{println .Subnet}}{{end}}", *networks
    )
    yield from (subnet for subnet in told.split() if ":" not in subnet)


def _ask(engine: Engine, *arguments: str) -> str:
    argv = engine.argv(*arguments)
    return run_process(argv, timeout_s=CALL_TIMEOUT_S, stdin=b"", where="the engine").stdout
