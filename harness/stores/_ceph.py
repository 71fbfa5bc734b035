"""What a Ceph cluster of a store is: who runs where, ceph.conf, keyring, and the shell that starts it. Pure.

All daemons read one ceph.conf and one keyring, which the `servers` script writes on each node. Keys come from the
run's name: nodes meet on the wire of one run only, and a node that was killed must find the same ones.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from harness.model.places import STORE_DATA, STORES_DIR
from harness.model.plan import Plan, StorePlan
from harness.stores._scripted import SLOW, Options

FILE_SYSTEM = "cephfs"
DATA_POOL = "cephfs.data"
#: CRUSH places replicas on hosts; where there are fewer hosts than replicas, on OSDs.
_BY_HOST, _BY_OSD = 1, 0
#: Type of a cephx key: AES (CEPH_CRYPTO_AES in Ceph's src/include/ceph_fs.h).
_AES = 1
_KEY_BYTES = 16


class CephOptions(Options):
    osds: int = Field(0, ge=0, le=64, description="OSDs, dealt to the nodes in turn; 0: one a node")
    objectstore: Literal["memstore", "bluestore"] = Field(
        "memstore", description="memstore keeps data in memory: an OSD that is killed starts empty"
    )
    mds: int = Field(2, ge=1, le=8, description="MDS daemons: one serves, the others stand by")
    pool_size: int = Field(2, ge=1, le=8, description="Replicas of every object")
    client: Literal["fuse", "kernel"] = Field("fuse", description="ceph-fuse, or the kernel's client")
    page_cache: bool = Field(True, description="ceph-fuse uses the kernel's page cache (fuse_disable_pagecache)")
    device_mib: int = Field(2048, ge=1024, le=1 << 20, description="Size of an OSD's device")
    user: str = Field("", description="Of a CephFS that exists: its user, without `client.`; empty: admin")
    keyring: str = Field("", description="Its file on every node; empty: /etc/ceph/ceph.client.USER.keyring")
    file_system: str = Field("", description="Of a Ceph that exists: which file system; empty: its own default")
    path: str = Field("", description="Of a CephFS that exists: the directory in which runs have theirs; empty: /")


@dataclass(frozen=True)
class Layout:
    """Which node runs which daemons. Names are those of Ceph: `mon.n1`, `mgr.n1`, `osd.0`, `mds.n2`."""

    nodes: tuple[str, ...]
    osds: int
    mds: int

    @property
    def monitor(self) -> str:
        return self.nodes[0]

    def names(self, node: str) -> list[str]:
        """The daemons of one node, in the order in which they are started."""
        first = [f"mon.{node}", f"mgr.{node}"] if node == self.monitor else []
        return [*first, *(f"osd.{i}" for i in self.osds_of(node)), *self._servers_of(node)]

    def osds_of(self, node: str) -> list[int]:
        return [index for index in range(self.osds) if self.nodes[index % len(self.nodes)] == node]

    def _servers_of(self, node: str) -> Iterator[str]:
        """MDS begin at the last node: the one that serves should not be the monitor's."""
        for index in range(self.mds):
            if self.nodes[-1 - index % len(self.nodes)] == node:
                yield f"mds.{'abcdefgh'[index]}"

    @property
    def all(self) -> list[str]:
        return [name for node in self.nodes for name in self.names(node)]


def layout(store: StorePlan) -> Layout:
    options = CephOptions.model_validate(store.options)
    return Layout(store.nodes, options.osds or len(store.nodes), options.mds)


# --- places on a node


def folder(store: str) -> str:
    return f"{STORES_DIR}/{store}"


def config_file(store: str) -> str:
    return f"{folder(store)}/ceph.conf"


def keyring_file(store: str) -> str:
    return f"{folder(store)}/keyring"


def data(plan: Plan, store: str) -> str:
    """The daemons' data, on the node's volume: it outlives a kill of the node."""
    return f"{STORE_DATA}/{plan.engine_name(store)}"


def run_folder(store: str) -> str:
    """Sockets; gone with the node's power."""
    return f"/run/harness-ceph-{store}"


#: First line of scripts that wait: an emulated node may take `slow` times as long.
_SLOW = f"slow={SLOW}"


def ceph(store: str, *words: str) -> str:
    """Ceph's own command line, bounded; where it stands, _SLOW stands before it."""
    limits = "timeout $((20 * slow)) ceph --connect-timeout $((10 * slow)) -c"
    return " ".join([limits, config_file(store), *words])


# --- files


def cluster_id(run: str, store: str) -> str:
    return _uuid(run, store, "cluster")


def osd_id(run: str, store: str, index: int) -> str:
    return _uuid(run, store, f"osd.{index}")


def _uuid(*words: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, "/".join(words)))


