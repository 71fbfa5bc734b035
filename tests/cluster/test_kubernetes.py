"""Kubernetes on kind: the file that runs on Swarm runs there, passes the same checks, and finds what is broken."""

from __future__ import annotations

import ipaddress
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import session
from harness.model.places import data_dir
from harness.model.plan import plan_from_json
from harness.orchestrators.kubernetes import Kubernetes
from harness.orchestrators.kubernetes.names import KUBECTL
from harness.ports import Cluster
from harness.transport.recorder import read_history
from tests.cluster_bench import TIMEOUT_S, done
from tests.cluster_cli import Ended, Process, harness, only_run, start
from tests.cluster_foreign import MORE, Foreign, foreign, may_run, may_run_in
from tests.cluster_kind import storage_class

#: Making the node image is not part of it, making the cluster and seven checks are.
RUN_TIMEOUT_S = 1500.0
EVENT_WITHIN_S = READY_WITHIN_S = 120.0
#: Of the harness's own CNI (ci/kind).
VXLAN = "udp dport 8472"
CHECKS = ["connectivity", "dns", "mtu", "latency", "throughput", "recovery", "concurrent-append"]


@dataclass(frozen=True)
class Kept:
    ended: Ended
    results: dict[str, Any]
    folder: Path

    @property
    def cluster(self) -> Cluster:
        return session.find(f"harness-{self.results['run']}")


OVERLAY, POLICIES, SERVICES, MACVLAN = (
    data_dir("topologies") / f"{name}.yaml" for name in ("overlay", "policies", "services", "macvlan")
)
LANS = Path(__file__).parent / "topologies" / "kubernetes-lans.yaml"


def run(runs: Path, *arguments: str, topology: Path = OVERLAY) -> Kept:
    common = ("--orchestrator", "kubernetes", "--runs-dir", str(runs), "--seed", "5", "--keep")
    ended = start("run", topology, *common, *arguments).end(RUN_TIMEOUT_S)
    results: dict[str, Any] = json.loads((only_run(runs) / "results.json").read_text())
    return Kept(ended, results, only_run(runs))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    yield run(tmp_path_factory.mktemp("runs"))
    session.down_all(lambda _line: None)


def test_the_file_that_runs_on_swarm_passes_the_same_checks(kept: Kept) -> None:
    assert kept.ended.code == 0, kept.ended.told
    results = kept.results
    assert (results["provider"], results["orchestrator"], results["verdict"]) == ("kind", "kubernetes", "pass")
    assert [check["id"] for check in results["checks"]] == CHECKS
    assert {check["verdict"] for check in results["checks"]} == {"pass"}
    assert results["skipped"] == []
    assert [(fault["name"], fault["felt"], fault["healed"]) for fault in results["faults"]] == [
        ("partition", True, True),
        ("pause", True, True),
    ]


def test_packets_are_as_large_as_the_cni_lets_them_be(kept: Kept) -> None:
    figures = next(check["figures"] for check in kept.results["checks"] if check["id"] == "mtu")
    assert figures == {"app_packet_bytes": 1450, "back_packet_bytes": 1450}


@contextmanager
def tunnel_dropped(cluster: Cluster, source: str, target: str) -> Iterator[None]:
    """What pods of one node send to another is dropped; the way back and the nodes' own talk are left alone."""
    assert cluster.wire is not None
    ports = cluster.wire.port(source), cluster.wire.port(target)
    rule = f'iifname "{ports[0]}" oifname "{ports[1]}" {VXLAN} counter drop'
    table = f"{cluster.name}-test"
    text = f"table bridge {table} {{ chain forward {{ type filter hook forward priority 0; {rule}; }}; }}\n"
    done(cluster.wire.host, ["nft", "-f", "-"], text)
    try:
        yield
    finally:
        done(cluster.wire.host, ["nft", "delete", "table", "bridge", table])


@pytest.mark.nightly
def test_a_tunnel_that_is_cut_one_way_is_named(kept: Kept, tmp_path: Path) -> None:
    with tunnel_dropped(kept.cluster, "n2", "n3"):
        broken = run(tmp_path, "--reuse", "--only", "connectivity", "--set", "checks.connectivity.timeout_s=0.5")
    assert broken.ended.code == 1, broken.ended.told
    [check] = broken.results["checks"]
    failed = {(failure["from"], failure["to"]) for failure in check["failures"]}
    assert {("edge.n2", "edge.n3"), ("edge.n3", "edge.n2")} <= failed  # answers take the way that is cut, too
    assert not any("n1" in end for pair in failed for end in pair)


