"""Provider `kind`: its configuration, how it is run and cut short, what is waited for, what labels keep apart."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import yaml

from harness.model.errors import CommandFailed, EnvironmentBroken, HarnessError
from harness.model.places import SHARED_DIR, data_dir
from harness.model.plan import NodePlan, Plan, Target
from harness.ports import Result
from harness.providers import engine, images, kind, kind_config, kind_create, kind_image, kind_wait, labels
from harness.providers.docker import DockerProvider
from harness.providers.kind import KindProvider
from harness.providers.own_engine import OwnEngine
from harness.transport.process import run_process
from tests.fakes import FakeHost
from tests.kind_program import FakeKind
from tests.planner_topologies import topology
from tests.providers_engine import FakeDocker, script

TEXT = "name: small\ncluster: {orchestrator: kubernetes, nodes: {manager: 1, worker: 2}}\n"
NODES = (NodePlan("n1", "manager"), NodePlan("n2", "worker"), NodePlan("n3", "worker"))


def plan_of(text: str = "", *, cni: str = "", **values: Any) -> Plan:
    whole = TEXT.replace("{orch", f"{{cni: {cni}, orch") if cni else TEXT
    return Plan(
        run="20260101-000000-abcdef",
        topology=topology(whole + text),
        provider="kind",
        orchestrator="kubernetes",
        seed=1,
        nodes=NODES,
        **values,
    )


def quiet(_line: str) -> None:
    pass


# --- the configuration


def rendered(plan: Plan) -> Any:
    return yaml.safe_load(kind_config.render(plan, wire="10.213.7.0/24", shared="/srv/shared"))


def test_kubernetes_on_containers_is_kind_and_nothing_else_is_turned() -> None:
    assert topology(TEXT).cluster.provider == "kind"
    assert topology("name: a\ncluster: {provider: docker, orchestrator: kubernetes}\n").cluster.provider == "kind"
    assert (
        topology("name: a\ncluster: {provider: existing, orchestrator: kubernetes}\n").cluster.provider
        == "existing"
    )
    assert topology("name: a\n").cluster.provider == "docker"


def test_nodes_are_called_as_in_the_topology_are_free_of_taints_and_share_a_directory() -> None:
    nodes = rendered(plan_of())["nodes"]
    assert [node["role"] for node in nodes] == ["control-plane", "worker", "worker"]
    patches = [yaml.safe_load(node["kubeadmConfigPatches"][0]) for node in nodes]
    assert [patch["nodeRegistration"] for patch in patches] == [{"name": f"n{i}", "taints": []} for i in (1, 2, 3)]
    assert [patch["kind"] for patch in patches] == ["InitConfiguration", "JoinConfiguration", "JoinConfiguration"]
    mount = {"hostPath": "/srv/shared", "containerPath": SHARED_DIR}
    assert all(node["extraMounts"] == [mount] for node in nodes)


def test_the_same_plan_is_the_same_text() -> None:
    first, second = (kind_config.render(plan_of(), wire="10.213.7.0/24", shared="/x") for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("networks", "pods"),
    [
        ("", "10.244.0.0/16"),
        ("networks: {app: {driver: overlay, ipam: {config: [{subnet: 10.60.0.0/16}]}}}", "10.60.0.0/16"),
        ("networks: {app: {driver: overlay, ipam: {config: [{subnet: 10.60.0.0/28}]}}}", "10.244.0.0/16"),
        ("networks: {lan: {driver: macvlan, ipam: {config: [{subnet: 10.244.9.0/24}]}}}", "10.245.0.0/16"),
    ],
)
def test_pods_get_the_overlays_subnet_where_it_has_room_and_else_one_that_is_free(
    networks: str, pods: str
) -> None:
    found = rendered(plan_of(networks))
    assert found["networking"]["podSubnet"] == pods
    assert found["networking"]["serviceSubnet"] == "10.96.0.0/16"


def patch_of(config: dict[str, Any], kind: str = "ClusterConfiguration") -> dict[str, Any]:
    [found] = [each for text in config["kubeadmConfigPatches"] if (each := yaml.safe_load(text))["kind"] == kind]
    assert isinstance(found, dict)
    return found


def test_a_small_subnet_is_shared_in_smaller_parts() -> None:
    text = "networks: {app: {driver: overlay, ipam: {config: [{subnet: 10.60.0.0/24}]}}}"
    arguments = patch_of(rendered(plan_of(text)))["controllerManager"]["extraArgs"]
    assert arguments["node-cidr-mask-size"] == "26"


def test_services_do_not_overlap_what_the_topology_has() -> None:
    text = "networks: {app: {driver: overlay, ipam: {config: [{subnet: 10.96.0.0/16}]}}}"
    found = rendered(plan_of(text))["networking"]
    assert (found["podSubnet"], found["serviceSubnet"]) == ("10.96.0.0/16", "10.97.0.0/16")


@pytest.mark.parametrize(
    ("ports", "range_"), [((), "30000-32767"), ((8000,), "8000-32767"), ((80, 40000), "80-40000")]
)
def test_the_range_of_node_ports_holds_every_published_one(ports: tuple[int, ...], range_: str) -> None:
    published = tuple({"target": 5000, "published": port} for port in ports)
    target = Target("web", 1, "replicated", {}, ports=(*published, {"target": 9}))
    patch = patch_of(rendered(plan_of(targets=(target,))))
    assert patch["apiServer"]["extraArgs"] == {"service-node-port-range": range_}


def test_nodes_say_soon_that_they_are_ready_and_no_oftener_than_before_that_they_still_are() -> None:
    patch = patch_of(rendered(plan_of()), "KubeletConfiguration")
    assert patch["nodeStatusUpdateFrequency"] == "2s"
    assert patch["nodeStatusReportFrequency"] == "5m0s"  # else it follows the other one


def test_who_brings_a_network_for_pods_gets_nodes_without_one_and_the_subnet_that_flannel_says() -> None:
    network = "networks: {app: {driver: overlay, ipam: {config: [{subnet: 10.60.0.0/16}]}}}"
    own = rendered(plan_of(network))["networking"]
    theirs = rendered(plan_of(network, cni="/srv/flannel.yaml"))["networking"]
    assert (own["disableDefaultCNI"], own["podSubnet"]) == (False, "10.60.0.0/16")
    assert (theirs["disableDefaultCNI"], theirs["podSubnet"]) == (True, "10.244.0.0/16")


# --- running kind


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    fake = FakeDocker(tmp_path)
    fake.change(images={name: f"sha256:{i}" for i, name in enumerate((images.tag("node"), kind_image.tag()))})
    monkeypatch.setattr(engine, "system_engine", fake.engine)
    monkeypatch.setenv("HARNESS_ENGINE", "system")
    return fake


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKind:
    fake = FakeKind(tmp_path)
    monkeypatch.setattr(kind_image, "kind_program", lambda _progress: str(fake.program))
    return fake


class NoEngine(OwnEngine):
    @property
    def left(self) -> bool:
        return False

    def running(self) -> None:
        return None


@pytest.fixture
def provider(tmp_path: Path, docker: FakeDocker, program: FakeKind) -> KindProvider:
    return KindProvider(NoEngine(lambda _progress: tmp_path))


def test_kind_is_told_the_clusters_name_its_network_and_our_image(
    provider: KindProvider, program: FakeKind
) -> None:
    plan = plan_of()
    provider.up(plan, quiet)
    [call] = program.calls
    assert f"--name {plan.cluster} " in call
    assert f"--image {kind_image.tag()}" in call
    assert "--kubeconfig /" in call  # never the user's own
    assert "/var/lib/docker/volumes/harness-20260101-000000-abcdef-shared/_data" in program.config


def loaded(docker: FakeDocker, plan: Plan) -> dict[str, list[str]]:
    found = docker.state["containers"]
    return {name.rpartition("-")[2]: found[name]["loaded"] for name in found if name.startswith(plan.cluster)}


def test_nodes_get_an_image_once_and_again_only_when_it_is_another_one(
    provider: KindProvider, docker: FakeDocker
) -> None:
    workload, other = images.tag("workload"), "nginx:1"
    docker.change(images={**docker.state["images"], workload: "sha256:" + "2" * 64, other: "sha256:3"})
    plan = plan_of(images=(workload, other, "elsewhere:2"))
    cluster = provider.up(plan, quiet)
    both = [f"image {workload}", f"image {other}"]
    for _ in range(2):
        lines: list[str] = []
        provider.supply(cluster, plan, lines.append)
        nodes = {name: own for name, own in loaded(docker, plan).items() if name != "wire"}
        assert nodes == {"plane": both, "worker": both, "worker2": both}
    assert lines == []
    docker.change(images={**docker.state["images"], other: "sha256:4"})
    provider.supply(cluster, plan, lines.append)
    assert lines == [f"handing {other} to n1, n2, n3"]
    assert loaded(docker, plan)["worker2"] == [*both, f"image {other}"]


#: As containerd's client shows an image that was unpacked, and the manifest behind it.
CHECKED = "docker.io/a/b:1 application/vnd.oci.image.manifest.v1+json sha256:0aa1 complete (2/2) 5 MiB/5 MiB true "
CTR = """
case "$*" in
*"images check name==docker.io/a/b:1"|*"images check name==docker.io/library/c:1") echo REF; cat table ;;
*"content get sha256:0aa1") echo '{"config":{"digest":"sha256:77"}}' ;;
*) echo REF ;;
esac
"""


@pytest.mark.parametrize(
    ("image", "number", "table", "has"),
    [
        ("a/b:1", "sha256:77", CHECKED, True),
        ("c:1", "sha256:77", CHECKED, True),
        ("a/b:1", "sha256:78", CHECKED, False),
        ("a/b:1", "sha256:77", CHECKED.replace("true", "false"), False),
        ("a/b:1", "sha256:77", "", False),
        ("registry.example/a/b:1", "sha256:77", CHECKED, False),
    ],
)
def test_containerd_has_an_image_where_it_has_unpacked_that_very_one(
    tmp_path: Path, image: str, number: str, table: str, *, has: bool
) -> None:
    script(tmp_path / "ctr", CTR)
    (tmp_path / "table").write_text(table)
    told = f'cd {tmp_path}; PATH="{tmp_path}:$PATH"; {kind.HAS}'
    found = run_process(["sh", "-c", told, "sh", image, number], timeout_s=10, stdin=b"", where="here")
    assert found.ok == has, found.output


@pytest.mark.parametrize(("verb", "looks"), [("init", 3), ("join", 3), ("config", 0)])
def test_kubeadm_waits_for_its_nodes_systemd_however_long_that_takes(
    tmp_path: Path, verb: str, looks: int
) -> None:
    """kind itself gives up after 30 s (decision 016)."""
    script(tmp_path / "systemctl", f"echo >>{tmp_path}/looks; [ $(wc -l <{tmp_path}/looks) -ge 3 ]")
    real = script(tmp_path / "kubeadm", 'echo "done: $*"')
    text = (data_dir("kind") / "node" / "kubeadm.sh").read_text()
    waits = script(tmp_path / "waits", text.replace("/usr/lib/kubernetes/kubeadm", str(real)))
    argv = ["env", f"PATH={tmp_path}:/usr/bin:/bin", str(waits), verb, "--config", "x"]
    ended = run_process(argv, timeout_s=30, stdin=b"", where="here")
    assert (ended.code, ended.stdout) == (0, f"done: {verb} --config x\n")
    told = tmp_path / "looks"
    assert (len(told.read_text().splitlines()) if told.exists() else 0) == looks


def test_progress_is_kinds_own_without_its_pictures(provider: KindProvider) -> None:
    lines: list[str] = []
    provider.up(plan_of(), lines.append)
    assert "kind: preparing nodes" in lines
    assert "nodes n1, n2, n3 are Ready" in lines
    assert all(line.isascii() for line in lines)


def test_what_kind_says_when_it_fails_is_told_the_logs_are_kept_and_nothing_is_left(
    provider: KindProvider, program: FakeKind, docker: FakeDocker
) -> None:
    program.fail()
    with pytest.raises(CommandFailed, match="ERROR: failed to create cluster: no luck"):
        provider.up(plan_of(), quiet)
    state = docker.state
    assert (state["containers"], state["networks"], state["volumes"]) == ({}, {}, {})


def test_what_does_not_get_ready_is_told_with_the_pods_last_event_and_its_logs(
    provider: KindProvider, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind_wait, "READY_TIMEOUT_S", 0.0)
    docker.change(
        kubernetes=[*(node(name) for name in ("n1", "n2")), node("n3", "False"), pod("cni-x", "n3"), *EVENTS]
    )
    with pytest.raises(EnvironmentBroken) as broken:
        provider.up(plan_of(), quiet)
    assert "node n3 is not Ready: cni config uninitialized" in broken.value.message
    assert "pod cni-x on n3: ImagePullBackOff; its last event: Failed: no such image" in broken.value.message
    assert {"n1/events.txt", "n1/journal.log", "n3/node.log"} <= set(broken.value.logs)
    assert docker.state["containers"] == {}


MANIFESTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: kube-flannel}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-flannel-ds, namespace: kube-flannel}
spec: {subnet: "{{ .PodSubnet }}"}
"""


