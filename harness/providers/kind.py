"""Provider `kind`: a real Kubernetes cluster of container nodes, one bridge as the wire.

Nodes are kind's, and carry its own label with the cluster's name, `harness-<run>`; the rest carries ours. list,
find, logs and down work from these alone, and need no kind.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from harness.model.errors import CommandFailed, EnvironmentBroken, HarnessError, UsageError
from harness.model.plan import LABEL, PREFIX, Demand, Plan, cluster_name
from harness.model.topology import Topology
from harness.ports import Cluster, ClusterInfo, Progress
from harness.providers import engine as engines
from harness.providers import images, kind_cni, kind_config, kind_create, kind_image, kind_wait, wire
from harness.providers.engine import Engine, docker_errors
from harness.providers.labels import (
    CALL_TIMEOUT_S,
    LABEL_PROVIDER,
    WIRE,
    Labelled,
    is_used,
    labelled,
    labels_of,
    remove_containers,
    remove_kind,
    remove_tables,
    runs_of_kind,
    utc,
)
from harness.providers.nodes import ContainerHost, ContainerLifecycle, ContainerWire
from harness.providers.own_engine import OwnEngine
from harness.providers.rights import explicit_rights
from harness.transport.deadlines import OUTER_GRACE_S, bounded
from harness.transport.parallel import at_once
from harness.transport.process import run_process

NAME = "kind"
#: kind's own label on nodes: the cluster's name.
LABEL_CLUSTER = "io.x-k8s.kind.cluster"
LOG_LINES = "2000"
#: What ci/kind/node/entrypoint.sh looks for; the folder outlives a kill of the node.
_NAMING = """
mkdir -p /var/lib/harness
cat >/var/lib/harness/hosts
echo "$1" >/var/lib/harness/hostname
cat /var/lib/harness/hosts >>/etc/hosts
hostname "$1"
"""
#: Whether containerd has an image under that name, unpacked, and with that configuration. Docker calls images of
#: no registry by their short names.
HAS = """
case "$1" in *.*/*|*:*/*|localhost/*) name=$1 ;; */*) name=docker.io/$1 ;; *) name=docker.io/library/$1 ;; esac
found=$(ctr --namespace=k8s.io images check "name==$name" | tail -n +2)
case "$found" in *" true "|*" true") ;; *) exit 1 ;; esac
manifest=$(echo "$found" | grep -om1 'sha256:[0-9a-f]*')
ctr --namespace=k8s.io content get "$manifest" | grep -qF "$2"
"""
#: What is asked on every node, and on the control plane.
NODE_LOGS = {
    "journal.log": ("journalctl", "--no-pager", "--lines", LOG_LINES),
    "pods.log": ("sh", "-c", f"tail -n 200 /var/log/pods/*/*/*.log | tail -n {LOG_LINES}"),
}
CLUSTER_LOGS = {
    "pods.txt": (*kind_wait.KUBECTL, "get", "nodes,pods", "--all-namespaces", "-o", "wide"),
    "events.txt": (*kind_wait.KUBECTL, "get", "events", "--all-namespaces"),
}


@dataclass(frozen=True)
class _Node:
    """A container of kind's. `address` is empty while it does not run."""

    cluster: str
    container: str
    created: str
    address: str = ""

    @property
    def number(self) -> int:
        """Kind calls them NAME-control-plane, NAME-worker, NAME-worker2, ..."""
        worker = re.fullmatch(r"worker(\d*)", self.container.removeprefix(f"{self.cluster}-"))
        return 1 + int(worker[1] or 1) if worker else 1

    @property
    def name(self) -> str:
        return f"n{self.number}"


