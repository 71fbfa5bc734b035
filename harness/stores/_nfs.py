"""What an NFS server of a store is: its options, ganesha.conf, and the shell that starts and mounts it. Pure."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from harness.model.places import STORE_DATA, STORES_DIR
from harness.model.plan import Plan, StorePlan
from harness.stores import _existing
from harness.stores._scripted import SLOW, WAITS, Options, directories, hook, image
from harness.stores.local import mounted, size_bytes

#: Where the server has the file system that it exports.
EXPORTS = "/harness/exports"
#: A restarted server gives clients this long to reclaim their locks, and nobody a new one: its own default of 90 s
#: outlasts most checks (ganesha-core-config(8)). Not shorter than the lease.
GRACE_S, LEASE_S = 20, 10
_NUMBER, _ALONE = r"\d{1,9}", ""
#: Mount options by name, as nfs(5) and mount(8) have them, with what may stand behind `=`. Those that the store
#: itself decides (version, address) and those that a shared volume cannot have (bg, ro) are not among them.
MOUNT_OPTIONS = {
    **dict.fromkeys(("hard", "soft", "softerr", "cto", "nocto", "ac", "noac", "lock", "nolock", "sync"), _ALONE),
    **dict.fromkeys(("async", "sharecache", "nosharecache", "resvport", "noresvport", "rdirplus"), _ALONE),
    **dict.fromkeys(("nordirplus", "acl", "noacl", "tcp", "udp", "fg", "rw", "noexec", "nosuid", "nodev"), _ALONE),
    **dict.fromkeys(("atime", "noatime", "relatime", "nodiratime", "intr", "nointr"), _ALONE),
    **dict.fromkeys(("timeo", "retrans", "retry", "rsize", "wsize", "nconnect", "max_connect"), _NUMBER),
    **dict.fromkeys(("actimeo", "acregmin", "acregmax", "acdirmin", "acdirmax", "mountport", "port"), _NUMBER),
    "lookupcache": "all|none|pos|positive",
    "local_lock": "all|flock|posix|none",
    "proto": "tcp6?|udp6?|rdma",
    "mountproto": "tcp6?|udp6?",
    "mountvers": "[123]",
    "sec": "none|sys|krb5[ip]?",
}
_DECIDED = {"vers", "nfsvers", "v2", "v3", "v4", "v4.0", "v4.1", "v4.2", "minorversion"}


class NfsOptions(Options):
    version: Literal["3", "4.1", "4.2"] = Field("4.2", description="Of the protocol")
    mount_options: str = Field("", description="As nfs(5) has them: hard,noac,lookupcache=none")
    size: str = Field("512M", description="Of the exported file system; the file behind it is sparse")
    path: str = Field("", description="The export of a server that exists; empty: /STORE")

    @field_validator("version", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        """YAML reads 4.2 as a number."""
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("size", mode="before")
    @classmethod
    def _is_a_size(cls, value: Any) -> str:
        size_bytes(str(value))
        return str(value)

    @field_validator("mount_options")
    @classmethod
    def _are_known(cls, value: str) -> str:
        for word in filter(None, value.split(",")):
            _check_option(word)
        return value

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if value and not re.fullmatch(r"/[\w./-]*", value):
            raise ValueError("an export is an absolute path: /srv/share")
        return value


def _check_option(word: str) -> None:
    """Raises ValueError."""
    name, equals, given = word.partition("=")
    if name in _DECIDED:
        raise ValueError(f"{name}: `version` says which version is spoken")
    if name in ("addr", "clientaddr"):
        raise ValueError(f"{name}: the store's server is mounted: for one that exists, managed: false and address")
    if name not in MOUNT_OPTIONS:
        raise ValueError(f"{name!r} is no option of nfs(5) that a store can have, such as hard, noac, actimeo=3")
    pattern = MOUNT_OPTIONS[name]
    if bool(equals) != bool(pattern) or not re.fullmatch(pattern, given):
        wanted = {_ALONE: "stands alone", _NUMBER: f"takes a number: {name}=3"}
        raise ValueError(f"{word!r}: {name} {wanted.get(pattern, f'is one of {pattern}')}")


# --- places


def server(store: StorePlan) -> str:
    """Name or address of whoever serves."""
    return store.address or store.nodes[0]


def export(store: StorePlan) -> str:
    """What a server of ours exports, or one that exists."""
    return str(store.options["path"]).rstrip("/") if store.options["path"] else f"/{store.name}"


def exported_by(store: StorePlan) -> str:
    """Server and export; an IPv6 address is in brackets (nfs(5))."""
    host = f"[{server(store)}]" if ":" in server(store) else server(store)
    return f"{host}:{export(store)}"


def exported(store: StorePlan) -> str:
    return f"{EXPORTS}/{store.name}"


def recovery(plan: Plan, store: str) -> str:
    """What the server remembers of its clients, on the node's volume: it outlives a kill of the node."""
    return f"{STORE_DATA}/{plan.engine_name(store)}.recovery"