def test_a_network_that_a_user_brings_is_made_on_the_control_plane_before_nodes_are_waited_for(
    provider: KindProvider, docker: FakeDocker, tmp_path: Path
) -> None:
    lines: list[str] = []
    file = tmp_path / "flannel.yaml"
    file.write_text(MANIFESTS)
    plan = plan_of(cni=str(file))
    provider.up(plan, lines.append)
    made = MANIFESTS.replace("{{ .PodSubnet }}", "10.244.0.0/16")
    assert docker.state["created"] == [[f"{plan.cluster}-control-plane", made]]
    told = "flannel.yaml: Namespace kube-flannel, DaemonSet kube-flannel/kube-flannel-ds"
    assert lines.index(f"network for pods (10.244.0.0/16) by {told}") < lines.index("nodes n1, n2, n3 are Ready")


def test_manifests_that_the_cluster_refuses_are_named_and_nothing_is_left(
    provider: KindProvider, docker: FakeDocker, tmp_path: Path
) -> None:
    file = tmp_path / "calico.yaml"
    file.write_text("{apiVersion: refused/v1, kind: Nonsense}\n")
    with pytest.raises(CommandFailed, match=f'no matches for kind "Nonsense"\n.*{re.escape(str(file))}'):
        provider.up(plan_of(cni=str(file)), quiet)
    assert docker.state["containers"] == {}