def render_config(plan: Plan, store: StorePlan) -> str:
    """ceph.conf as the shell completes it: `$address` is the node's own, `$slow` stretches what daemons wait for
    each other.
    """
    options = CephOptions.model_validate(store.options)
    where = layout(store)
    place = data(plan, store.name)
    spread = _BY_HOST if min(len(store.nodes), where.osds) >= options.pool_size else _BY_OSD
    settings = {
        "fsid": cluster_id(plan.run, store.name),
        "mon host": where.monitor,
        "public addr": "$address",
        "ms bind ipv6": "false",
        "keyring": keyring_file(store.name),
        "run dir": run_folder(store.name),
        "admin socket": f"{run_folder(store.name)}/\\$name.\\$pid.asok",
        "log file": f"{place}/log/\\$name.log",
        "auth allow insecure global id reclaim": "false",
        # a laptop's disk is often nearly full, and the cluster small: neither is the experiment
        "mon data avail warn": "5",
        "mon data avail crit": "1",
        "mon allow pool size one": "true",
        "osd pool default size": str(options.pool_size),
        "osd pool default min size": "1",
        "osd pool default pg num": "8",
        "osd pool default pg autoscale mode": "off",
        "osd crush chooseleaf type": str(spread),
        "osd objectstore": options.objectstore,
        "memstore device bytes": str(options.device_mib << 20),
        "bluestore block size": str(options.device_mib << 20),
        "bluestore cache autotune": "false",
        "bluestore cache size": str(64 << 20),
        # a failover within seconds needs both: with the tick's default of 5 s a beacon grace of 4 s is never kept
        "mon tick interval": "1",
        "mds beacon interval": "1",
        "mds beacon grace": "$((4 * slow))",
        "osd heartbeat interval": "1",
        "osd heartbeat grace": "$((5 * slow))",
        "mon osd min down reporters": "1",
        "fuse disable pagecache": str(not options.page_cache).lower(),
    }
    lines = ["[global]", *(f"{key} = {value}" for key, value in settings.items())]
    lines += ["[mon]", f"mon data = {place}/\\$name", "[mgr]", f"mgr data = {place}/\\$name"]
    lines += ["[osd]", f"osd data = {place}/\\$name", "[mds]", f"mds data = {place}/\\$name"]
    return "\n".join(lines) + "\n"