class KindProvider:
    """Implements ports.Provider."""

    name = NAME

    def __init__(self, own: OwnEngine | None = None) -> None:
        self.own = own or OwnEngine(images.engine_root)

    def demands(self, _topology: Topology) -> list[Demand]:
        return [Demand("overlayfs", "provider kind")]

    # --- making

    def up(self, plan: Plan, progress: Progress) -> Cluster:
        engine, ingredients = self._ingredients(plan, progress)
        try:
            _interruptible(partial(_make, engine, plan, ingredients, progress))
            return self.find(plan.cluster)
        except BaseException as error:
            if isinstance(error, HarnessError):
                progress(f"{plan.cluster} did not come up: taking its nodes' logs")
                with contextlib.suppress(HarnessError):
                    error.logs.update(_logs_of(engine, plan.cluster))
            progress(f"removing what was made of {plan.cluster}")
            with contextlib.suppress(HarnessError):
                self.down(plan.cluster)
            raise

    def _ingredients(self, plan: Plan, progress: Progress) -> tuple[Engine, _Ingredients]:
        """The engine, and on it what a cluster is made of. Cut short, an engine that it started is gone again."""
        was_there = self.own.left
        try:
            program = kind_image.kind_program(progress)
            engine = engines.choose(lambda: self.own.start(progress))
            wanted, role = plan.topology.cluster.engine, node_role(plan)
            node = kind_image.node_image(engine, wanted, progress, role=role)
            return engine, _Ingredients(program, node, images.ensure_image(engine, "node", progress))
        except BaseException:
            if not was_there:
                self.own.stop_if_unused(is_used)
            raise

    def supply(self, cluster: Cluster, plan: Plan, progress: Progress) -> None:
        """Our own workload image is built, one of the outer engine handed on, any other left to a registry. Nodes
        that have the very same image are left alone.
        """
        hosts = [host for host in cluster.hosts.values() if isinstance(host, ContainerHost)]
        engine = hosts[0].engine
        for image in plan.images:
            ours = image == images.tag("workload")
            if ours:
                images.ensure_image(engine, "workload", progress)
            elif not images.is_there(engine, image):
                continue
            lacking = _lacking(hosts, image, images.image_id(engine, image))
            if not lacking:
                continue
            progress(f"handing {image} to {', '.join(host.name for host in lacking)}")
            archive = images.image_archive(engine, "workload", progress) if ours else None
            source = ["cat", str(archive)] if archive else engine.argv("save", image)
            at_once([partial(_load, host, source) for host in lacking])

    # --- finding

    def find(self, name: str) -> Cluster:
        cluster = cluster_name(name.removeprefix(PREFIX))
        for engine in self._engines():
            nodes = _nodes(engine, cluster)
            if nodes:
                return _cluster_of(engine, cluster, nodes)
        known = ", ".join(info.name for info in self.clusters()) or "none"
        raise UsageError(f"there is no cluster {name!r}", hint=f"clusters that are there: {known}")

    def clusters(self) -> list[ClusterInfo]:
        return [info for engine in self._engines() for info in _infos(engine)]

    def _engines(self) -> list[Engine]:
        return engines.answering(self.own.running())

    def logs(self, name: str, into: Path) -> None:
        cluster = cluster_name(name.removeprefix(PREFIX))
        for engine in self._engines():
            for path, text in _logs_of(engine, cluster).items():
                (into / path).parent.mkdir(parents=True, exist_ok=True)
                (into / path).write_text(text)

    # --- removing

    def down(self, name: str) -> list[str]:
        run = name.removeprefix(PREFIX)
        self.own.wake()
        try:
            return [line for engine in self._engines() for line in _remove(engine, run)]
        finally:
            self.own.stop_if_unused(is_used)

    def tidy(self) -> list[str]:
        """Stop an engine of ours that no cluster needs, also one that was killed. Returns what was removed."""
        return self.own.tidy(is_used)


# --- making


@dataclass(frozen=True)
class _Ingredients:
    """`program` is kind; `node` its node image, None for kind's own choice; `helper` the image of who is on the
    wire.
    """

    program: str
    node: str | None
    helper: str


def _interruptible(work: Callable[[Event], None]) -> None:
    """Do `work` in a thread; an interrupt tells it to stop, and waits until it has."""
    stop = Event()
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        future = pool.submit(work, stop)
        wait([future])
    finally:
        stop.set()
        pool.shutdown(wait=True)
    future.result()


def _make(engine: Engine, plan: Plan, ingredients: _Ingredients, progress: Progress, stop: Event) -> None:
    ours = {LABEL: plan.run, LABEL_PROVIDER: NAME}
    subnet = wire.make_network(engine, plan, ours)
    shared = _shared_volume(engine, plan, ours)
    _start_helper(engine, plan, ingredients.helper)
    config = kind_config.render(plan, wire=str(subnet), shared=shared)
    whose = "the harness's own engine" if engine.own else "the engine"
    progress(f"making {len(plan.nodes)} Kubernetes nodes by kind on {whose} {engine.version}")
    with tempfile.TemporaryDirectory(prefix=_folder_prefix(plan.cluster)) as folder:
        _create(engine, plan, ingredients, config, Path(folder), progress, stop)
    if stop.is_set():
        return
    [first, *_] = _nodes(engine, plan.cluster)
    host = ContainerHost(first.name, first.address, engine, first.container)
    names = [node.name for node in plan.nodes]
    if node_role(plan) == "node-stores":
        _name_nodes(engine, plan.cluster)
    _bring_network(host, plan, str(subnet), progress)
    # the orchestrator waits for the DNS, when what it deploys has begun to run beside
    kind_wait.await_ready(host, names, progress, stop, with_dns=False)