def test_a_network_for_pods_is_waited_for_in_whichever_namespace_it_is(
    provider: KindProvider, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind_wait, "READY_TIMEOUT_S", 0.0)
    docker.change(kubernetes=[*(node(name) for name in ("n1", "n2", "n3")), daemons("kube-flannel", 1)])
    with pytest.raises(EnvironmentBroken, match="DaemonSet net: 1 of 3 pods are ready"):
        provider.up(plan_of(), quiet)
    docker.change(kubernetes=[*(node(name) for name in ("n1", "n2", "n3")), daemons("harness-r1", 1)])
    provider.up(plan_of(), quiet)


def daemons(namespace: str, ready: int) -> dict[str, Any]:
    status = {"desiredNumberScheduled": 3, "numberReady": ready}
    return {"kind": "DaemonSet", "metadata": {"name": "net", "namespace": namespace}, "status": status}


def test_an_interrupt_ends_kind_and_waits_until_it_has_ended(program: FakeKind, tmp_path: Path) -> None:
    hangs, stop = program.hang(), Event()
    config = tmp_path / "config.yaml"
    config.write_text("nodes: []\n")

    def interrupt() -> None:
        while not hangs.exists():
            stop.wait(0.05)
        stop.set()

    threading.Thread(target=interrupt, daemon=True).start()
    kind_create.create([str(program.program), "--config", str(config)], {}, stop, quiet)
    assert stop.is_set()


