"""How nodes mount a CephFS that exists: the shell that does it, with a user's keyring that the nodes have. Pure.

The key never passes through the harness: it is read on the node, as mount.ceph(8) and ceph-fuse(8) do. No session
of another client is evicted, and no monitor is told anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.model.plan import Plan, StorePlan
from harness.model.topology import Topology
from harness.stores import _ceph, _existing
from harness.stores._ceph import CephOptions
from harness.stores._scripted import Scripts, mounting

#: Options that only a cluster of ours has: which objects are kept how, and by how many daemons.
DECIDED = ("osds", "objectstore", "mds", "device_mib")
#: Options that only a cluster that exists has.
FOREIGN = ("user", "keyring", "file_system", "path")


def misfits(topology: Topology, store: str, options: CephOptions) -> Iterator[tuple[str, str]]:
    yield from _existing.misfits(topology, store, DECIDED)
    for option in ("user", "file_system"):
        if not re.fullmatch(r"[\w.-]*", getattr(options, option)):
            yield f"options.{option}", "it is a name: letters, digits, dots and dashes"
    for option in ("keyring", "path"):
        if not re.fullmatch(r"(/[\w./-]*)?", getattr(options, option)):
            yield f"options.{option}", "it is an absolute path: /srv/tests"


def packages(options: CephOptions) -> tuple[str, ...]:
    return ("ceph-fuse", "ceph-common") if options.client == "fuse" else ("ceph-common",)


def whole(options: CephOptions) -> str:
    """The directory of the file system in which runs have theirs; without a slash at its end."""
    return options.path.rstrip("/")


def scripts(plan: Plan, store: StorePlan) -> Scripts:
    own = f"{whole(_options(store))}/{plan.engine_name(store.name)}"
    leaving = _existing.leaving_script(plan, store, _aside_script(plan, store, _existing.REMOVING))
    return Scripts(
        servers=":",
        mount=f"{_settle(store)}\n{mounting(store, _attach(store, own))}",
        down=leaving,
        fresh=f'timeout 30 {_attach(store, own, fresh=True)} "$point"',
        daemons={"client": _ceph.client_script(store)} if store.options["client"] == "fuse" else {},
    )


def making_script(plan: Plan, store: StorePlan) -> str:
    return f"{_settle(store)}\n{_aside_script(plan, store, _existing.MAKING)}"


def _options(store: StorePlan) -> CephOptions:
    return CephOptions.model_validate(store.options)


def _user(options: CephOptions) -> str:
    return options.user or "admin"


def keyring(options: CephOptions) -> str:
    """Where Ceph's own programs look for it (ceph-conf, `keyring`)."""
    return options.keyring or f"/etc/ceph/ceph.client.{_user(options)}.keyring"


def _settle(store: StorePlan) -> str:
    """Writes what the client reads, or says what the node lacks."""
    options, name = _options(store), store.name
    settings = {
        "mon host": store.address,
        "keyring": keyring(options),
        "log file": "/dev/null",
        "fuse disable pagecache": str(not options.page_cache).lower(),
    }
    config = "\n".join(f"{key} = {value}" for key, value in settings.items())
    return f"""set -eu
keyring={keyring(options)} entity=client.{_user(options)}
[ -r "$keyring" ] || {{ echo "$keyring, the keyring of $entity, is not on $(uname -n)" >&2; exit 1; }}
umask 077
printf '[global]\\n%s\\n' '{config}' >{_ceph.config_file(name)}
ceph-authtool -p -n "$entity" "$keyring" >{_secret(name)} ||
  {{ echo "$keyring on $(uname -n) has no key of $entity" >&2; exit 1; }}
umask 022"""


def _secret(store: str) -> str:
    return f"{_ceph.folder(store)}/secret"


def _attach(store: StorePlan, path: str, *, fresh: bool = False) -> str:
    """All words that mount `path` but for where."""
    options = _options(store)
    if options.client == "fuse":
        which = f" --client_fs {options.file_system}" if options.file_system else ""
        return f"ceph-fuse -c {_ceph.config_file(store.name)} --id {_user(options)} -r {path or '/'}{which}"
    words = [f"name={_user(options)}", f"secretfile={_secret(store.name)}"]
    words += [f"fs={options.file_system}"] if options.file_system else []
    words += ["noshare"] if fresh else []
    return f"mount -t ceph -o {','.join(words)} {store.address}:{path or '/'}"


def _aside_script(plan: Plan, store: StorePlan, act: str) -> str:
    attach = f'{_attach(store, whole(_options(store)))} "$aside"'
    return _existing.aside_script(plan, store, attach, act)