def test_connections_of_nine_pods_are_open_or_shut_as_the_policies_say(kept: Kept, tmp_path: Path) -> None:
    assert kept.cluster
    ended = run(tmp_path, "--reuse", topology=POLICIES)
    assert ended.ended.code == 0, ended.ended.told
    [check] = ended.results["checks"]
    assert check["figures"]["connections"] == 9 * 8 * 2 * 2
    assert 0 < check["figures"]["shut"] < check["figures"]["connections"]


@contextmanager
def rules_lost(cluster: Cluster) -> Iterator[None]:
    """What is told to nft on the nodes is lost from now on, as if the cluster's CNI enforced nothing."""
    for host in cluster.hosts.values():
        done(host, ["mv", "/usr/sbin/nft", "/usr/sbin/nft.real"])
        done(
            host, ["sh", "-c", "cat >/usr/sbin/nft && chmod 755 /usr/sbin/nft"], "#!/bin/sh\nexec cat >/dev/null\n"
        )
        done(host, ["sh", "-c", "nft.real delete table inet harness-policy || true"])
    try:
        yield
    finally:
        for host in cluster.hosts.values():
            done(host, ["mv", "/usr/sbin/nft.real", "/usr/sbin/nft"])


def test_a_cni_that_enforces_no_policy_is_named_as_such(kept: Kept, tmp_path: Path) -> None:
    with rules_lost(kept.cluster):
        broken = run(tmp_path, "--reuse", "--set", "checks.policies.within_s=0", topology=POLICIES)
    assert broken.ended.code == 1, broken.ended.told
    [check] = broken.results["checks"]
    assert "enforces no NetworkPolicy" in check["reason"]
    assert {(failure["expected"], failure["got"]) for failure in check["failures"]} == {("closed", "ok")}
    assert len(check["failures"]) == check["figures"]["shut"]


#: Says in its last words what it can do that it must not, or cannot that it must; stays where all is as it should.
LOOK = """
import os, pathlib, sys, time
wrong = [] if (os.getuid(), os.getgid()) == (1000, 100) else [f"it is {os.getuid()}:{os.getgid()}"]
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
wrong += ["it may have NET_RAW"] if int(status["CapBnd"], 16) >> 13 & 1 else []
try:
    pathlib.Path("/var/tmp/mark").write_text("x")
    wrong.append("it wrote to its root")
except OSError as error:
    wrong += [] if error.errno == 30 else [str(error)]
pathlib.Path("/dev/termination-log").write_text("; ".join(wrong))
sys.exit(3) if wrong else time.sleep(86400)
"""


def rights(keys: dict[str, object], tmp_path: Path) -> Path:
    service = {"node": "n2", "command": ["python3", "-c", LOOK], **keys}
    services = {"a": service, "b": {"networks": ["app"]}, "c": {"networks": ["app"]}}
    networks = {"app": {"driver": "overlay"}}
    cluster = {"nodes": {"manager": 1, "worker": 2}}
    check = {"connectivity": {"services": ["b", "c"]}}
    path = tmp_path / "rights.yaml"
    path.write_text(
        yaml.safe_dump(
            {"name": "rights", "cluster": cluster, "networks": networks, "services": services, "checks": [check]}
        )
    )
    return path


def test_who_a_pod_is_and_what_it_may_do_holds_for_its_processes(kept: Kept, tmp_path: Path) -> None:
    assert kept.cluster
    keys = {"user": "1000:100", "read_only": True, "cap_drop": ["NET_RAW"]}
    held = run(tmp_path / "held", "--reuse", topology=rights(keys, tmp_path))
    assert held.ended.code == 0, held.ended.told


def test_a_pod_that_may_more_than_it_should_is_found_by_the_same_look(kept: Kept, tmp_path: Path) -> None:
    assert kept.cluster
    missed = run(tmp_path / "missed", "--reuse", topology=rights({}, tmp_path))
    assert missed.ended.code == 70, missed.ended.told
    for words in ("it is 0:0", "it may have NET_RAW", "it wrote to its root"):
        assert words in missed.ended.stderr


