"""From a file to a plan: nothing is changed, nothing is asked of an engine."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness import faults, loader, planner, workloads
from harness.model.errors import Problem, TopologyError, UsageError
from harness.model.places import data_dir, state_name
from harness.model.plan import Demand, Plan
from harness.model.topology import Check, Topology
from harness.providers import engine, images, kind_cni
from harness.providers.existing import ExistingProvider
from harness.session import inventories, kubeconfigs
from harness.session.options import Options
from harness.session.registries import CATALOG, CHOICES, WIRE_MTU, orchestrator, provider_of

#: How often a file that is appended to is read on, where a run is to stop at the first proof that it fails.
FOLLOW_S = 0.5


def new_run() -> str:
    """A run's name: sorts by time, unique enough for two runs that start in one second."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


def topology_of(path: Path, options: Options) -> Topology:
    """The topology with the options laid over it. Raises TopologyError."""
    found = located(path)
    _require(found)
    topology = loader.load(found, CATALOG, options.overrides)
    if topology.cluster.is_foreign_kubernetes:
        return _of_kubeconfig(topology, options, found.absolute().parent)
    _refuse_kubeconfig(topology, options)
    cluster = kind_cni.of_run(topology.cluster, found.absolute().parent)
    topology = topology.model_copy(update={"cluster": cluster})
    if topology.cluster.provider != ExistingProvider.name:
        if options.inventory:
            raise UsageError(f"--inventory is for provider existing, not {topology.cluster.provider}")
        return topology
    inventory = inventories.of_run(topology.cluster.inventory, found.absolute().parent, options.inventory)
    cluster = topology.cluster.model_copy(update={"inventory": str(inventory)})
    return topology.model_copy(update={"cluster": cluster})


def _of_kubeconfig(topology: Topology, options: Options, folder: Path) -> Topology:
    if options.inventory:
        raise UsageError("--inventory is for hosts of Swarm; a Kubernetes that exists has a --kubeconfig")
    kubeconfigs.use(options.kubeconfig, options.context, options.namespace)
    return topology.model_copy(update={"cluster": kubeconfigs.of_run(topology.cluster, folder)})


def _refuse_kubeconfig(topology: Topology, options: Options) -> None:
    for name in ("kubeconfig", "context", "namespace"):
        if getattr(options, name):
            chosen = topology.cluster
            raise UsageError(
                f"--{name} is for provider existing with orchestrator kubernetes, not for {chosen.provider} with "
                f"{chosen.orchestrator}"
            )


def located(path: Path) -> Path:
    """`path`, or the topology of that name that travels with the package: `overlay`, `topologies/overlay.yaml`."""
    if path.exists() or path.parent not in (Path(), Path("topologies")):
        return path
    shipped = data_dir("topologies") / path.with_suffix(".yaml").name
    return shipped if shipped.exists() else path


def _require(path: Path) -> None:
    """Who names no file means one of the package, and may have written it wrong. Raises TopologyError."""
    if path.exists() or path.parent != Path() or path.suffix:
        return
    names = sorted(shipped.stem for shipped in data_dir("topologies").glob("*.yaml"))
    near = loader.nearest(str(path), names)
    there = "" if near else f" (there is: {', '.join(names)})"
    message = f"there is no such file, and no topology of that name comes with the harness{there}"
    raise TopologyError([Problem(str(path), 1, 1, "", message, near)])


def require_environment() -> None:
    """Before anything is written. Raises UsageError for a HARNESS_ENGINE or HARNESS_STATE that means nothing."""
    engine.choice()
    state_name()


def make_plan(topology: Topology, options: Options, *, run: str) -> Plan:
    """Raises UsageError where the topology cannot be expressed, or `only` names no check."""
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    checks = _only(topology.checks, options.only)
    _require_captured(topology, options.pcap)
    checks = [_followed(check) for check in checks] if options.stop_on_fail else checks
    chosen = topology.model_copy(update={"checks": checks})
    return planner.plan(
        chosen,
        CHOICES[topology.cluster.orchestrator],
        run=run,
        seed=seed,
        workload_image=topology.cluster.workload_image or images.tag("workload"),
        demands=list(_demands(chosen)),
        wire_mtu=_wire_mtu(chosen),
    )


def _wire_mtu(topology: Topology) -> int:
    """Pure enough: hosts that exist say it in their inventory."""
    if topology.cluster.provider != ExistingProvider.name or topology.cluster.is_foreign_kubernetes:
        return WIRE_MTU
    return inventories.provider().mtu


def _only(checks: Sequence[Check], only: Sequence[str]) -> list[Check]:
    unknown = [name for name in only if not any(name in (check.id, check.kind) for check in checks)]
    if unknown:
        there = ", ".join(check.id for check in checks) or "none"
        raise UsageError(f"--only {unknown[0]}: the topology has no such check", hint=f"its checks are: {there}")
    return [check for check in checks if not only or check.id in only or check.kind in only]


def _require_captured(topology: Topology, captured: Sequence[str]) -> None:
    """Raises UsageError where a network that is to be captured is not there, or nobody knows where on a node."""
    if not captured or captured == ("*",):
        return
    if topology.cluster.orchestrator != "swarm":
        raise UsageError("--pcap captures Swarm's networks only; the topology's orchestrator is kubernetes")
    unknown = [name for name in captured if name not in topology.networks]
    if unknown:
        there = ", ".join(topology.networks) or "none"
        raise UsageError(
            f"--pcap {unknown[0]}: the topology has no such network", hint=f"its networks are: {there}"
        )


def _followed(check: Check) -> Check:
    """With readers that follow the file: without them nothing of an append log is known before its end."""
    if check.kind != "concurrent-append" or check.params.get("follow_s"):
        return check
    return check.model_copy(update={"params": {**check.params, "follow_s": FOLLOW_S}})


def _demands(topology: Topology) -> Iterator[Demand]:
    yield from provider_of(topology).demands(topology)
    yield from orchestrator(topology.cluster.orchestrator).demands(topology)
    for check in topology.checks:
        yield from workloads.REGISTRY[check.kind].demands(check, topology)
        for fault in check.faults:
            for demand in faults.REGISTRY[fault.fault].demands():
                yield Demand(demand.feature, f"check {check.id}", part=demand.part, nodes=demand.nodes)
