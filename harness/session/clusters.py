"""Clusters apart from runs: up, list, find, heal, down. From labels alone: nothing is remembered in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from harness import faults, features
from harness.model.errors import EnvironmentBroken, FeatureMissing, HarnessError, Incomplete, UsageError
from harness.model.plan import PREFIX, Demand, Plan, cluster_name
from harness.ports import (
    Cluster,
    ClusterInfo,
    Fault,
    HasTerminal,
    Host,
    Orchestrator,
    Progress,
    Provider,
    Survey,
    TakesSnapshots,
)
from harness.providers.existing import ExistingProvider
from harness.session import storage
from harness.session.registries import FOREIGN_KUBERNETES, PROVIDERS, orchestrator, provider, provider_of
from harness.transport.kubectl import PodHost
from harness.transport.parallel import at_once
from harness.transport.seats import AnyAgent, start_agent

#: An emulated machine that is busy takes its time to start Python.
AGENT_TIMEOUT_S = 90.0
HEAL_TIMEOUT_S = 30.0
#: Of containerd's client, for a container of Kubernetes by its ID.
_TERMINAL = ("--namespace=k8s.io", "tasks", "exec", "--tty", "--exec-id", "harness-shell")
#: Providers of what was there before us.
_NOT_MADE = (ExistingProvider.name, FOREIGN_KUBERNETES)
#: Who may want a feature that is not there, so that a run skips its checks and does not break.
_SKIPPED = ("network ", "volume ", "store ")


@dataclass(frozen=True)
class Live:
    """A deployed plan: the cluster, who made and orchestrates it, and what its hosts turned out to lack."""

    plan: Plan
    cluster: Cluster
    provider: Provider
    orchestrator: Orchestrator
    unmet: tuple[tuple[Demand, str], ...] = ()


def up(plan: Plan, progress: Progress, *, snapshots: bool = False) -> Live:
    """Nodes, orchestrator, networks and services of `plan`. When it fails, what was made is gone again.

    With `snapshots` nodes are woken from a snapshot of a formed cluster, where the provider has one that fits;
    where it takes them, and has none, one is taken for the next time.
    """
    chosen = provider_of(plan.topology)
    taker = chosen if snapshots and isinstance(chosen, TakesSnapshots) else None
    woken = taker.wake(plan, progress) if taker else None
    cluster = woken or chosen.up(plan, progress)
    try:
        if taker and not woken:
            _form(plan, cluster, chosen, progress)
            cluster = taker.take_snapshot(cluster, plan, progress)
        return deploy(plan, cluster, chosen, progress)
    except BaseException:
        progress(f"{cluster.name} could not be set up: removing it")
        try:
            take_down(chosen, cluster.name)
        except HarnessError as error:
            progress(f"{cluster.name} could not be removed: {error.message}; `harness down` tries it again")
        raise


def _form(plan: Plan, cluster: Cluster, chosen: Provider, progress: Progress) -> None:
    """All that does not depend on what is deployed. To do it again changes nothing."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        supplied = pool.submit(chosen.supply, cluster, plan, progress)
        orchestrator(plan.orchestrator).join(cluster, plan, progress)
    supplied.result()


def deploy(plan: Plan, cluster: Cluster, chosen: Provider, progress: Progress) -> Live:
    """Everything of `plan` on a cluster whose nodes are there. Images are handed out beside stores and joining."""
    engine = orchestrator(plan.orchestrator)
    with ThreadPoolExecutor(max_workers=1) as pool:
        supplied = pool.submit(chosen.supply, cluster, plan, progress)
        # hosts that are not ours are asked before anything is made of them; ours show what they lack soon enough
        early = bool(plan.stores) or plan.provider == ExistingProvider.name
        unmet = _missing(cluster, plan.demands, progress) if early else ()
        if "shell" in cluster.rights:
            storage.up(plan, cluster, progress)
        engine.join(cluster, plan, progress)
    supplied.result()
    unmet = unmet if early else _missing(cluster, plan.demands, progress)
    engine.apply(cluster, plan, progress)
    return Live(plan, cluster, chosen, engine, unmet)


