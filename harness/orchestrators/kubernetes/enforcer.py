"""Enforces NetworkPolicy on one node, for a CNI that does not. Runs in a pod of its own (enforcement.py makes it).

Standard library only: the file is sent as it is. `table` is pure; the rest asks the API, and gives nft the answer.
Rules stand in the forward hook behind DNAT, so a packet has its pod's address whichever Service it was sent to.
What comes from the pod's own node is let in, as the API wants it; what the kernel tracks already goes on.
"""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]

TABLE = "harness-policy"
#: On the node: the addresses of all pods that the rules know, one a line.
KNOWN_FILE = "/run/harness-policy"
PERIOD_S = 0.5
API_TIMEOUT_S = 10.0
NFT_TIMEOUT_S = 10.0
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_CLONE_NEWNS = 0x00020000


# --- pure: from objects to rules -----------------------------------------------------------------------------


def table(node: str, pods: Iterable[Object], namespaces: Iterable[Object], policies: Iterable[Object]) -> str:
    """The whole nft table of `node`. Pods are those of the cluster that have an address of their own."""
    live = sorted(networked(pods), key=_ip)
    labels = {space["metadata"]["name"]: space["metadata"].get("labels") or {} for space in namespaces}
    by_space: dict[str, list[Object]] = {}
    for policy in policies:
        by_space.setdefault(policy["metadata"]["namespace"], []).append(policy)
    chains: dict[str, list[str]] = {}
    verdicts: dict[str, list[str]] = {"saddr": [], "daddr": []}
    for number, pod in enumerate(pod for pod in live if pod["spec"].get("nodeName") == node):
        own = by_space.get(pod["metadata"]["namespace"], [])
        for direction, field in (("Egress", "saddr"), ("Ingress", "daddr")):
            selecting = [policy for policy in own if _concerns(policy, direction, pod)]
            if selecting:
                name = f"{direction.lower()}-{number}"
                chains[name] = [
                    line for policy in selecting for line in _allowed(policy, direction, pod, live, labels)
                ]
                verdicts[field].append(f"{_ip(pod)} : jump {name}")
    return _text(chains, verdicts)


