"""The meta plugin over delegates that are real processes, and an API server in memory."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from harness.orchestrators.kubernetes import meta_plugin
from harness.orchestrators.kubernetes.meta_plugin import Api, Call, Failed, Object, Places, Plugin, status, wishes

CONTAINER = "c0ffee"
#: Writes down what it was called with; fails where a file says so; answers with an address of its own.
DELEGATE = """#!/bin/sh
config=$(cat)
name=$(printf %s "$config" | tr -d ' ' | grep -o '"name":"[^"]*"' | head -n 1 | cut -d'"' -f4)
echo "$CNI_COMMAND ${0##*/} $name $CNI_IFNAME" >>LOG/calls
printf '%s\\n' "$config" >"LOG/$CNI_COMMAND-${0##*/}-$CNI_IFNAME"
if [ -e "LOG/fail-$CNI_COMMAND-$name" ]; then
  echo '{"code": 11, "msg": "no room", "details": "all taken"}'
  exit 1
fi
[ "$CNI_COMMAND" = ADD ] || exit 0
cat <<EOF
{"cniVersion": "0.4.0",
 "interfaces": [{"name": "veth1", "mac": "02:00:00:00:00:99"},
                {"name": "$CNI_IFNAME", "mac": "02:00:00:00:00:01", "sandbox": "$CNI_NETNS"}],
 "ips": [{"version": "4", "address": "10.70.0.$(wc -l <LOG/calls)/24", "interface": 1}], "dns": {}}
