"""What a host may be able to do, and how that is found out by doing it.

Each script runs in network and mount namespaces of its own, leaves nothing behind, and exits 0 when the host can
do it. Asking for modules or /proc/config would be a guess; a kernel that lists its file systems is asked for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Literal

Group = Literal["networks", "faults", "volumes", "machines"]

_VETH = "ip link add probe0 type veth peer name probe9"


@dataclass(frozen=True)
class Feature:
    """`blocks`: what does not work without it. `mend`: what to install or load. `needs`: the script's programs."""

    name: str
    group: Group
    script: str
    blocks: tuple[str, ...]
    mend: str
    needs: tuple[str, ...] = ()


def _link(name: str, script: str, blocks: tuple[str, ...], mend: str) -> Feature:
    return Feature(name, "networks", script, blocks, mend, ("ip",))


def _filesystem(name: str, module: str, blocks: tuple[str, ...], mend: str) -> Feature:
    script = (
        f"modprobe -q {module} 2>/dev/null; grep -qw {name} /proc/filesystems || "
        f"{{ echo the kernel has no file system {name}; exit 1; }}"
    )
    return Feature(f"fs-{name}", "volumes", script, blocks, mend)


def _tc(name: str, arguments: str, blocks: tuple[str, ...]) -> Feature:
    script = f"{_VETH} && tc qdisc add dev probe0 root {arguments}"
    mend = f"a kernel with CONFIG_NET_SCH_{name.upper()} (modprobe sch_{name}), or provider vagrant"
    return Feature(name, "faults", script, blocks, mend, ("ip", "tc"))


