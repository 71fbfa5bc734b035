"""A topology in Kubernetes' words: objects, names, policies, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from harness.model.plan import Plan
from harness.planner import problems
from tests.planner_topologies import EXAMPLE, FOREIGN, KUBERNETES, ON_KIND, RUN, planned_on_kubernetes, topology

SHARED_API = {"v1", "apps/v1", "networking.k8s.io/v1", "batch/v1"}
APART = """
name: apart
networks:
  app: {driver: overlay}
  back: {driver: overlay, internal: true}
services:
  web: {deploy: {replicas: 2}, networks: {app: {aliases: [www]}}, ports: [{target: 80, published: 30080}]}
  store: {networks: [back]}
  probe: {node: n1, networks: [app, back]}
"""


def planned(text: str = EXAMPLE) -> Plan:
    return planned_on_kubernetes(text)


def found(made: Plan) -> dict[tuple[str, str], dict[str, Any]]:
    """Policies and all else, in the order in which they are applied."""
    texts = [document.text for document in made.documents if document.name in ("policies.yaml", "objects.yaml")]
    documents = [each for text in texts for each in yaml.safe_load_all(text)]
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def refused(text: str) -> list[str]:
    return [key for key, _ in problems(topology(text, cluster=ON_KIND), KUBERNETES, wire_mtu=1500)]


def service(text: str) -> str:
    return f"name: x\nnetworks: {{app: {{driver: overlay}}, back: {{driver: overlay}}}}\nservices: {text}"


def test_all_objects_are_in_our_namespace_with_our_label_and_of_shared_api_versions() -> None:
    made = planned(APART)
    for each in found(made).values():
        assert each["metadata"]["namespace"] == made.cluster
        assert each["metadata"]["labels"]["harness.run"] == RUN
        assert each["apiVersion"] in SHARED_API
    space = yaml.safe_load(made.document("namespace.yaml").text)
    assert (space["kind"], space["metadata"]["name"]) == ("Namespace", made.cluster)


def test_services_become_deployments_daemonsets_and_pods() -> None:
    objects = found(planned())
    assert objects["Deployment", "web"]["spec"]["replicas"] == 3
    assert ("DaemonSet", "edge") in objects
    assert objects["Pod", "probe"]["spec"]["nodeName"] == "n1"
    assert objects["Pod", "probe"]["spec"]["restartPolicy"] == "Never"
    bare = objects["Pod", "bare"]["spec"]
    assert bare["hostNetwork"] is True


def test_every_name_is_a_headless_service_that_selects_all_who_carry_it() -> None:
    objects = found(planned())
    for name in ("web", "www", "edge", "probe"):
        spec = objects["Service", name]["spec"]
        assert spec == {"selector": {f"names.harness/{name}": "yes"}, "clusterIP": "None"}
    labels = objects["Deployment", "web"]["spec"]["template"]["metadata"]["labels"]
    assert labels["names.harness/www"] == labels["names.harness/web"] == "yes"
    assert ("Service", "bare") not in objects


def test_a_virtual_ip_serves_the_ports_of_the_service_and_the_agents() -> None:
    text = service("{web: {deploy: {endpoint_mode: vip}, networks: [app], ports: [{target: 80, mode: host}]}}")
    spec = found(planned(text))["Service", "web"]["spec"]
    assert spec["type"] == "ClusterIP"
    assert {(port["port"], port["protocol"]) for port in spec["ports"]} == {
        (80, "TCP"),
        (7799, "TCP"),
        (7799, "UDP"),
    }


def test_a_published_port_is_the_nodes_or_a_node_port() -> None:
    edge = found(planned())["DaemonSet", "edge"]["spec"]["template"]["spec"]["containers"][0]
    assert edge["ports"] == [{"name": "tcp-5000", "containerPort": 5000, "protocol": "TCP", "hostPort": 8000}]
    spec = found(planned(APART))["Service", "web-ports"]["spec"]
    assert (spec["type"], spec["ports"][0]["nodePort"], spec["ports"][0]["targetPort"]) == ("NodePort", 30080, 80)


def test_who_a_container_is_and_what_it_may_do() -> None:
    text = service("{a: {networks: [app], user: '1000:100', read_only: true, cap_drop: [CAP_NET_RAW, CHOWN]}}")
    container = found(planned(text))["Deployment", "a"]["spec"]["template"]["spec"]["containers"][0]
    assert container["securityContext"] == {
        "runAsUser": 1000,
        "runAsGroup": 100,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["NET_RAW", "CHOWN"]},
    }


def test_mounts_are_host_paths_and_memory() -> None:
    text = """
name: x
volumes: {shared: {driver: local, driver_opts: {type: none, o: bind, device: /d}}, own: {driver: local}}
services:
  a:
    volumes:
      - {source: shared, target: /s, read_only: true}
      - {source: own, target: /o}
      - {type: bind, source: /etc, target: /e}
      - {type: tmpfs, target: /t}