EOF
"""
CLUSTERS = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [{"type": "ptp"}, {"type": "portmap", "capabilities": {"portMappings": True}}],
}
OURS = {"cniVersion": "0.4.0", "name": "harness-meta", "type": "harness-meta"}
LAN = {"cniVersion": "0.4.0", "name": "lan", "type": "macvlan", "master": "eth0"}


@dataclass
class Node:
    """A node's folders, and the API server as it sees it."""

    folder: Path
    annotation: str = ""
    definitions: dict[str, Object] = field(default_factory=dict)
    patched: list[tuple[str, Object]] = field(default_factory=list)
    silent: bool = False

    @property
    def places(self) -> Places:
        return Places(*(self.folder / name for name in ("net.d", "multus", "state")))

    def get(self, path: str) -> Object | None:
        if self.silent:
            raise TimeoutError("timed out")
        if path == "/api/v1/namespaces/shop/pods/web":
            return {"metadata": {"annotations": {meta_plugin.NETWORKS: self.annotation}}}
        _, space, _, name = path.rsplit("/", maxsplit=3)
        return self.definitions.get(f"{space}/{name}")

    def patch(self, path: str, body: Object) -> None:
        if self.silent:
            raise TimeoutError("timed out")
        self.patched.append((path, body))

    def call(self, command: str, **config: Any) -> Object | None:
        arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web"
        call = Call(command, CONTAINER, "/run/netns/x", "eth0", arguments, str(self.folder / "bin"))
        return Plugin(call, {**OURS, **config}, lambda: Api(self.get, self.patch), self.places).run()

    def fails(self, command: str, network: str, *, always: bool = True) -> None:
        place = self.folder / f"fail-{command}-{network}"
        place.touch() if always else place.unlink()

    @property
    def calls(self) -> list[str]:
        found = self.folder / "calls"
        return found.read_text().splitlines() if found.exists() else []

    def handed(self, command: str, plugin: str, interface: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{command}-{plugin}-{interface}").read_text())
        return found

    @property
    def told(self) -> list[dict[str, Any]]:
        [(path, body)] = self.patched
        assert path == "/api/v1/namespaces/shop/pods/web/status"
        found: list[dict[str, Any]] = json.loads(body["metadata"]["annotations"][meta_plugin.STATUS])
        return found


@pytest.fixture
def node(tmp_path: Path) -> Node:
    for name in ("bin", "net.d", "multus"):
        (tmp_path / name).mkdir()
    for plugin in ("ptp", "portmap", "macvlan"):
        (tmp_path / "bin" / plugin).write_text(DELEGATE.replace("LOG", str(tmp_path)))
        (tmp_path / "bin" / plugin).chmod(0o755)
    (tmp_path / "net.d" / "00-harness-meta.conf").write_text(json.dumps(OURS))
    (tmp_path / "net.d" / "10-pods.conflist").write_text(json.dumps(CLUSTERS))
    made = Node(tmp_path)
    made.definitions["shop/lan"] = {"spec": {"config": json.dumps(LAN)}}
    made.definitions["other/wan"] = {"spec": {"config": json.dumps({**LAN, "name": "wan"})}}
    return made


def test_a_pod_that_asks_for_nothing_has_the_clusters_network_and_its_result(node: Node) -> None:
    result = node.call("ADD", runtimeConfig={"portMappings": [{"hostPort": 80}]})
    assert node.calls == ["ADD ptp pods eth0", "ADD portmap pods eth0"]
    assert result
    assert result["ips"][0]["address"] == "10.70.0.2/24"
    assert node.patched == []


def test_a_list_of_plugins_hands_on_results_and_what_each_is_able_to_do(node: Node) -> None:
    node.call("ADD", runtimeConfig={"portMappings": [{"hostPort": 80}]})
    first, second = node.handed("ADD", "ptp", "eth0"), node.handed("ADD", "portmap", "eth0")
    assert "runtimeConfig" not in first
    assert "prevResult" not in first
    assert second["runtimeConfig"] == {"portMappings": [{"hostPort": 80}]}
    assert second["prevResult"]["ips"][0]["address"] == "10.70.0.1/24"
    assert (second["name"], second["cniVersion"]) == ("pods", "0.4.0")


def test_several_networks_are_several_interfaces_and_all_are_told(node: Node) -> None:
    node.annotation = "lan, other/wan@eth7"
    result = node.call("ADD")
    assert node.calls[2:] == ["ADD macvlan lan net1", "ADD macvlan wan eth7"]
    assert result
    assert result["interfaces"][1]["name"] == "eth0"
    assert [(each["name"], each["interface"], each["ips"]) for each in node.told] == [
        ("pods", "eth0", ["10.70.0.2"]),
        ("shop/lan", "net1", ["10.70.0.3"]),
        ("other/wan", "eth7", ["10.70.0.4"]),
    ]
    assert [each.get("default", False) for each in node.told] == [True, False, False]
    assert {each["mac"] for each in node.told} == {"02:00:00:00:00:01"}


def test_a_definition_without_a_configuration_has_the_nodes_of_its_name(node: Node) -> None:
    node.definitions["shop/lan"] = {}
    node.annotation = "lan"
    (node.folder / "multus" / "a.conf").write_text(json.dumps({**LAN, "name": "another"}))
    with pytest.raises(Failed, match=r"shop/lan has no spec.config, and no file of .* called 'lan'"):
        node.call("ADD")
    (node.folder / "multus" / "b.conf").write_text(json.dumps({**LAN, "mode": "private"}))
    node.call("ADD")
    assert node.handed("ADD", "macvlan", "net1")["mode"] == "private"


def test_addresses_and_a_mac_that_are_asked_for_reach_a_plugin_that_is_able(node: Node) -> None:
    able = {**LAN, "capabilities": {"ips": True, "mac": False}}
    node.definitions["shop/lan"] = {"spec": {"config": json.dumps(able)}}
    node.annotation = json.dumps([{"name": "lan", "ips": ["10.70.0.9/24"], "mac": "02:00:00:00:00:09"}])
    node.call("ADD")
    assert node.handed("ADD", "macvlan", "net1")["runtimeConfig"] == {"ips": ["10.70.0.9/24"]}


def test_a_definition_that_does_not_exist_is_an_error_that_names_it_before_anything_is_made(node: Node) -> None:
    node.annotation = "lan, gone"
    with pytest.raises(
        Failed, match="there is no NetworkAttachmentDefinition shop/gone, which pod shop/web asks for"
    ):
        node.call("ADD")
    assert node.calls == []


def test_a_delegate_that_fails_undoes_the_earlier_ones_and_is_quoted(node: Node) -> None:
    node.annotation = "lan, other/wan"
    node.fails("ADD", "wan")
    with pytest.raises(Failed, match=r"other/wan: plugin macvlan: no room \(all taken\)") as caught:
        node.call("ADD")
    assert caught.value.code == 11
    assert node.calls[4:] == [
        "DEL macvlan wan net2",
        "DEL macvlan lan net1",
        "DEL portmap pods eth0",
        "DEL ptp pods eth0",
    ]
    assert list(node.places.state.iterdir()) == []
    assert node.patched == []


def test_what_could_not_be_undone_is_tried_again_by_del(node: Node) -> None:
    node.annotation = "lan, other/wan"
    node.fails("ADD", "wan")
    node.fails("DEL", "lan")
    with pytest.raises(Failed, match="other/wan"):
        node.call("ADD")
    node.fails("DEL", "lan", always=False)
    before = len(node.calls)
    node.call("DEL")
    assert "DEL macvlan lan net1" in node.calls[before:]
    assert list(node.places.state.iterdir()) == []


def test_a_status_that_cannot_be_told_undoes_all(node: Node) -> None:
    node.annotation = "lan"

    def patch(_path: str, _body: Object) -> None:
        raise TimeoutError("timed out")

    node.patch = patch  # type: ignore[method-assign, assignment]
    with pytest.raises(Failed, match="the status of pod shop/web cannot be told: timed out"):
        node.call("ADD")
    assert next(line for line in node.calls if line.startswith("DEL")) == "DEL macvlan lan net1"


def test_del_undoes_what_add_made_without_asking_anybody(node: Node) -> None:
    node.annotation = "lan"
    node.call("ADD")
    node.silent, node.definitions = True, {}
    (node.folder / "net.d" / "10-pods.conflist").unlink()
    before = len(node.calls)
    node.call("DEL")
    assert node.calls[before:] == ["DEL macvlan lan net1", "DEL portmap pods eth0", "DEL ptp pods eth0"]


def test_del_is_idempotent_and_knows_pods_of_before_us(node: Node) -> None:
    """Without a state there is the cluster's network at most; a plugin's own DEL is idempotent."""
    for _ in range(2):
        node.call("DEL")
    assert node.calls == 2 * ["DEL portmap pods eth0", "DEL ptp pods eth0"]
    (node.folder / "net.d" / "10-pods.conflist").unlink()
    assert node.call("DEL") is None


def test_a_del_that_fails_tries_all_and_is_told(node: Node) -> None:
    node.annotation = "lan"
    node.call("ADD")
    node.fails("DEL", "lan")
    before = len(node.calls)
    with pytest.raises(Failed, match="shop/lan: plugin macvlan: no room"):
        node.call("DEL")
    assert node.calls[before:] == ["DEL macvlan lan net1", "DEL portmap pods eth0", "DEL ptp pods eth0"]


def test_check_asks_each_plugin_with_the_result_that_it_gave(node: Node) -> None:
    node.annotation = "lan"
    node.call("ADD")
    before = len(node.calls)
    node.call("CHECK")
    assert node.calls[before:] == ["CHECK ptp pods eth0", "CHECK portmap pods eth0", "CHECK macvlan lan net1"]
    assert node.handed("CHECK", "macvlan", "net1")["prevResult"]["ips"][0]["address"] == "10.70.0.3/24"
    node.fails("CHECK", "lan")
    with pytest.raises(Failed, match="shop/lan: plugin macvlan: no room"):
        node.call("CHECK")


def test_check_of_a_container_that_nobody_knows_fails(node: Node) -> None:
    with pytest.raises(Failed, match=f"nothing is known of {CONTAINER}"):
        node.call("CHECK")


def test_an_api_server_that_is_silent_is_to_be_asked_again(node: Node) -> None:
    node.silent = True
    with pytest.raises(Failed, match="does not tell /api/v1/namespaces/shop/pods/web: timed out") as caught:
        node.call("ADD")
    assert caught.value.code == meta_plugin.TRY_AGAIN
    assert node.calls == []


def test_a_cluster_without_a_network_is_to_be_asked_again(node: Node) -> None:
    (node.folder / "net.d" / "10-pods.conflist").unlink()
    with pytest.raises(Failed, match="the cluster has no network") as caught:
        node.call("ADD")
    assert caught.value.code == meta_plugin.TRY_AGAIN


def test_a_plugin_that_is_not_there_is_named_with_where_it_was_looked_for(node: Node) -> None:
    node.definitions["shop/lan"] = {"spec": {"config": json.dumps({**LAN, "type": "whereabouts"})}}
    node.annotation = "lan"
    with pytest.raises(Failed, match=r"shop/lan: plugin whereabouts: this node has no such program in .*/bin"):
        node.call("ADD")


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("LAN", r"'LAN' is not \[namespace/\]name\[@interface\]"),
        ("lan,,wan", "'' is not"),
        ("[{", "no JSON"),
        ('[{"interface": "net1"}]', "every network needs a name"),
        ('[{"name": "lan", "default-route": ["10.70.0.1"]}]', "does not do default-route"),
    ],
)
def test_an_annotation_that_cannot_be_followed_is_refused_in_words(annotation: str, words: str) -> None:
    with pytest.raises(Failed, match=words):
        wishes(annotation, "shop")