def test_kind_finds_the_engines_client_whatever_it_is_called(tmp_path: Path) -> None:
    client = script(tmp_path / "a folder" / "odd client", 'echo "$1 $2"')
    environment = kind_create.environment(
        engine.Engine("unix:///x.sock", ("env", str(client)), own=True), "wire", tmp_path / "bin"
    )
    found = shutil.which("docker", path=environment["PATH"])
    assert found is not None
    assert environment["DOCKER_HOST"] == "unix:///x.sock"
    assert (
        run_process([found, "one", "two words"], timeout_s=30, stdin=b"", where="here").stdout == "one two words\n"
    )


@pytest.mark.parametrize(
    ("line", "step"),
    [
        (" \N{BULLET} Starting control-plane \N{JOYSTICK}  ...", "starting control-plane"),
        (" \N{CHECK MARK} Starting control-plane", ""),
        ("ERROR: failed", ""),
    ],
)
def test_only_beginnings_are_progress(line: str, step: str) -> None:
    assert kind_create.step_of(line) == step


# --- what is waited for


def node(name: str, ready: str = "True") -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "message": "cni config uninitialized"}
    return {"kind": "Node", "metadata": {"name": name}, "status": {"conditions": [condition]}}


def pod(name: str, where: str) -> dict[str, Any]:
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff"}}}
    return {
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": where},
        "status": {"phase": "Pending", "containerStatuses": [waiting]},
    }


