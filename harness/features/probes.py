"""Probes by doing. Each is a short shell script that runs in network and mount namespaces of its own, leaves
nothing behind, and exits 0 when the host can do it. Asking modules or /proc/config would be a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.model.errors import EnvironmentBroken
from harness.model.plan import Demand
from harness.model.verdict import Skip
from harness.ports import Cluster, Host

PROBE_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Feature:
    """`script` runs under `unshare --net --mount`; `mend` says what to install or load where it fails."""

    name: str
    script: str
    mend: str


_ALL = [
    Feature(
        "vxlan",
        "ip link add probe0 type vxlan id 42 dstport 4789 dev lo",
        "a kernel with CONFIG_VXLAN (modprobe vxlan)",
    ),
    Feature(
        "bridge",
        "ip link add probe0 type bridge",
        "a kernel with CONFIG_BRIDGE (modprobe bridge)",
    ),
    Feature(
        "macvlan",
        "ip link add probe0 type veth peer name probe9 && ip link add probe1 link probe0 type macvlan mode bridge",
        "a kernel with CONFIG_MACVLAN (modprobe macvlan)",
    ),
    Feature(
        "ipvlan",
        "ip link add probe0 type veth peer name probe9 && ip link add probe1 link probe0 type ipvlan mode l2",
        "a kernel with CONFIG_IPVLAN (modprobe ipvlan), or provider vagrant",
    ),
    Feature(
        "vlan",
        "ip link add probe0 type veth peer name probe9 && ip link add probe1 link probe0 type vlan id 20",
        "a kernel with CONFIG_VLAN_8021Q (modprobe 8021q), or provider vagrant",
    ),
    Feature(
        "overlayfs",
        "mount -t tmpfs t /mnt && mkdir /mnt/l /mnt/u /mnt/w /mnt/m && "
        "mount -t overlay o -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w /mnt/m",
        "a kernel with CONFIG_OVERLAY_FS (modprobe overlay)",
    ),
    Feature(
        "ipvs",
        # the file belongs to the network namespace and is there only when the kernel has IPVS
        "modprobe -q ip_vs 2>/dev/null; ls /proc/self/net/ip_vs",
        "a kernel with CONFIG_IP_VS (modprobe ip_vs), or provider vagrant",
    ),
    Feature(
        "esp",
        "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode transport "
        "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128",
        "a kernel with CONFIG_INET_ESP and AES-GCM (modprobe esp4), or provider vagrant",
    ),
    Feature(
        "nft-bridge",
        "nft 'table bridge probe { chain c { type filter hook forward priority 0; counter drop; }; }'",
        "nftables, and a kernel with CONFIG_NF_TABLES_BRIDGE",
    ),
]
FEATURES: Mapping[str, Feature] = {feature.name: feature for feature in _ALL}


def probe(host: Host, names: Iterable[str]) -> dict[str, str]:
    """What `host` lacks of `names`, each with the words of the attempt. One call for all of them.

    Raises EnvironmentBroken where the probes themselves cannot run.
    """
    wanted = [FEATURES[name] for name in dict.fromkeys(names)]
    if not wanted:
        return {}
    lines = [f"out=$(unshare --net --mount sh -c {_quoted(f.script)} 2>&1) && echo {f.name} ok || "
             f"echo {f.name} no \"$(echo $out | tail -c 200)\"" for f in wanted]  # fmt: skip
    result = host.run(["sh", "-c", "\n".join(lines)], timeout_s=PROBE_TIMEOUT_S)
    answers = {name: rest for name, _, rest in (line.partition(" ") for line in result.stdout.splitlines())}
    silent = [feature.name for feature in wanted if feature.name not in answers]
    if silent:
        raise EnvironmentBroken(f"{host.name}: the probe of {', '.join(silent)} gave no answer: {result.output}")
    return {name: rest.removeprefix("no").strip() or "refused" for name, rest in answers.items() if rest != "ok"}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def missing(cluster: Cluster, demands: Iterable[Demand]) -> list[tuple[Demand, str]]:
    """Demands that some node cannot meet, each with what it lacks: `ipvs (n1: ...)`."""
    asked = list(demands)
    by_node = {name: [d.feature for d in asked if not d.nodes or name in d.nodes] for name in cluster.hosts}
    with ThreadPoolExecutor(max_workers=8) as pool:
        lacks = dict(zip(by_node, pool.map(lambda n: probe(cluster.hosts[n], by_node[n]), by_node), strict=True))
    found = []
    for demand in asked:
        nodes = [
            name
            for name in by_node
            if demand.feature in lacks[name] and (not demand.nodes or name in demand.nodes)
        ]
        if nodes:
            found.append((demand, f"{demand.feature} ({nodes[0]}: {lacks[nodes[0]][demand.feature]})"))
    return found


def skips(unmet: Iterable[tuple[Demand, str]], check: str) -> list[Skip]:
    """The parts of `check` that cannot run, by the missing feature's name."""
    return [Skip(check, demand.part, what) for demand, what in unmet if demand.wanted_by == f"check {check}"]