def _bring_network(host: ContainerHost, plan: Plan, wire: str, progress: Progress) -> None:
    """The manifests that the topology names; kind has made its own, where it names none."""
    if plan.topology.cluster.cni is None:
        return
    found = kind_cni.read(Path(plan.topology.cluster.cni))
    pods, _services = kind_config.subnets(plan, wire)
    progress(f"network for pods ({pods}) by {found.path.name}: {', '.join(found.objects)}")
    kind_cni.create(host, found, pods)


def node_role(plan: Plan) -> kind_image.Role:
    """Nodes that have stores need their servers and clients."""
    return "node-stores" if plan.stores else "node"


def _name_nodes(engine: Engine, cluster: str) -> None:
    """Stores call nodes as the topology does, and so must nodes themselves. An entrypoint of ours does it again
    when its node is started again; kubelet was told its name and asks for no other.
    """
    nodes = _nodes(engine, cluster)
    known = "".join(f"{node.address} {node.name}\n" for node in nodes)
    at_once([partial(_name_node, engine, node, known) for node in nodes])


def _name_node(engine: Engine, node: _Node, known: str) -> None:
    argv = engine.argv("exec", "-i", node.container, "sh", "-euc", _NAMING, "sh", node.name)
    result = run_process(argv, timeout_s=CALL_TIMEOUT_S, stdin=known.encode(), where=node.name)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=node.name)


def _create(
    engine: Engine,
    plan: Plan,
    ingredients: _Ingredients,
    config: str,
    folder: Path,
    progress: Progress,
    stop: Event,
) -> None:
    """`--retain`: what has failed is asked for its logs before it is removed."""
    (folder / "config.yaml").write_text(config)
    argv = [ingredients.program, "create", "cluster", "--name", plan.cluster, "--retain"]
    argv += ["--config", str(folder / "config.yaml"), "--kubeconfig", str(folder / "kubeconfig")]
    argv += ["--image", ingredients.node] if ingredients.node else []
    kind_create.create(argv, kind_create.environment(engine, plan.cluster, folder / "bin"), stop, progress)


def _folder_prefix(cluster: str) -> str:
    """Of a folder for kind's configuration and kubeconfig, while it makes the cluster."""
    return f"{cluster}-kind-"


def _shared_volume(engine: Engine, plan: Plan, labels: Mapping[str, str]) -> str:
    """A volume that all nodes mount; kind takes directories only, so it is named by where the engine has it."""
    name = f"{plan.cluster}-shared"
    with docker_errors("making the directory that all nodes share"):
        volume = engine.client(CALL_TIMEOUT_S).volume.create(name, labels=dict(labels))
        return str(volume.mountpoint)


def _start_helper(engine: Engine, plan: Plan, image: str) -> None:
    labels = {**labels_of(plan, WIRE), LABEL_PROVIDER: NAME}
    try:
        wire.start_helper(engine, plan, image, labels, {"privileged": True})
    except CommandFailed as error:
        if "unable to apply caps" not in error.output:
            raise
        hint = "HARNESS_ENGINE=own starts one that can"
        raise EnvironmentBroken(
            f"the engine {engine.version} cannot make privileged containers on this machine, which lacks a "
            f"capability ({', '.join(explicit_rights()['cap_drop'])}), and kind asks for nothing else",
            hint=hint,
        ) from error


def _lacking(hosts: list[ContainerHost], image: str, image_id: str) -> list[ContainerHost]:
    """Those whose containerd has not unpacked the image with this ID, which is its configuration's digest."""
    had = at_once([partial(_has, host, image, image_id) for host in hosts])
    return [host for host, has in zip(hosts, had, strict=True) if not has]


def _has(host: ContainerHost, image: str, image_id: str) -> bool:
    return host.run(["sh", "-c", HAS, "sh", image, image_id], timeout_s=CALL_TIMEOUT_S).ok


def _load(host: ContainerHost, source: list[str]) -> None:
    """Imported by containerd's own client, as kind itself does."""
    images.piped(
        source,
        host.engine.argv("exec", "-i", host.container, "ctr", "--namespace=k8s.io", "images", "import", "-"),
        host.name,
    )


# --- what labels tell


def _nodes(engine: Engine, cluster: str) -> list[_Node]:
    """The nodes of a cluster, in their order, with their addresses on the wire."""
    found = _listed(engine, f"{LABEL_CLUSTER}={cluster}")
    addresses = _addresses(engine, cluster, [node.container for node in found])
    known = [_Node(n.cluster, n.container, n.created, addresses.get(n.container, "")) for n in found]
    return sorted(known, key=lambda node: node.number)