"""
    spec = found(planned(text))["Deployment", "a"]["spec"]["template"]["spec"]
    paths = [volume.get("hostPath", {}).get("path") for volume in spec["volumes"]]
    assert paths == ["/d", "/var/lib/harness/volumes/harness-r1-own", "/etc", None]
    assert spec["volumes"][3]["emptyDir"] == {"medium": "Memory"}
    assert spec["containers"][0]["volumeMounts"][0] == {"name": "v0", "mountPath": "/s", "readOnly": True}


def test_constraints_choose_nodes() -> None:
    text = service("{a: {networks: [app], deploy: {placement: {constraints: [node.role == worker]}}}}")
    affinity = found(planned(text))["Deployment", "a"]["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchFields"][0]["values"] for term in terms] == [["n2"], ["n3"]]


def test_networks_are_kept_apart_only_where_there_is_something_to_keep_apart() -> None:
    assert not [name for kind, name in found(planned()) if kind == "NetworkPolicy"]
    policies = {name for kind, name in found(planned(APART)) if kind == "NetworkPolicy"}
    assert policies == {"network-app", "network-back", "internal-back", "ports-web"}


def test_who_has_another_network_than_internal_ones_is_not_shut_in() -> None:
    objects = found(planned(APART))
    assert objects["NetworkPolicy", "internal-back"]["spec"]["podSelector"]["matchLabels"]["harness.internal"]
    assert "harness.internal" not in objects["Pod", "probe"]["metadata"]["labels"]
    assert "harness.internal" in objects["Deployment", "store"]["spec"]["template"]["metadata"]["labels"]


def test_no_name_for_tasks_is_promised() -> None:
    assert {target.tasks for target in planned().targets} == {""}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{a: {networks: [app], user: nobody}}", "services.a.user"),
        ("{a: {network_mode: none}}", "services.a.network_mode"),
        ("{a: {node: n1, network_mode: bridge}}", "services.a.network_mode"),
        ("{a-: {networks: [app]}}", "services.a-"),
        ("{a: {networks: {app: {aliases: [A_b]}}}}", "services.a.networks.app.aliases.0"),
        ("{a: {node: n1, networks: {app: {ipv4_address: 10.0.0.9}}}}", "services.a.networks.app.ipv4_address"),
        ("{a: {networks: [app], deploy: {mode: global, replicas: 2}}}", "services.a.deploy.replicas"),
        (
            "{a: {networks: {app: {aliases: [db]}}}, b: {networks: {back: {aliases: [db]}}}}",
            "services.a.networks.app.aliases.0",
        ),
    ],
)
def test_what_changes_the_experiment_is_refused(text: str, key: str) -> None:
    assert key in refused(service(text))


def test_networks_that_only_docker_has_are_refused() -> None:
    assert refused("name: x\nnetworks: {app: {driver: overlay, driver_opts: {encrypted: ''}}}") == [
        "networks.app.driver_opts.encrypted"
    ]
    assert refused("name: x\nnetworks: {lan: {driver: bridge}}") == ["networks.lan.driver"]


def test_what_has_no_meaning_is_noted() -> None:
    attachable = APART.replace("app: {driver: overlay}", "app: {driver: overlay, attachable: true}")
    notes = planned_on_kubernetes(attachable, cluster={**ON_KIND, "heartbeat_s": 2}).notes
    assert [word for word in ("heartbeat_s", "attachable") if not any(word in note for note in notes)] == []
    assert planned(APART).notes == ()


POLICY = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p%s}, spec: {podSelector: {}}}"
SPACES = "name: x\nservices: {a: {namespace: y}, b: {namespace: x}, c: {}}\npolicies: [%s]"


def test_namespaces_of_services_hold_their_pods_and_policies_and_are_removed() -> None:
    made = planned(SPACES % POLICY % ", namespace: y")
    objects = found(made)
    assert objects["Deployment", "a"]["metadata"]["namespace"] == f"{made.cluster}-y"
    assert objects["Deployment", "c"]["metadata"]["namespace"] == made.cluster
    policy = objects["NetworkPolicy", "p"]
    assert policy["metadata"] == {"name": "p", "namespace": f"{made.cluster}-y", "labels": {"harness.run": RUN}}
    labels = {
        each["metadata"]["name"]: each["metadata"]["labels"]["harness.namespace"]
        for each in yaml.safe_load_all(made.document("namespace.yaml").text)
    }
    assert labels == {made.cluster: "default", f"{made.cluster}-y": "y", f"{made.cluster}-x": "x"}


def test_what_is_removed_is_the_runs_in_whichever_namespace_and_never_the_enforcer() -> None:
    """A topology before this one on the same cluster may have had other namespaces."""
    made = planned()
    workloads, pods, spaces = (step.argv for step in made.undo[:3])
    for argv in (workloads, pods):
        assert "--all-namespaces" in argv
        assert f"harness.run={RUN},harness.service" in argv  # the enforcer's DaemonSet is no service's
    assert spaces[-4:] == ("-l", f"harness.run={RUN}", "--ignore-not-found", "--wait=true")
    labels = found(made)["DaemonSet", "edge"]["metadata"]["labels"]
    assert (labels["harness.run"], labels["harness.service"]) == (RUN, "edge")


def test_what_kubectl_reads_as_a_boolean_is_quoted() -> None:
    """YAML 1.1, which kubectl reads, has y and n for booleans; PyYAML writes them bare."""
    made = planned(SPACES % POLICY % "")
    assert 'harness.namespace: "y"' in made.document("namespace.yaml").text


def test_policies_of_unknown_namespaces_and_names_that_stand_twice_are_refused() -> None:
    assert refused(SPACES % POLICY % ", namespace: z") == ["policies.0.metadata.namespace"]
    assert refused(SPACES % ", ".join([POLICY % "", POLICY % ", namespace: default"])) == [
        "policies.1.metadata.name"
    ]
    text = "name: x\nnetworks: {app: {driver: overlay}}\nservices: {a: {namespace: y, networks: [app]}}"
    assert refused(text) == ["services.a.namespace"]


def foreign(text: str = EXAMPLE, **cluster: object) -> Plan:
    return planned_on_kubernetes(text, cluster={**FOREIGN, **cluster})


def test_on_a_cluster_that_exists_every_command_says_whose_it_is_and_no_namespace_is_applied() -> None:
    made = foreign(APART)
    kubectl = ("kubectl", "--kubeconfig", "/etc/theirs", "--context", "prod")
    assert {step.argv[:5] for step in (*made.steps, *made.undo)} == {kubectl}
    assert "namespace.yaml" not in {document.name for document in made.documents}
    assert not any("--all-namespaces" in step.argv for step in made.undo)


def test_on_a_cluster_that_exists_pods_stay_on_the_nodes_of_the_topology() -> None:
    objects = found(foreign())
    for kind, name in (("Deployment", "web"), ("DaemonSet", "edge")):
        affinity = objects[kind, name]["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
        terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert [term["matchFields"][0]["values"] for term in terms] == [["n1"], ["n2"], ["n3"]]


def test_on_a_cluster_that_exists_node_ports_are_the_clusters_to_give() -> None:
    [entry] = found(foreign(APART))["Service", "web-ports"]["spec"]["ports"]
    assert "nodePort" not in entry
    assert "nodePort" in found(planned(APART))["Service", "web-ports"]["spec"]["ports"][0]


def test_on_a_cluster_that_exists_no_directory_of_a_node_is_used_and_a_note_says_so() -> None:
    made = foreign()
    volumes = found(made)["Deployment", "web"]["spec"]["template"]["spec"]["volumes"]
    assert volumes == [{"name": "v0", "emptyDir": {}}]
    assert any("volume shared" in note and "empty directory" in note for note in made.notes)
    assert not [step for step in made.steps if step.argv[0] == "mkdir"]


def test_all_is_in_the_namespace_that_is_given() -> None:
    claimed = """