def test_an_annotation_is_read_in_both_forms() -> None:
    short = wishes("lan, other/wan@eth7", "shop")
    long = wishes('[{"name": "lan"}, {"name": "wan", "namespace": "other", "interface": "eth7"}]', "shop")
    assert short == long
    assert [(str(wish), wish.interface) for wish in short] == [("shop/lan", "net1"), ("other/wan", "eth7")]
    assert wishes("  ", "shop") == []


def test_a_status_has_the_addresses_of_its_own_interface_and_no_others() -> None:
    result = {
        "interfaces": [{"name": "host"}, {"name": "net1", "mac": "02::1", "sandbox": "/x"}],
        "ips": [{"address": "10.0.0.1/24", "interface": 0}, {"address": "10.0.0.2/24", "interface": 1}],
    }
    told = status("shop/lan", "net1", result, default=False)
    assert (told["ips"], told["mac"]) == (["10.0.0.2"], "02::1")
    assert status("shop/lan", "net1", {}, default=True)["ips"] == []


# --- as a process is called


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root nobody may change his root, not even to the one that he has."""
    monkeypatch.setattr(os, "chroot", lambda _root: None)
    monkeypatch.setattr(os, "chdir", lambda _folder: None)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("text", "environment", "code", "answer"),
    [
        ("{", {"CNI_COMMAND": "ADD"}, 1, "JSONDecodeError"),
        (json.dumps(OURS), {"CNI_COMMAND": "WALK"}, 1, "CNI_COMMAND is 'WALK'"),
        (json.dumps(OURS), {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "../x"}, 1, "CNI_CONTAINERID is '../x'"),
        (
            json.dumps({**OURS, "kubeconfig": "/no/such"}),
            {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "x"},
            1,
            "/no/such is no kubeconfig of use",
        ),
        (json.dumps(OURS), {"CNI_COMMAND": "VERSION"}, 0, "supportedVersions"),
    ],
)
def test_every_answer_is_json_on_standard_output(
    text: str, environment: dict[str, str], code: int, answer: str
) -> None:
    out = StringIO()
    assert meta_plugin.main(StringIO(text), out, environment) == code
    told = json.loads(out.getvalue())
    assert answer in out.getvalue()
    assert told["cniVersion"] == "0.4.0"
    assert code == 0 or isinstance(told["code"], int)