def config_file(store: str) -> str:
    return f"{STORES_DIR}/{store}/ganesha.conf"


def log_file(store: str) -> str:
    return f"{STORES_DIR}/{store}/ganesha.log"


# --- files


def render_config(plan: Plan, store: StorePlan) -> str:
    """ganesha.conf. Without CAP_SYS_RESOURCE, as in a container, the server must be let off PR_SET_IO_FLUSHER.
    Version 3 names its export by the pseudo path as well, so that both versions mount one name.
    No UDP: on emulated guests the server was seen to take one empty datagram of its lock manager's for ever, a
    thread in a loop and 365,000 lines of log in 8 minutes (svc_dg_rendezvous: Bad message).
    """
    third = store.options["version"] == "3"
    protocols = "3, 4" if third else "4"
    return f"""NFS_CORE_PARAM {{
  Protocols = {protocols};
  Enable_NLM = {str(third).lower()};
  Enable_RQUOTA = false;
  Enable_UDP = false;
  mount_path_pseudo = true;
  allow_set_io_flusher_fail = true;
}}
NFSv4 {{
  Grace_Period = {GRACE_S};
  Lease_Lifetime = {LEASE_S};
  RecoveryBackend = fs;
  RecoveryRoot = {recovery(plan, store.name)};
}}
EXPORT {{
  Export_Id = 1;
  Path = {exported(store)};
  Pseudo = /{store.name};
  Protocols = {protocols};
  Transports = TCP;
  Access_Type = RW;
  Squash = No_Root_Squash;
  SecType = sys;
  FSAL {{ Name = VFS; }}
}}
"""


_PID_FILE = "/run/ganesha/harness.pid"
#: Version 3 finds its lock manager by rpcbind, on clients as on servers.
_RPCBIND = "pgrep -x rpcbind >/dev/null || rpcbind"
#: The server grants a lock of version 3 only where it can have its client watched (rpc.statd(8)).
_STATD = "pgrep -x rpc.statd >/dev/null || rpc.statd --no-notify"


def daemon_script(store: StorePlan) -> str:
    """A daemon keeps no pipe of whoever starts it. The kernel's client has no process."""
    name = store.name
    return f"""
case "$1" in
pid) pgrep -x ganesha.nfsd || true ;;
start)
  pgrep -x ganesha.nfsd >/dev/null && exit 0
  ln -sf /proc/self/mounts /etc/mtab
  mkdir -p /run/ganesha
  ganesha.nfsd -f {config_file(name)} -L {log_file(name)} -p {_PID_FILE} </dev/null >/dev/null 2>&1 ||
    {{ tail -n 20 {log_file(name)} >&2; exit 1; }}
  ;;
esac
"""


def servers_script(plan: Plan, store: StorePlan) -> str:
    """Returns when the server answers a NULL call, here by its address: no rpcbind is asked (rpcinfo(8)).

    The server looks for what it exports in /etc/mtab; where that is missing, the export is dropped without a word.
    """
    helpers = f"{_RPCBIND}\n{_STATD}" if store.options["version"] == "3" else ":"
    program = f"100003 {store.options['version'][0]}"
    return f"""
set -eu
[ "$(uname -n)" = {store.nodes[0]} ] || exit 0
{mounted(image(plan, store.name), exported(store), "xfs")}
mkdir -p {recovery(plan, store.name)}
cat >{config_file(store.name)} <<'END OF CONFIG'
{render_config(plan, store)}END OF CONFIG
{helpers}
sh {hook(store.name, "daemons/ganesha")} start
{WAITS}
waits 30 timeout $((5 * slow)) rpcinfo -a 127.0.0.1.8.1 -T tcp {program}
"""