def event(message: str, moment: str) -> dict[str, Any]:
    return {
        "kind": "Event",
        "metadata": {"name": "e", "creationTimestamp": moment},
        "involvedObject": {"name": "cni-x"},
        "reason": "Failed",
        "message": message,
        "lastTimestamp": moment,
    }


EVENTS = [event("no such image", "2026-01-01T00:00:09Z"), event("pulling", "2026-01-01T00:00:01Z")]


def test_a_pod_is_told_with_its_last_event_and_a_static_one_is_not() -> None:
    static = pod("etcd-n1", "n1")
    static["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    [told] = kind_wait.complaints_of_pods([pod("cni-x", "n2"), static, *EVENTS])
    assert told == "pod cni-x on n2: ImagePullBackOff; its last event: Failed: no such image"
    assert kind_wait.complaints_of_pods([pod("lonely", "n2")]) == ["pod lonely on n2: ImagePullBackOff; no event"]


def test_what_may_make_no_pod_is_told_by_its_last_event() -> None:
    refused = [
        {
            **event(message, moment),
            "involvedObject": {"kind": "DaemonSet", "name": "net"},
            "reason": "FailedCreate",
        }
        for message, moment in (("second", "2026-01-01T00:00:09Z"), ("first", "2026-01-01T00:00:01Z"))
    ]
    assert kind_wait.complaints_of_makers([*refused, *EVENTS]) == [
        "DaemonSet net has no pod; its last event: FailedCreate: second"
    ]


def test_a_control_plane_that_died_is_not_waited_for() -> None:
    host = FakeHost(answers={kind_wait.KUBECTL[:1]: Result(1, "", "container x is not running")})
    with pytest.raises(EnvironmentBroken, match="is not running"):
        kind_wait.await_ready(host, ["n1"], quiet, Event())


# --- labels


def test_each_provider_leaves_to_the_other_what_is_its(
    provider: KindProvider, docker: FakeDocker, tmp_path: Path
) -> None:
    plan = plan_of()
    provider.up(plan, quiet)
    beside = DockerProvider(NoEngine(lambda _progress: tmp_path))
    before = docker.state["containers"]
    assert beside.clusters() == []
    assert beside.down(plan.run) == []
    assert docker.state["containers"] == before
    assert labels.is_used(docker.engine())
    assert provider.down(plan.run)
    assert not labels.is_used(docker.engine())


def test_what_a_killed_run_has_left_in_the_temporary_folder_goes_with_its_cluster(
    provider: KindProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    plan = plan_of()
    ours, other = tmp_path / f"{plan.cluster}-kind-abc", tmp_path / "harness-else-kind-abc"
    for folder in (ours, other):
        folder.mkdir()
    assert provider.down(plan.run) == [f"folder {ours}"]
    assert other.exists()
    assert not ours.exists()


def test_a_kind_cluster_that_is_not_ours_is_not_seen(provider: KindProvider, docker: FakeDocker) -> None:
    client = docker.engine().client(10).container
    client.run(kind_image.tag(), detach=True, name="mine-worker", labels={kind.LABEL_CLUSTER: "mine"})
    assert provider.clusters() == []
    assert provider.down("mine") == []
    assert "mine-worker" in docker.state["containers"]


def test_nodes_are_in_their_order_beyond_nine() -> None:
    names = ["control-plane", "worker", *(f"worker{i}" for i in range(2, 12))]
    nodes = [kind._Node("harness-x", f"harness-x-{name}", "") for name in names]
    assert [each.name for each in nodes] == [f"n{i}" for i in range(1, 13)]


# --- the image


def test_every_file_of_the_recipe_goes_into_a_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "kind"
    shutil.copytree(data_dir("kind"), recipe)
    monkeypatch.setattr(kind_image, "data_dir", lambda _name: recipe)
    seen = {kind_image.node_hash("node-stores")}
    files = [path for path in recipe.rglob("*") if path.is_file()]
    for path in files:
        path.write_text(path.read_text() + "\n# changed\n")
        seen.add(kind_image.node_hash("node-stores"))
    assert len(seen) == len(files) + 1


def test_a_node_file_does_not_compile_kubernetes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "kind"
    shutil.copytree(data_dir("kind"), recipe)
    monkeypatch.setattr(kind_image, "data_dir", lambda _name: recipe)
    before = kind_image.binaries_hash(), kind_image.node_hash()
    (recipe / "node" / "entrypoint.sh").write_text("# changed\n")
    assert kind_image.binaries_hash() == before[0]
    assert kind_image.node_hash() != before[1]


def test_with_a_registry_kind_chooses_and_a_version_is_pulled(docker: FakeDocker) -> None:
    docker.change(images={})
    foreign = docker.engine(own=False)
    assert kind_image.node_image(foreign, None, quiet) is None
    assert kind_image.node_image(foreign, "1.33.1", quiet) == "kindest/node:v1.33.1"
    assert kind_image.node_image(foreign, "near:5000/node:v1", quiet) == "near:5000/node:v1"


def test_without_a_registry_another_version_is_refused_with_the_one_there_is(docker: FakeDocker) -> None:
    docker.fail("image pull", "dial tcp: no route to host")
    with pytest.raises(EnvironmentBroken, match="no route to host") as refused:
        kind_image.node_image(docker.engine(), "1.33.1", quiet)
    assert kind_image.OWN_VERSION in str(refused.value.hint)


def test_an_old_kind_in_path_is_left_and_debians_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin" / "kind", 'echo "kind version 0.11.1"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(kind_image, "cache_dir", lambda: tmp_path / "cache")
    with pytest.raises(EnvironmentBroken, match="there is no kind in PATH") as missing:
        kind_image.kind_program(quiet)
    assert "apt-get install mmdebstrap" in str(missing.value.hint)
    script(tmp_path / "bin" / "kind", 'echo "kind version 0.27.0"')
    assert kind_image.kind_program(quiet) == str(tmp_path / "bin" / "kind")


def test_the_doctor_says_what_the_first_cluster_will_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(kind_image, "cache_dir", lambda: tmp_path / "cache")
    assert kind_image.outlook() == (False, "none in PATH, and no mmdebstrap to fetch Debian's")
    script(tmp_path / "bin" / "mmdebstrap", ":")
    assert kind_image.outlook() == (True, "Debian's is fetched; the first node image is built, in minutes")
    script(tmp_path / "bin" / "kind", 'echo "kind version 0.27.0"')
    assert kind_image.outlook()[1].startswith("0.27.0 in PATH")


def test_errors_carry_no_logs_unless_somebody_adds_them() -> None:
    assert HarnessError("a").logs == {}