def test_a_virtual_address_node_ports_and_names_lead_to_pods_also_after_all_were_replaced(
    kept: Kept, tmp_path: Path
) -> None:
    assert kept.cluster
    ended = run(tmp_path, "--reuse", topology=SERVICES)
    assert ended.ended.code == 0, ended.ended.told
    [check] = ended.results["checks"]
    assert "before and after their containers were replaced" in check["reason"]


@contextmanager
def hairpins_dropped(cluster: Cluster, node: str) -> Iterator[None]:
    """What a pod of `node` sends to itself by way of its node is dropped there, after the address was chosen."""
    asked = [*KUBECTL, "get", "node", node, "-o", "jsonpath={.spec.podCIDR}"]
    addresses = ipaddress.ip_network(done(cluster.hosts["n1"], asked).strip()).hosts()
    pairs = ", ".join(f"{address} . {address}" for address in addresses)
    chain = f"type filter hook forward priority 0; ip saddr . ip daddr {{ {pairs} }} counter drop;"
    done(cluster.hosts[node], ["nft", "-f", "-"], f"table ip harness-test {{ chain forward {{ {chain} }}; }}\n")
    try:
        yield
    finally:
        done(cluster.hosts[node], ["nft", "delete", "table", "ip", "harness-test"])


@pytest.mark.nightly
def test_a_hairpin_that_one_node_drops_is_named(kept: Kept, tmp_path: Path) -> None:
    quick = ("--set", "checks.services.restart=false", "--set", "checks.services.within_s=1")
    with hairpins_dropped(kept.cluster, "n2"):
        broken = run(tmp_path, "--reuse", *quick, topology=SERVICES)
    assert broken.ended.code == 1, broken.ended.told
    [check] = broken.results["checks"]
    assert "never to itself" in check["reason"]
    assert {failure["via"] for failure in check["failures"]} == {"service"}
    assert len({failure["from"] for failure in check["failures"]}) == 1  # the one pod of web on that node


# --- networks beside the cluster's. They come last: nodes keep the plugin that gives them