def mount_argv(store: StorePlan, what: str, point: str) -> list[str]:
    return ["mount", "-t", "nfs", "-o", options_text(store), what, point]


def options_text(store: StorePlan, version: str = "") -> str:
    given = store.options["mount_options"]
    return f"vers={version or store.options['version']}" + (f",{given}" if given else "")


def _version_words(store: StorePlan) -> str:
    """Shell that sets `vers`. A kernel that mounts by version 3 runs a lock manager of its own, which takes the
    place of the server's where both ask one rpcbind: whoever asks that node for locks then gets none. So the node
    that serves mounts by version 4.2, which needs none; the server knows one set of locks for both.
    """
    version = str(store.options["version"])
    asks_nobody = {"nolock", "local_lock=all"} & set(str(store.options["mount_options"]).split(","))
    if version != "3" or store.address or asks_nobody:
        return f"vers={version}"
    return f'vers=3; [ "$(uname -n)" != {store.nodes[0]} ] || vers=4.2'


def fresh_words(plan: Plan, store: StorePlan) -> str:
    """Mounts of one node share one cache unless they say otherwise (nfs(5), `nosharecache`)."""
    options = f"{options_text(store, '$vers')},nosharecache"
    source = store.mounted_from(plan.run)
    attach = f'timeout -k 2 $((30 * {SLOW})) mount -t nfs -o {options} {source} "$point"'
    return f"{_version_words(store)}\n{attach}"


def mount_script(plan: Plan, store: StorePlan) -> str:
    """Whether it is mounted is asked of the kernel, not of the mount: on a server that is gone `hard` waits."""
    rpcbind = _RPCBIND if store.options["version"] == "3" else ":"
    attach = f"mount -t nfs -o {options_text(store, '$vers')} {store.mounted_from(plan.run)} {store.mount}"
    return f"""
set -eu
{WAITS}
{_version_words(store)}
works() {{ grep -q ' {store.mount} nfs' /proc/self/mounts || timeout -k 2 $((20 * slow)) {attach}; }}
mkdir -p {store.mount} 2>/dev/null || true
{rpcbind}
waits 30 works
{directories(store)}
"""


def aside_script(plan: Plan, store: StorePlan, act: str) -> str:
    """Does `act` to the run's directory in the whole export of a server that exists."""
    whole = f"{store.source}/" if store.source.endswith(":") else store.source
    rpcbind = _RPCBIND if store.options["version"] == "3" else ":"
    attach = " ".join(mount_argv(store, whole, '"$aside"'))
    return f"{rpcbind}\n{_existing.aside_script(plan, store, attach, act).strip()}\n"


def down_script(plan: Plan, store: StorePlan) -> str:
    """Another node may serve another store, which is still mounted: its server is not this one's."""
    name = store.name
    return f"""
if [ "$(uname -n)" = {store.nodes[0]} ]; then
  pkill -KILL -x ganesha.nfsd || true
  while pgrep -x ganesha.nfsd >/dev/null; do sleep 0.05; done
fi
umount {exported(store)} 2>/dev/null || umount -l {exported(store)} 2>/dev/null || true
rm -rf {exported(store)} {recovery(plan, name)}
rm -f {image(plan, name)}
{_helpers_down(store)}"""


def _helpers_down(store: StorePlan) -> str:
    """What version 3 runs beside server and client."""
    if store.options["version"] != "3":
        return ""
    return "for name in rpc.statd rpcbind; do pkill -KILL -x $name || true; done\n"


def leave_script(plan: Plan, store: StorePlan) -> str:
    """Of a server that exists only the run's own directory is removed."""
    removing = aside_script(plan, store, _existing.REMOVING)
    return _existing.leaving_script(plan, store, removing) + _helpers_down(store)