name: claimed
volumes: {data: {driver: claim}}
services: {web: {volumes: [{source: data, target: /data}]}}
"""
    made = foreign(claimed, namespace="team")
    texts = [each for document in made.documents for each in yaml.safe_load_all(document.text)]
    assert {each["metadata"]["namespace"] for each in texts} == {"team"}
    assert {each["kind"] for each in texts} == {"PersistentVolumeClaim", "Deployment"}


def test_what_needs_another_namespace_or_a_nodes_directory_is_refused_there() -> None:
    text = service("{a: {namespace: x}, b: {volumes: ['/etc:/etc']}}")
    keys = [key for key, _ in problems(topology(text, cluster=FOREIGN), KUBERNETES, wire_mtu=1500)]
    assert keys == ["services.a.namespace", "services.b.volumes.0"]


def test_names_that_hold_are_a_stateful_set_on_a_headless_service() -> None:
    text = service("{web: {hostname: '{{.Service.Name}}-{{.Task.Slot}}', networks: [app], deploy: {replicas: 2}}}")
    objects = found(planned(text))
    spec = objects["StatefulSet", "web"]["spec"]
    assert (spec["serviceName"], spec["replicas"], spec["podManagementPolicy"]) == ("web", 2, "Parallel")
    assert objects["Service", "web"]["spec"]["clusterIP"] == "None"
    vip = text.replace("replicas: 2", "replicas: 2, endpoint_mode: vip")
    assert refused(vip) == ["services.web.hostname"]


@pytest.mark.parametrize("keys", ["hostname: mine", "hostname: '{{.Service.Name}}-{{.Task.Slot}}', node: n1"])
def test_a_hostname_that_means_nothing_here_is_refused(keys: str) -> None:
    with pytest.raises(ValueError, match="hostname"):
        topology(service(f"{{web: {{{keys}}}}}"))