def _missing(cluster: Cluster, demands: Sequence[Demand], progress: Progress) -> tuple[tuple[Demand, str], ...]:
    """What the hosts lack, each with who lacks it. Raises EnvironmentBroken where nothing can work without it.

    Hosts without a shell cannot be asked: their networks are there, and a check that wants more is skipped.
    """
    if "shell" not in cluster.rights:
        return tuple(
            (d, f"right shell (to ask for {d.feature})") for d in demands if d.wanted_by.startswith("check ")
        )
    unmet = tuple(features.missing(cluster, demands))
    for demand, what in unmet:
        progress(f"missing: {what}, wanted by {demand.wanted_by}{f' ({demand.part})' if demand.part else ''}")
    _refuse_unusable(unmet)
    return unmet


def _refuse_unusable(unmet: tuple[tuple[Demand, str], ...]) -> None:
    """What the topology is about and cannot work at all; parts, and checks, are skipped instead.

    Raises FeatureMissing for networks and volumes, EnvironmentBroken for what stands below them.
    """
    for demand, what in unmet:
        if demand.part or demand.wanted_by.startswith("check "):
            continue
        message = f"{demand.wanted_by} cannot work here: the hosts lack {what}"
        mend = features.feature(demand.feature).mend
        if demand.wanted_by.startswith(_SKIPPED):
            raise FeatureMissing(message, _needs(unmet), hint=mend)
        raise EnvironmentBroken(message, hint=mend)


def _needs(unmet: tuple[tuple[Demand, str], ...]) -> list[str]:
    named = (what for demand, what in unmet if not demand.part and demand.wanted_by.startswith(_SKIPPED))
    return list(dict.fromkeys(named))


@contextmanager
def agents_of(hosts: Mapping[str, Host]) -> Iterator[dict[str, AnyAgent]]:
    """An agent on every host, closed at the end."""
    started: dict[str, AnyAgent] = {}

    def start(name: str) -> None:
        started[name] = start_agent(hosts[name], timeout_s=AGENT_TIMEOUT_S)

    try:
        at_once([partial(start, name) for name in hosts])
        started = {name: started[name] for name in hosts}
        yield started
    finally:
        for agent in started.values():
            agent.close()


def revive(agents: dict[str, AnyAgent], hosts: Mapping[str, Host], name: str) -> None:
    """A new agent on a host, in the place of the one that went down with it. Raises EnvironmentBroken."""
    agents[name].close()
    agents[name] = start_agent(hosts[name], timeout_s=AGENT_TIMEOUT_S)


def survey() -> Survey:
    """Clusters of every provider. What one provider, or one host, does not tell hides nothing else."""
    surveys = [_survey(provider(name)) for name in PROVIDERS]
    return Survey(
        tuple(info for each in surveys for info in each.clusters),
        tuple(error for each in surveys for error in each.unseen),
    )


def _survey(chosen: Provider) -> Survey:
    if isinstance(chosen, ExistingProvider):
        return chosen.survey()
    try:
        return Survey(tuple(chosen.clusters()))
    except EnvironmentBroken as error:
        return Survey((), (error,))


def cluster_infos() -> list[ClusterInfo]:
    """Those that can be seen."""
    return list(survey().clusters)


def find(name: str) -> Cluster:
    """Raises UsageError, naming the clusters that are there."""
    return provider(_provider_of(name)).find(name)


def host_of(cluster: str, node: str) -> Host:
    """Raises UsageError, naming what there is."""
    hosts = find(cluster).hosts
    if node not in hosts:
        raise UsageError(f"{cluster} has no node {node!r}", hint=f"its nodes are {', '.join(hosts)}")
    return hosts[node]


def shell_argv(cluster: str, node: str, container: str | None) -> list[str]:
    """What to execute for a shell with the caller's terminal. Raises UsageError where the host gives none."""
    host = host_of(cluster, node)
    if not isinstance(host, HasTerminal):
        raise UsageError(f"{cluster}: its hosts give no terminal")
    if container is None:
        return host.terminal(["bash"])
    if isinstance(host, PodHost):
        raise UsageError(f"{cluster}: `kubectl exec` looks into containers of a cluster that exists")
    if _provider_of(cluster) == "kind":
        return host.terminal(["ctr", *_TERMINAL, container, "sh"])
    return host.terminal(["docker", "exec", "-it", container, "sh"])


def _provider_of(name: str) -> str:
    """Raises Incomplete where what is not seen may be it."""
    seen = survey()
    info = _named(seen, name)
    if info is None and seen.unseen:
        raise Incomplete(seen.unseen)
    return info.provider if info else "docker"


def _named(seen: Survey, name: str) -> ClusterInfo | None:
    wanted = cluster_name(name.removeprefix(PREFIX))
    return next((info for info in seen.clusters if info.name == wanted), None)