@pytest.fixture(scope="module")
def ended(kept: Kept, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    assert kept.cluster
    return run(tmp_path_factory.mktemp("macvlan"), "--reuse", topology=MACVLAN)


def test_pods_stand_on_the_nodes_wire_with_macs_of_their_own(ended: Kept) -> None:
    assert ended.ended.code == 0, ended.ended.told
    promises = {
        promise["name"]: promise["observed"] for check in ended.results["checks"] for promise in check["promises"]
    }
    assert promises["reached through a shim"] == "kept"
    assert promises["reached from its own node"] == "broken"  # the kernel's limit: it was asked
    figures = {check["id"]: check["figures"] for check in ended.results["checks"]}
    assert figures["mtu"] == {"lan_packet_bytes": 1500}
    assert ended.results["skipped"] == []


def kubectl(cluster: Cluster, *words: str, text: str = "") -> str:
    return done(cluster.hosts["n1"], [*KUBECTL, *words], text)


@pytest.mark.usefixtures("ended")
def test_a_definition_that_does_not_exist_is_named_by_the_pods_event(kept: Kept) -> None:
    """By the plugin, which stays with the cluster."""
    metadata = {"name": "lost", "annotations": {"k8s.v1.cni.cncf.io/networks": "gone"}}
    container = {"name": "main", "image": "none", "imagePullPolicy": "Never"}
    spec = {"nodeName": "n2", "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    kubectl(kept.cluster, "apply", "-f", "-", text=json.dumps(pod))
    words = "there is no NetworkAttachmentDefinition default/gone, which pod default/lost asks for"
    try:
        end = time.monotonic() + EVENT_WITHIN_S
        while words not in (told := kubectl(kept.cluster, "get", "events", "-o", "json")):
            assert time.monotonic() < end, told
            time.sleep(1.0)
    finally:
        kubectl(kept.cluster, "delete", "pod", "lost", "--wait=true")


@pytest.mark.nightly
def test_scheduled_pods_have_both_networks_and_families_also_after_an_update(kept: Kept, tmp_path: Path) -> None:
    assert kept.cluster
    ended = run(tmp_path, "--reuse", topology=LANS)
    assert ended.ended.code == 0, ended.ended.told
    figures = {check["id"]: check["figures"] for check in ended.results["checks"]}
    assert figures["mtu"] == {"lan_packet_bytes": 1500, "lan_ipv6_packet_bytes": 1500}
    assert figures["recovery"]["connections_died"] > 0


#: As the plugin that it stands for, but in a mode in which neighbours do not meet.
PRIVATE = """#!/bin/sh
sed 's/"mode": "bridge"/"mode": "private"/' | "$0.real"
"""


@contextmanager
def neighbours_kept_apart(cluster: Cluster, node: str) -> Iterator[None]:
    host, plugin = cluster.hosts[node], "/opt/cni/bin/macvlan"
    done(host, ["mv", plugin, f"{plugin}.real"])
    done(host, ["sh", "-c", f"cat >{plugin} && chmod 755 {plugin}"], PRIVATE)
    try:
        yield
    finally:
        done(host, ["mv", f"{plugin}.real", plugin])


@pytest.mark.nightly
def test_pods_of_a_node_that_do_not_meet_on_their_macvlan_are_named(kept: Kept, tmp_path: Path) -> None:
    with neighbours_kept_apart(kept.cluster, "n1"):
        broken = run(tmp_path, "--reuse", "--only", "macvlan", topology=MACVLAN)
    assert broken.ended.code == 1, broken.ended.told
    [check] = broken.results["checks"]
    assert {(failure["from"], failure["to"]) for failure in check["failures"]} >= {("a1", "a2"), ("a2", "a1")}
    assert not any({"b1", "c1"} & {failure["from"], failure["to"]} for failure in check["failures"])


STABLE = """
name: stable
cluster: {nodes: {manager: 1, worker: 2}}
networks: {app: {driver: overlay}}
services:
  db: {hostname: "{{.Service.Name}}-{{.Task.Slot}}", deploy: {replicas: 3}, networks: [app]}
  probe: {node: n1, networks: [app]}
checks:
  - connectivity: {}
  - services: {}
"""


def test_names_of_single_pods_hold_when_all_of_them_are_replaced(kept: Kept, tmp_path: Path) -> None:
    assert kept.cluster
    (tmp_path / "stable.yaml").write_text(STABLE)
    ended = run(tmp_path / "runs", "--reuse", topology=tmp_path / "stable.yaml")
    assert ended.ended.code == 0, ended.ended.told
    history = read_history(ended.folder)
    answers = {str(row.key): str(row.value) for row in history.only(check="services", f="dns").ops()}
    for number in (1, 2, 3):
        before, after = answers[f"start|app|db.{number}"], answers[f"restarted|app|db.{number}"]
        assert ipaddress.ip_address(after)
        assert before != after  # another pod, by the same name
    dialled = [row for row in history.only(check="connectivity", f="tcp").ops() if "|db-0.db" in str(row.key)]
    assert {str(row.value) for row in dialled} == {"ok db.1"}


# --- the same cluster, used as if it were somebody else's: by a kubeconfig of few rights, and nothing else

FOREIGN = ("--provider", "existing", "--orchestrator", "kubernetes")
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def theirs(kept: Kept, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """Empty of ours, but for what enforces policies, which its owner has in place."""
    plan = plan_from_json(json.loads((kept.folder / "plan.json").read_text()))
    Kubernetes().delete(kept.cluster, plan)
    with foreign(kept.cluster, tmp_path_factory.mktemp("theirs")) as made:
        yield made


@contextmanager
def untouched(theirs: Foreign) -> Iterator[None]:
    """Whatever the cluster holds is there afterwards, and nothing else. Owners of objects are followed late."""
    before = theirs.listing()
    yield
    left: set[str] = set()
    for _ in soon(PATIENCE_S):
        left = before ^ theirs.listing()
        if not left:
            return
    raise AssertionError(f"not as before: {sorted(left)}")


def soon(timeout_s: float) -> Iterator[None]:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        yield
        time.sleep(1)


def begun(folder: Path, account: Path, *more: str, topology: Path = OVERLAY) -> Process:
    return start("run", topology, *FOREIGN, "--kubeconfig", account, "--runs-dir", folder, "--seed", "5", *more)


def test_the_file_runs_in_one_namespace_of_somebody_elses_cluster(theirs: Foreign, tmp_path: Path) -> None:
    account = theirs.account("inside", may_run_in("inside", "team"))
    with untouched(theirs):
        ended = begun(tmp_path / "runs", account, "--namespace", "team").end(RUN_TIMEOUT_S)
    assert ended.code == 0, ended.told
    folder = only_run(tmp_path / "runs")
    results = json.loads((folder / "results.json").read_text())
    assert (results["provider"], results["orchestrator"], results["verdict"]) == ("existing", "kubernetes", "pass")
    assert [check["id"] for check in results["checks"]] == CHECKS[:5]
    skips = {(skip["check"], skip["needs"]) for skip in results["skipped"]}
    assert ("recovery", "right wire (fault partition)") in skips
    assert ("concurrent-append", "right shell (volume shared, local)") in skips
    assert {skip["check"] for skip in results["skipped"]} == set(CHECKS[5:])
    [token] = theirs.secrets(account)
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert token.encode() not in written
    assert token not in ended.told


THEIRS = Path(__file__).parent / "topologies" / "kubernetes-theirs.yaml"
CLASS = "harness-theirs"


@pytest.fixture
def provided(theirs: Foreign) -> Iterator[Foreign]:
    """With a storage class, and a volume of it that nobody has claimed yet, as its administrator makes them."""
    made = storage_class(CLASS, "ReadWriteMany", "/harness/shared/theirs")
    theirs.kubectl("apply", "-f", "-", stdin=made)
    yield theirs
    theirs.kubectl("delete", f"storageclass/{CLASS}", f"persistentvolume/{CLASS}", "--wait=true")


@pytest.mark.usefixtures("ended")
def test_pods_nodes_claims_and_further_networks_of_somebody_elses_cluster(
    provided: Foreign, tmp_path: Path
) -> None:
    """What stands in for their Multus is our plugin, which stayed with the cluster."""
    account = provided.account("more", may_run("more", more=MORE))
    with untouched(provided):
        ended = begun(tmp_path / "runs", account, topology=THEIRS).end(RUN_TIMEOUT_S)
    assert ended.code == 0, ended.told
    results = json.loads((only_run(tmp_path / "runs") / "results.json").read_text())
    assert results["skipped"] == []
    assert [(fault["name"], fault["felt"], fault["healed"]) for fault in results["faults"]] == [
        ("delete-pod", True, True),
        ("drain", True, True),
    ]
    checks = {check["id"]: check for check in results["checks"]}
    assert checks["mtu"]["figures"]["lan_packet_bytes"] == 1500
    shared = {promise["name"]: promise["observed"] for promise in checks["concurrent-append"]["promises"]}
    assert shared["shared"] == "kept"


@pytest.mark.usefixtures("ended")
def test_who_may_not_shut_a_node_of_theirs_is_told_the_right_and_the_rest_runs(
    provided: Foreign, tmp_path: Path
) -> None:
    account = provided.account("some", may_run("some", but="nodes", more=MORE))
    with untouched(provided):
        ended = begun(tmp_path / "runs", account, "--only", "drain", "--only", "mtu", topology=THEIRS).end(
            RUN_TIMEOUT_S
        )
    assert ended.code == 0, ended.told
    results = json.loads((only_run(tmp_path / "runs") / "results.json").read_text())
    assert [(skip["check"], skip["needs"]) for skip in results["skipped"]] == [
        ("drain", "right nodes (fault drain)")
    ]
    assert [check["id"] for check in results["checks"]] == ["mtu"]


@pytest.mark.nightly
@pytest.mark.usefixtures("ended")
def test_a_node_that_a_killed_run_has_shut_takes_pods_again(
    provided: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = provided.account("more", may_run("more", more=MORE))
    monkeypatch.setenv("HARNESS_STATE", "elsewhere")  # where no cluster is but theirs
    with untouched(provided):
        process = begun(tmp_path / "runs", account, "--only", "drain", topology=THEIRS)
        process.wait_for("drain felt")
        process.send(signal.SIGKILL)
        process.end()
        shut = ("get", "nodes", "-o", "jsonpath={.items[*].spec.unschedulable}")
        assert "true" in provided.kubectl(*shut)
        ended = harness("down", "--all", "--kubeconfig", account)
        assert ended.code == 0, ended.told
        assert "drain of node n3" in ended.stdout
        assert "true" not in provided.kubectl(*shut)


@pytest.mark.nightly
def test_a_storage_class_that_they_do_not_have_is_named(provided: Foreign, tmp_path: Path) -> None:
    account = provided.account("more", may_run("more", more=MORE))
    wrong = ("--set", "volumes.data.storage_class=nowhere")
    with untouched(provided):
        ended = begun(tmp_path / "runs", account, *wrong, topology=THEIRS).end(RUN_TIMEOUT_S)
    assert ended.code == 70, ended.told
    assert "nowhere" in ended.stderr


def test_a_right_that_is_missing_is_named_and_nothing_is_made(theirs: Foreign, tmp_path: Path) -> None:
    account = theirs.account("mute", may_run("mute", but="pods/exec"))
    with untouched(theirs):
        ended = begun(tmp_path / "runs", account).end(RUN_TIMEOUT_S)
    assert ended.code == 70, ended.told
    assert "the cluster does not allow us in namespace harness-" in ended.stderr
    assert ": create pods/exec\n" in ended.stderr


@pytest.mark.nightly
def test_interrupted_in_the_middle_nothing_of_it_is_left_in_their_cluster(theirs: Foreign, tmp_path: Path) -> None:
    account = theirs.account("runs", may_run("runs"))
    with untouched(theirs):
        process = begun(tmp_path / "runs", account)
        process.wait_for("waiting for")
        process.send(signal.SIGINT)
        ended = process.end(RUN_TIMEOUT_S)
    assert ended.code == 130, ended.told
    assert "Traceback" not in ended.stderr


def test_what_a_killed_run_left_in_their_cluster_is_found_by_its_label_and_goes(
    theirs: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = theirs.account("runs", may_run("runs"))
    monkeypatch.setenv("HARNESS_STATE", "elsewhere")  # where no cluster is but theirs
    with untouched(theirs):
        process = begun(tmp_path / "runs", account)
        process.wait_for("services: 1 step")
        process.send(signal.SIGKILL)
        process.end()
        run_name = only_run(tmp_path / "runs").name
        listed = harness("list", "--kubeconfig", account)
        assert run_name in listed.stdout, listed.told
        ended = harness("down", "--all", "--kubeconfig", account)
        assert ended.code == 0, ended.told
        assert f"removed namespace harness-{run_name}" in ended.stdout


def test_a_kubeconfig_that_leads_nowhere_or_says_nothing_useful_is_told_so(
    theirs: Foreign, tmp_path: Path
) -> None:
    account = theirs.account("runs", may_run("runs"))
    unknown = begun(tmp_path / "a", account, "--context", "nobody's").end(RUN_TIMEOUT_S)
    assert unknown.code == 64, unknown.told
    assert "has no context" in unknown.stderr
    assert "it has theirs" in unknown.stderr
    nowhere = begun(tmp_path / "b", theirs.altered(account, server="https://127.0.0.1:1")).end(RUN_TIMEOUT_S)
    assert nowhere.code == 70, nowhere.told
    assert "does not answer" in nowhere.stderr
    stranger = begun(tmp_path / "c", theirs.altered(account, token="nobody")).end(RUN_TIMEOUT_S)
    assert stranger.code == 70, stranger.told
    assert "nobody" not in stranger.told


@pytest.mark.nightly
def test_a_node_that_starts_anew_gives_its_pods_both_networks_again(kept: Kept, tmp_path: Path) -> None:
    """It is the last test. Leases and what was attached ended with the node; its plugin finds Python again."""
    cluster = kept.cluster
    assert cluster.lifecycle is not None
    before = run(tmp_path / "before", "--reuse", "--only", "connectivity", topology=MACVLAN)
    assert before.ended.code == 0, before.ended.told
    cluster.lifecycle.kill("n3", timeout_s=TIMEOUT_S)
    cluster.lifecycle.start("n3", timeout_s=TIMEOUT_S)
    end = time.monotonic() + READY_WITHIN_S
    renewed = ("--namespace", "kube-node-lease", "get", "lease", "n3", "-o", "jsonpath={.spec.renewTime}")
    heard = kubectl(cluster, *renewed)
    while kubectl(cluster, *renewed) == heard:
        assert time.monotonic() < end, "the kubelet of n3 does not report"
        time.sleep(1.0)
    again = run(tmp_path / "again", "--reuse", topology=MACVLAN)
    assert again.ended.code == 0, again.ended.told