_ALL = [
    _link(
        "vxlan",
        "ip link add probe0 type vxlan id 42 dstport 4789 dev lo",
        ("network driver overlay",),
        "a kernel with CONFIG_VXLAN (modprobe vxlan)",
    ),
    _link(
        "bridge",
        "ip link add probe0 type bridge",
        ("network driver bridge", "provider docker", "provider kind"),
        "a kernel with CONFIG_BRIDGE (modprobe bridge)",
    ),
    _link(
        "veth",
        _VETH,
        ("every network of containers", "provider docker", "provider kind"),
        "a kernel with CONFIG_VETH (modprobe veth)",
    ),
    _link(
        "macvlan",
        f"{_VETH} && ip link add probe1 link probe0 type macvlan mode bridge",
        ("network driver macvlan",),
        "a kernel with CONFIG_MACVLAN (modprobe macvlan)",
    ),
    _link(
        "ipvlan",
        f"{_VETH} && ip link add probe1 link probe0 type ipvlan mode l2",
        ("network driver ipvlan",),
        "a kernel with CONFIG_IPVLAN (modprobe ipvlan), or provider vagrant",
    ),
    _link(
        "8021q",
        f"{_VETH} && ip link add probe1 link probe0 type vlan id 20",
        ("VLAN parents of macvlan and ipvlan (parent: eth0.20)",),
        "a kernel with CONFIG_VLAN_8021Q (modprobe 8021q), or provider vagrant",
    ),
    _link(
        "ipv6",
        f"{_VETH} && ip link set probe0 up && ip link set probe9 up && "
        "ip -6 address add fd00::1/64 dev probe0 nodad && ip -6 route get fd00::2 | grep -qw probe0",
        ("IPv6 and dual-stack networks (enable_ipv6)",),
        "a kernel with IPv6 that is not disabled (sysctl net.ipv6.conf.all.disable_ipv6=0)",
    ),
    Feature(
        "ipvs",
        "networks",
        # the file belongs to the network namespace and is there only when the kernel has IPVS
        "modprobe -q ip_vs 2>/dev/null; ls /proc/self/net/ip_vs",
        ("service VIP (endpoint_mode: vip)", "ingress ports (routing mesh)"),
        "a kernel with CONFIG_IP_VS (modprobe ip_vs), or provider vagrant",
    ),
    Feature(
        "esp",
        "networks",
        "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode transport "
        "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128",
        ("encrypted overlays (driver_opts: encrypted)",),
        "a kernel with CONFIG_INET_ESP and AES-GCM (modprobe esp4), or provider vagrant",
        ("ip",),
    ),
    Feature(
        "nft-bridge",
        "faults",
        "nft 'table bridge probe { chain c { type filter hook forward priority 0; counter drop; }; }'",
        ("fault partition",),
        "nftables, and a kernel with CONFIG_NF_TABLES_BRIDGE",
        ("nft",),
    ),
    Feature(
        "nft-numgen",
        "faults",
        "nft 'table inet probe { chain c { type filter hook input priority 0; "
        "numgen random mod 100 < 20 drop; }; }'",
        ("fault loss, where there is no netem",),
        "nftables, and a kernel with CONFIG_NFT_NUMGEN (modprobe nft_numgen)",
        ("nft",),
    ),
    _tc("netem", "netem delay 10ms", ("faults latency, loss, duplication, reordering, corruption",)),
    _tc("tbf", "tbf rate 10mbit burst 32kbit latency 400ms", ("fault rate",)),
    _tc("htb", "htb default 1", ("fault rate, by class",)),
    Feature(
        "own-clock",
        "faults",
        # in the first PID namespace (PROC_PID_INIT_INO) there is no kernel beside this one; adjtime(3) by nothing
        "[ \"$(readlink /proc/self/ns/pid)\" = 'pid:[4026531836]' ] || "
        "{ echo a container has the clock of its machine; exit 1; }; "
        "python3 -I -S -c 'import ctypes, sys; c = ctypes.CDLL(None, use_errno=True); "
        "sys.exit(c.adjtime((ctypes.c_long * 2)(), None) and str(ctypes.get_errno()))'",
        ("fault clock-skew",),
        "a host with a kernel of its own (provider vagrant, or existing), and CAP_SYS_TIME",
        ("python3",),
    ),
    Feature(
        "overlayfs",
        "machines",
        "mount -t tmpfs t /mnt && mkdir /mnt/l /mnt/u /mnt/w /mnt/m && "
        "mount -t overlay o -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w /mnt/m",
        ("provider docker", "provider kind", "every Docker engine with storage driver overlay2"),
        "a kernel with CONFIG_OVERLAY_FS (modprobe overlay)",
    ),
    Feature(
        "fuse",
        "volumes",
        "modprobe -q fuse 2>/dev/null; exec 3<>/dev/fuse",
        ("volume drivers glusterfs and cephfs (their clients are FUSE)",),
        "a kernel with CONFIG_FUSE_FS (modprobe fuse) and /dev/fuse",
    ),
    Feature(
        "loop",
        "volumes",
        "mount -t tmpfs t /mnt && truncate -s 1M /mnt/f && device=$(losetup --find --show /mnt/f) && "
        'losetup --detach "$device"',
        ("stores on loop files: local XFS and EXT4, GlusterFS bricks",),
        "a kernel with CONFIG_BLK_DEV_LOOP (modprobe loop) and free /dev/loop devices",
        ("losetup", "truncate"),
    ),
    _filesystem("xfs", "xfs", ("store local with XFS", "GlusterFS bricks"), "a kernel with CONFIG_XFS_FS"),
    _filesystem("ext4", "ext4", ("store local with EXT4",), "a kernel with CONFIG_EXT4_FS, e2fsprogs"),
    _filesystem(
        "nfs4",
        "nfsv4",
        ("volume driver nfs",),
        "a kernel with CONFIG_NFS_V4, or provider vagrant",
    ),
    _filesystem(
        "nfs",
        "nfsv3",
        ("volume driver nfs, version 3",),
        "a kernel with CONFIG_NFS_V3, or provider vagrant",
    ),
    _filesystem(
        "ceph", "ceph", ("CephFS by the kernel's client",), "a kernel with CONFIG_CEPH_FS, or provider vagrant"
    ),
    Feature(
        "tun",
        "machines",
        "ip tuntap add dev probe0 mode tap",
        ("stand-in for fault latency where there is no netem",),
        "a kernel with CONFIG_TUN (modprobe tun) and /dev/net/tun",
        ("ip",),
    ),
    Feature(
        "kvm",
        "machines",
        "python3 -I -S -c '{}'".format((resources.files("harness.features") / "_guest.py").read_text()),
        ("provider vagrant at full speed, if larger guests run too (else VMs are emulated, ten times slower)",),
        "a machine with virtualisation, /dev/kvm, and the right to use it",
        ("python3",),
    ),
]
FEATURES: Mapping[str, Feature] = {feature.name: feature for feature in _ALL}

#: A demand `package:NAME` asks whether Debian's package is installed: no catalogue can list them all.
PACKAGE = "package:"


def package(name: str) -> Feature:
    """The feature behind a demand `package:NAME`."""
    debian = name.removeprefix(PACKAGE)
    script = (
        f"[ \"$(dpkg-query --show --showformat='${{db:Status-Status}}' {debian} 2>/dev/null)\" = installed ] || "
        f"{{ echo the package {debian} is not installed; exit 1; }}"
    )
    blocks = (f"stores and checks that need {debian}",)
    return Feature(name, "volumes", script, blocks, f"apt-get install {debian}", ("dpkg-query",))


#: A demand `cni:NAME` asks for a plugin where container runtimes look for them: nodes have them, not machines.
CNI = "cni:"


def cni(name: str) -> Feature:
    """The feature behind a demand `cni:NAME`."""
    path = f"/opt/cni/bin/{name.removeprefix(CNI)}"
    script = f"[ -x {path} ] || {{ echo there is no {path}; exit 1; }}"
    mend = f"the CNI project's reference plugins on every node ({path}; Debian: containernetworking-plugins)"
    return Feature(name, "networks", script, ("network driver macvlan on Kubernetes",), mend)