def heal(name: str, only: Sequence[str] = ()) -> list[str]:
    """Undo every fault on a cluster, or those of `only`, whoever injected them, also after kill -9. Returns
    what was undone. Raises UsageError for a fault that there is not.
    """
    unknown = [fault for fault in only if fault not in faults.REGISTRY]
    if unknown:
        raise UsageError(
            f"no fault is called {unknown[0]!r}", hint=f"there are {', '.join(sorted(faults.REGISTRY))}"
        )
    cluster = find(name)
    healed: list[str] = []
    wanted = [fault for fault in faults.REGISTRY.values() if not only or fault.name in only]
    waiting = [fault for fault in wanted if fault.rights <= cluster.rights]
    failed = _heal_each(waiting, cluster, healed)
    # one fault may stand in the way of another's healing: a manager that is paused cannot end a drain
    for _, error in _heal_each([fault for fault, _ in failed], cluster, healed):
        raise error
    return healed


def _heal_each(
    waiting: Sequence[Fault], cluster: Cluster, healed: list[str]
) -> list[tuple[Fault, EnvironmentBroken]]:
    """Try all of them; what was undone goes to `healed`. Returns those that failed."""
    failed: list[tuple[Fault, EnvironmentBroken]] = []

    def heal_one(fault: Fault) -> list[str]:
        try:
            return fault.heal(cluster, timeout_s=HEAL_TIMEOUT_S)
        except EnvironmentBroken as error:
            failed.append((fault, error))
            return []

    for undone in at_once([partial(heal_one, fault) for fault in waiting]):
        healed += undone
    return failed


def down(name: str) -> list[str]:
    """Remove one cluster by its name or run. Returns what was removed.

    Raises UsageError where nothing carries that name: it is a mistake worth telling; Incomplete where some of it
    is left, or where a host that does not answer may have some of it.
    """
    seen = survey()
    info = _named(seen, name)
    if info is None:
        _wake()
        seen = survey()
        info = _named(seen, name)
    if info is None:
        if seen.unseen:
            raise Incomplete(seen.unseen)
        known = ", ".join(info.name for info in seen.clusters) or "none"
        raise UsageError(f"there is no cluster {name!r}", hint=f"clusters that are there: {known}")
    return _remove(info)


def _remove(info: ClusterInfo) -> list[str]:
    """Hosts that exist are asked for their own only: one that is gone is in nobody else's way."""
    among = [each for each in PROVIDERS if each == info.provider or each not in _NOT_MADE]
    return _each([partial(take_down, provider(each), info.name) for each in among])


def take_down(chosen: Provider, name: str) -> list[str]:
    """Remove a cluster. Hosts that exist outlive it: what its stores left on them goes first."""
    remains = chosen.remains(name) if isinstance(chosen, ExistingProvider) else None
    if remains is None:
        return chosen.down(name)
    return [f"store {store}" for store in storage.clear(remains)] + chosen.down(name)


def down_all(progress: Progress) -> list[str]:
    """Remove every cluster of ours that can be seen; one that cannot be removed does not keep the others.

    Raises Incomplete at the end where something is left, or may be.
    """
    woken = _wake()
    seen = survey()

    def remove(info: ClusterInfo) -> list[str]:
        progress(f"removing {info.name}")
        return _remove(info)

    removing = [partial(remove, info) for info in seen.clusters]
    return _each([lambda: woken, *removing, *(provider(name).tidy for name in PROVIDERS)], seen.unseen)


def _wake() -> list[str]:
    """Daemons of ours that were killed run again where clusters stand on them, which cannot be seen otherwise; the
    rest of them ends. Returns what was removed. What fails fails again when it is needed, and is told then.
    """
    removed: list[str] = []
    for name in PROVIDERS:
        with suppress(HarnessError):
            removed += provider(name).tidy()
    return removed


def _each(calls: Sequence[Callable[[], list[str]]], errors: Sequence[HarnessError] = ()) -> list[str]:
    """What all of them removed. Raises Incomplete after the last where `errors` were known or one has failed."""
    removed, failed = list[str](), list(errors)
    for call in calls:
        try:
            removed += call()
        except Incomplete as error:
            removed += error.done
            failed += error.errors
        except HarnessError as error:
            failed.append(error)
    if failed:
        raise Incomplete(failed, removed)
    return removed