def _listed(engine: Engine, label: str) -> list[_Node]:
    """Every kind node with `label` whose cluster's name is one of ours."""
    template = f'{{{{.Label "{LABEL_CLUSTER}"}}}}\t{{{{.Names}}}}\t{{{{.CreatedAt}}}}'
    argv = engine.argv("ps", "--all", "--no-trunc", "--filter", f"label={label}", "--format", template)
    rows = [line.split("\t") for line in _asked(argv).splitlines()]
    return [_Node(*row) for row in rows if row[0].startswith(PREFIX)]


def _addresses(engine: Engine, network: str, containers: list[str]) -> dict[str, str]:
    if not containers:
        return {}
    inspected: list[dict[str, Any]] = json.loads(_asked(engine.argv("container", "inspect", *containers)))
    return {
        container["Name"].removeprefix("/"): container["NetworkSettings"]["Networks"]
        .get(network, {})
        .get("IPAddress", "")
        for container in inspected
    }


def _cluster_of(engine: Engine, name: str, nodes: list[_Node]) -> Cluster:
    containers = {node.name: node.container for node in nodes}
    hosts = {node.name: ContainerHost(node.name, node.address, engine, node.container) for node in nodes}
    helper = ContainerHost(WIRE, "", engine, f"{name}-{WIRE}")
    return Cluster(
        name,
        name.removeprefix(PREFIX),
        NAME,
        hosts,
        wire=ContainerWire(helper, containers),
        lifecycle=ContainerLifecycle(helper, containers),
    )


def _infos(engine: Engine) -> list[ClusterInfo]:
    """Every run of which anything is there: a killed one may have got no further than its network."""
    nodes = _listed(engine, LABEL_CLUSTER)
    helpers = {found.run: found for found in labelled(engine, provider=NAME)}
    runs = [node.cluster.removeprefix(PREFIX) for node in nodes] + list(helpers)
    runs += runs_of_kind(engine, "network", NAME) + runs_of_kind(engine, "volume", NAME)
    return [_info(run, nodes, helpers.get(run)) for run in sorted(set(runs))]


def _info(run: str, nodes: Iterable[_Node], helper: Labelled | None) -> ClusterInfo:
    own = [node for node in nodes if node.cluster == cluster_name(run)]
    moments = [node.created for node in own] + ([helper.created] if helper else [])
    return ClusterInfo(
        name=cluster_name(run),
        run=run,
        provider=NAME,
        nodes=len(own),
        since=min(map(utc, moments), default=""),
        topology=helper.topology if helper else "",
        key=helper.key if helper else "",
    )


def _remove(engine: Engine, run: str) -> list[str]:
    """Faults on the wire, nodes with their volumes, the helper, the shared volume, the network; and the folder
    that a harness which was killed has left.
    """
    helpers = labelled(engine, run, NAME)
    removed = remove_tables(engine, run, helpers)
    nodes = [node.container for node in _listed(engine, f"{LABEL_CLUSTER}={cluster_name(run)}")]
    containers = [*nodes, *(helper.name for helper in helpers)]
    if containers:
        remove_containers(engine, run, containers)
    removed += [f"container {name}" for name in containers]
    for folder in Path(tempfile.gettempdir()).glob(f"{_folder_prefix(cluster_name(run))}*"):
        shutil.rmtree(folder, ignore_errors=True)
        removed.append(f"folder {folder}")
    return removed + remove_kind(engine, run, "volume", NAME) + remove_kind(engine, run, "network", NAME)


# --- logs


def _logs_of(engine: Engine, cluster: str) -> dict[str, str]:
    """What the nodes have said, by file: `n1/journal.log`."""
    nodes = _nodes(engine, cluster)
    found = at_once([partial(_node_logs, engine, node) for node in nodes])
    return {
        f"{node.name}/{name}": text for node, logs in zip(nodes, found, strict=True) for name, text in logs.items()
    }


def _node_logs(engine: Engine, node: _Node) -> dict[str, str]:
    asked = {"node.log": engine.argv("logs", "--timestamps", "--tail", LOG_LINES, node.container)}
    inside = NODE_LOGS | (CLUSTER_LOGS if node.number == 1 else {})
    asked |= {
        name: engine.argv("exec", node.container, *bounded(argv, CALL_TIMEOUT_S)) for name, argv in inside.items()
    }
    return {name: _output(argv) for name, argv in asked.items()}


def _output(argv: list[str]) -> str:
    try:
        return (
            run_process(argv, timeout_s=CALL_TIMEOUT_S + OUTER_GRACE_S, stdin=b"", where="the engine").output
            + "\n"
        )
    except HarnessError as error:
        return f"could not be had: {error}\n"


def _asked(argv: list[str]) -> str:
    result = run_process(argv, timeout_s=CALL_TIMEOUT_S, stdin=b"", where="the engine")
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where="the engine")
    return result.stdout