def _text(chains: Mapping[str, list[str]], verdicts: Mapping[str, list[str]]) -> str:
    lines = [f"table inet {TABLE} {{}}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    for name, allowed in chains.items():
        lines += [
            f"  chain {name} {{",
            *(f"    {line} return" for line in dict.fromkeys(allowed)),
            "    drop",
            "  }",
        ]
    lines += ["  chain forward {", "    type filter hook forward priority -150; policy accept;"]
    lines += ["    ct state established,related accept"]
    for field, entries in verdicts.items():
        lines += [f"    ip {field} vmap {{ {', '.join(entries)} }}"] if entries else []
    return "\n".join([*lines, "  }", "}", ""])


def networked(pods: Iterable[Object]) -> Iterator[Object]:
    """Those with an address of their own that have not ended."""
    for pod in pods:
        ended = pod["status"].get("phase") in ("Succeeded", "Failed")
        if pod["status"].get("podIP") and not pod["spec"].get("hostNetwork") and not ended:
            yield pod


def _ip(pod: Object) -> str:
    return str(pod["status"]["podIP"])


def _concerns(policy: Object, direction: str, pod: Object) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    return direction in types and selects(spec.get("podSelector") or {}, pod["metadata"].get("labels") or {})


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector holds; an empty one holds for all."""
    exact = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return exact and all(_holds(each, labels) for each in selector.get("matchExpressions") or ())


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def _allowed(
    policy: Object, direction: str, pod: Object, live: list[Object], labels: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """Matches of nft for what a policy allows `pod`."""
    side, field = ("from", "saddr") if direction == "Ingress" else ("to", "daddr")
    for rule in policy["spec"].get(direction.lower()) or ():
        if not rule.get(side):
            for port in _ports(rule, [pod] if direction == "Ingress" else live):
                yield port
        for peer in rule.get(side) or ():
            if "ipBlock" in peer:
                for port in _ports(rule, [pod] if direction == "Ingress" else live):
                    yield f"{_block(peer['ipBlock'], field)} {port}"
                continue
            peers = [each for each in live if _is_peer(peer, policy, each, labels)]
            for port in _ports(rule, [pod] if direction == "Ingress" else peers) if peers else ():
                yield f"ip {field} {{ {', '.join(_ip(each) for each in peers)} }} {port}"


def _is_peer(peer: Object, policy: Object, pod: Object, labels: Mapping[str, Mapping[str, str]]) -> bool:
    """Without a namespaceSelector a peer is of the policy's own namespace."""
    space = pod["metadata"]["namespace"]
    if "namespaceSelector" in peer:
        right_space = selects(peer["namespaceSelector"] or {}, labels.get(space, {}))
    else:
        right_space = space == policy["metadata"]["namespace"]
    return right_space and selects(peer.get("podSelector") or {}, pod["metadata"].get("labels") or {})


def _block(block: Object, field: str) -> str:
    """Exceptions lie inside: nft takes one network without another."""
    ipaddress.ip_network(block["cidr"])
    left_out = block.get("except") or ()
    excepted = f" ip {field} != {{ {', '.join(left_out)} }}" if left_out else ""
    return f"ip {field} {block['cidr']}{excepted}"


def _ports(rule: Object, receivers: list[Object]) -> Iterator[str]:
    """Matches of the destination; one that matches all where no ports are named."""
    if not rule.get("ports"):
        yield ""
    for port in rule.get("ports") or ():
        protocol = str(port.get("protocol", "TCP")).lower()
        number = port.get("port")
        if number is None:
            yield f"meta l4proto {protocol}"
        elif isinstance(number, int):
            last = f"-{port['endPort']}" if port.get("endPort") else ""
            yield f"{protocol} dport {number}{last}"
        else:
            for pod, each in _named(receivers, number, protocol):
                yield f"ip daddr {_ip(pod)} {protocol} dport {each}"


def _named(pods: list[Object], name: str, protocol: str) -> Iterator[tuple[Object, int]]:
    for pod in pods:
        for container in pod["spec"].get("containers", ()):
            for port in container.get("ports", ()):
                if (port.get("name"), str(port.get("protocol", "TCP")).lower()) == (name, protocol):
                    yield pod, port["containerPort"]


# --- the pod's work ------------------------------------------------------------------------------------------


def _api() -> Callable[[str], list[Object]]:
    context = ssl.create_default_context(cafile=f"{_ACCOUNT}/ca.crt")
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"

    def items(path: str) -> list[Object]:
        with open(f"{_ACCOUNT}/token", encoding="ascii") as file:
            headers = {"Authorization": f"Bearer {file.read()}"}
        asked = urllib.request.Request(f"{server}{path}", headers=headers)  # noqa: S310 (https, see `server`)
        with urllib.request.urlopen(asked, timeout=API_TIMEOUT_S, context=context) as answer:  # noqa: S310
            found: list[Object] = json.load(answer)["items"]
            return found

    return items


def _into_node() -> None:
    """In the child: the node's own files and programs."""
    fd = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    os.setns(fd, _CLONE_NEWNS)  # type: ignore[attr-defined, unused-ignore]
    os.close(fd)


def _on_node(argv: list[str], text: str) -> None:
    """Raises OSError, subprocess.SubprocessError."""
    subprocess.run(
        argv, input=text.encode(), check=True, timeout=NFT_TIMEOUT_S, preexec_fn=_into_node, capture_output=True
    )


def main() -> None:
    node, items, last = os.environ["NODE_NAME"], _api(), ("", "")
    while True:
        try:
            pods = items("/api/v1/pods")  # before the policies: whoever is known is known with his policies
            rules = table(
                node, pods, items("/api/v1/namespaces"), items("/apis/networking.k8s.io/v1/networkpolicies")
            )
            known = "".join(sorted(f"{_ip(pod)}\n" for pod in networked(pods)))
            if rules != last[0]:
                _on_node(["nft", "-f", "-"], rules)
            if (rules, known) != last:
                _on_node(["tee", KNOWN_FILE], known)
            last = (rules, known)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            print(f"{error} {said.decode(errors='replace')}", flush=True)
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main()