def render_keyring(plan: Plan, store: StorePlan) -> str:
    """Every key with its rights: the monitor takes them over when it is made (ceph-mon(8), --mkfs --keyring)."""
    everything = {"mon": "allow *", "osd": "allow *", "mds": "allow *", "mgr": "allow *"}
    rights = {"mon.": {"mon": "allow *"}, "client.admin": everything}
    for name in layout(store).all:
        match name.partition(".")[0]:
            case "mgr":
                rights[name] = {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"}
            case "osd":
                rights[name] = {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"}
            case "mds":
                profile = "allow profile mds"
                rights[name] = {"mon": profile, "mgr": profile, "osd": "allow *", "mds": "allow *"}
    return "\n".join(_entry(plan.run, store.name, name, caps) for name, caps in rights.items())


def _entry(run: str, store: str, name: str, caps: dict[str, str]) -> str:
    lines = [f"[{name}]", f"\tkey = {key(run, store, name)}"]
    return "\n".join([*lines, *(f'\tcaps {service} = "{may}"' for service, may in caps.items()), ""])


def key(run: str, store: str, name: str) -> str:
    """A cephx key in base64: type, time of making (s, ns), length, secret; little endian."""
    secret = hashlib.sha256(f"{run}/{store}/{name}".encode()).digest()[:_KEY_BYTES]
    return base64.b64encode(struct.pack("<HIIH", _AES, 1, 0, _KEY_BYTES) + secret).decode()


# --- what starts each part; every daemon goes to the background once it has begun


def make_daemon(plan: Plan, store: StorePlan, name: str) -> str:
    """Makes the daemon's data where there is none. An OSD must be known to the monitors first.

    What memstore held is gone with its process (it is written out at a clean end only), so such an OSD
    starts empty, as one whose disk was replaced, and is filled from its replicas.
    """
    kind, _, number = name.partition(".")
    place = f"{data(plan, store.name)}/{name}"
    config = config_file(store.name)
    match kind:
        case "mon":
            return f"""[ -e {place}/kv_backend ] || {{
  rm -rf {place}; mkdir -p {place}
  monmaptool --create --clobber --fsid {cluster_id(plan.run, store.name)} \\
    --addv {number} "[v2:$address:3300,v1:$address:6789]" {place}.map >/dev/null
  ceph-mon -c {config} --mkfs -i {number} --monmap {place}.map --keyring {keyring_file(store.name)}
}}"""
        case "osd":
            made = "false" if store.options["objectstore"] == "memstore" else f"[ -e {place}/ready ]"
            uid = osd_id(plan.run, store.name, int(number))
            return f"""{made} || {{
  rm -rf {place}; mkdir -p {place}
  told {name} ceph-osd -c {config} -i {number} --mkfs --osd-uuid {uid}
}}"""
        case _:
            return f"mkdir -p {place}"


def start_daemon(store: str, name: str) -> str:
    kind, _, number = name.partition(".")
    return f"ceph-{kind} -c {config_file(store)} -i {number}"


def pids_of_daemon(store: str, name: str) -> str:
    kind, _, number = name.partition(".")
    return f"pgrep -f '^(/usr/bin/)?ceph-{kind} -c {config_file(store)} -i {number}$' || :"


def daemon_script(plan: Plan, store: StorePlan, name: str) -> str:
    return f"""set -eu
address=$(getent ahostsv4 "$(hostname)" | awk 'NR == 1 {{print $1}}')
pids() {{ {pids_of_daemon(store.name, name)}; }}
told() {{
  name=$1; shift
  "$@" >/dev/null 2>&1 || {{ tail -n 20 {data(plan, store.name)}/log/"$name".log >&2; return 1; }}
}}
case "$1" in
pid) pids ;;
start)
  [ -z "$(pids)" ] || exit 0
  {_indented(make_daemon(plan, store, name))}
  told {name} {start_daemon(store.name, name)}
  ;;
esac
"""


def client_script(store: StorePlan) -> str:
    """The node's own ceph-fuse as a daemon that can be killed; the kernel's client has no process."""
    return f"""set -eu
pids() {{ pgrep -f '^(/usr/bin/)?ceph-fuse .*{config_file(store.name)} ' || :; }}
case "$1" in
pid) pids ;;
start) [ -n "$(pids)" ] || sh {folder(store.name)}/mount ;;
esac
"""


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def servers_script(plan: Plan, store: StorePlan) -> str:
    """Writes the files, then starts this node's daemons: the monitor first, it is what the others look for."""
    name = store.name
    where = layout(store)
    cases = "\n".join(f"{node}) mine='{' '.join(where.names(node))}' ;;" for node in where.nodes)
    return f"""set -eu
{_SLOW}
address=$(getent ahostsv4 "$(hostname)" | awk 'NR == 1 {{print $1}}')
mkdir -p {data(plan, name)}/log {run_folder(name)}
umask 077
cat >{config_file(name)} <<END_OF_CONFIG
{render_config(plan, store)}END_OF_CONFIG
cat >{keyring_file(name)} <<'END_OF_KEYRING'
{render_keyring(plan, store)}END_OF_KEYRING
mine=
case $(hostname) in
{cases}
esac
for daemon in $mine; do
  case " ${{1:-$mine}} " in
  *" ${{daemon%%.*}} "* | *" $daemon "*) sh {folder(name)}/daemons/"$daemon" start ;;
  esac
done
"""


def create_script(plan: Plan, store: StorePlan) -> str:
    """On the monitor's node: OSDs get their numbers in the order in which they are asked for."""
    osds = [osd_id(plan.run, store.name, index) for index in range(layout(store).osds)]
    made = "\n".join(f'[ "$({ceph(store.name, "osd", "new", uid)})" = {index} ]' for index, uid in enumerate(osds))
    waiting = f"while ! {ceph(store.name, 'mon', 'stat')} >/dev/null 2>&1; do sleep 0.1; done"
    return f"set -eu\n{_SLOW}\n{waiting}\n{made}\n"


def file_system_script(store: StorePlan) -> str:
    """Pools and file system; returns when an MDS serves it and all placement groups are active and clean."""
    name, pools = store.name, ("cephfs.meta", DATA_POOL)
    asked = [ceph(name, "osd", "pool", "create", pool, "8") for pool in pools]
    sized = [
        ceph(name, "osd", "pool", "set", pool, "size", str(store.options["pool_size"]), "--yes-i-really-mean-it")
        for pool in pools
        if store.options["pool_size"] == 1
    ]
    made = [*asked, *sized, ceph(name, "fs", "new", FILE_SYSTEM, *pools)]
    lines = [
        "set -eu",
        _SLOW,
        # a second attempt says why the first failed
        *(f"{line} >/dev/null 2>&1 || {line} >/dev/null" for line in made),
        f"until {ceph(name, 'mds', 'stat')} | grep -q 'up:active'; do sleep 0.2; done",
        # `16 pgs: 16 active+clean; ...`
        f"until {ceph(name, 'pg', 'stat')} | grep -Eq '^([0-9]+) pgs: \\1 active\\+clean;'; do sleep 0.2; done",
    ]
    return "\n".join(lines) + "\n"


def attach_words(store: StorePlan, point: str, *, fresh: bool = False) -> str:
    """What mounts it at `point`; a fresh mount of the kernel's shares no client with the other (`noshare`)."""
    if store.options["client"] == "kernel":
        secret = f"$(ceph-authtool -p -n client.admin {keyring_file(store.name)})"
        options = f"name=admin,secret={secret}{',noshare' if fresh else ''}"
        return f'mount -t ceph "{layout(store).monitor}:/" {point} -o "{options}"'
    return f"ceph-fuse -c {config_file(store.name)} --id admin -r / {point}"


def mount_script(store: StorePlan, directories: str) -> str:
    """A client that died leaves a mount that answers ENOTCONN, and a session whose capabilities block others until
    it times out (60 s): both are removed first. ceph-fuse gives up where no MDS serves yet, so it is tried again.
    """
    name, point = store.name, store.mount
    evict = ceph(
        name, "tell", f"mds.{FILE_SYSTEM}:0", "session", "evict", 'client_metadata.hostname="$(hostname)"'
    )
    attach = attach_words(store, point)
    return f"""set -eu
{_SLOW}
mkdir -p {point} 2>/dev/null || :
stat {point} >/dev/null 2>&1 || umount -l {point}
mount_it() {{ mountpoint -q {point} || timeout $((15 * slow)) {attach} </dev/null >/dev/null 2>&1; }}
if ! mountpoint -q {point}; then
  {evict} >/dev/null 2>&1 || :
  within=$((50 * slow)) end=$(($(date +%s) + 50 * slow))
  until mount_it && mountpoint -q {point}; do
    [ "$(date +%s)" -lt "$end" ] || {{ echo "CephFS is not mounted at {point} within $within s" >&2; exit 1; }}
    sleep 0.3
  done
fi
{directories}
"""


def disk_script(store: StorePlan) -> str:
    """A quota that is used up makes the pool full as full OSDs do (Ceph documentation, Pools; Handling a full Ceph
    file system). The room is all nodes': the monitor's node has it.
    """
    quota = ceph(store.name, "osd", "pool", "set-quota", DATA_POOL, "max_bytes")
    return f"""[ "$(hostname)" = {layout(store).monitor} ] || exit 0
{_SLOW}
full() {{ {ceph(store.name, "osd", "pool", "ls", "detail")} | grep "'{DATA_POOL}'" | grep -q full_quota; }}
taken() {{ {ceph(store.name, "osd", "pool", "get-quota", DATA_POOL)} | grep -q 'max bytes *: *[1-9]'; }}
case "$1" in
fill) {quota} 1 2>/dev/null ;;
free) ! taken || {{ {quota} 0 2>/dev/null; while full; do sleep 0.2; done; echo given back; }} ;;
state) if full; then echo full; else echo free; fi ;;
esac
"""


def eviction_script(store: StorePlan) -> str:
    """An evicted client is on the OSDs' blocklist; ceph-fuse works again once it is not. The kernel's client needs
    to be mounted anew, so it has no such script. Addresses are noted first: a client that died is on the list too.
    """
    name, noted = store.name, f"{run_folder(store.name)}/evicted"
    own = 'client_metadata.hostname="$(hostname)"'
    listed = ceph(name, "osd", "blocklist", "ls")
    return f"""set -eu
{_SLOW}
address=$(getent ahostsv4 "$(hostname)" | awk 'NR == 1 {{print $1}}')
mds() {{ {ceph(name, "tell", f"mds.{FILE_SYSTEM}:0")} "$@" 2>/dev/null; }}
case "$1" in
evict)
  mds session ls | grep -o "$address:0/[0-9]*" | sort -u >{noted}
  [ -s {noted} ] || {{ echo "the MDS knows no client of $(hostname)" >&2; exit 1; }}
  mds session evict {own} >/dev/null
  ;;
admit)
  [ -e {noted} ] || exit 0
  while read -r each; do {ceph(name, "osd", "blocklist", "rm")} "$each" >/dev/null 2>&1; done <{noted}
  rm {noted}
  echo admitted
  ;;
state)
  if [ -e {noted} ] && [ "$({listed} 2>/dev/null | grep -cFf {noted})" -ge "$(wc -l <{noted})" ]
  then echo evicted; else echo admitted; fi
  ;;
esac
"""


def down_script(plan: Plan, store: StorePlan) -> str:
    name = config_file(store.name)
    return f"""for pid in $(pgrep -f '^(/usr/bin/)?ceph-[a-z]+ -c {name} '); do kill -9 "$pid"; done
while pgrep -f '^(/usr/bin/)?ceph-[a-z]+ -c {name} ' >/dev/null; do sleep 0.05; done
rm -rf {data(plan, store.name)} {run_folder(store.name)}
"""


def packages(options: CephOptions) -> Sequence[str]:
    return ("ceph-mon", "ceph-mgr", "ceph-osd", "ceph-mds", *(["ceph-fuse"] if options.client == "fuse" else []))
