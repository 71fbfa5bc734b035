"""From a cluster that its provider made to one that the harness can work on."""

from __future__ import annotations

import json

from harness.model.errors import DeadlineExceeded, EnvironmentBroken
from harness.model.plan import Plan
from harness.orchestrators.hosts import each, must, script, ticks
from harness.orchestrators.kubernetes import names
from harness.orchestrators.kubernetes.waiting import is_ready
from harness.ports import Cluster, Host, Progress

ASK_TIMEOUT_S = 15.0
READY_TIMEOUT_S = 120.0

#: The agent needs Python. A node without it gets the workload image's: mounted once, entered by chroot(1), so that
#: the agent is in the node's own network and sees the node's processes.
PYTHON = r"""#!/bin/sh
# Written by the harness: this node has no Python, so the workload image's is used.
root=/run/harness/python
mounted() { [ -e "$root/proc/self" ]; }
if ! mounted; then
  mkdir -p "$root"
  exec 9>"$root.lock"
  flock 9
  if ! mounted; then
    export CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1  # they would be an agent's last words
    image=$(ctr -n k8s.io images ls -q | grep -m1 /workload:) || { echo "no workload image here" >&2; exit 127; }
    ctr -n k8s.io images mount --rw "$image" "$root" >/dev/null || exit 126
    for place in sys dev proc; do
      mount --rbind "/$place" "$root/$place" && mount --make-rslave "$root/$place" || exit 126
    done
  fi
  exec 9>&-
fi
exec chroot "$root" /usr/bin/python3 "$@"
"""
_INSTALL = 'command -v python3 >/dev/null || { cat >"$1" && chmod 755 "$1"; }'
_PLACE = "/usr/local/bin/python3"


def join(cluster: Cluster, plan: Plan, progress: Progress) -> None:
    """Raises EnvironmentBroken where nodes are missing, DeadlineExceeded where one does not become Ready.

    Of a cluster that is not ours its provider knows the nodes by pods that run there, and they stay as they are.
    """
    if cluster.api is not None:
        return
    each(cluster.hosts.values(), _give_python)
    wanted = {node.name for node in plan.nodes}
    late = wanted
    for _ in ticks(READY_TIMEOUT_S, names.POLL_S):
        ready = _nodes(names.manager(cluster, plan), plan)
        if missing := sorted(wanted - ready.keys()):
            there = names.joined(ready) or "none"
            raise EnvironmentBroken(f"the cluster has no node {', '.join(missing)}; there is {there}")
        late = {name for name in wanted if not ready[name]}
        if not late:
            progress(f"all {len(wanted)} nodes are Ready")
            return
    raise DeadlineExceeded(f"not Ready within {READY_TIMEOUT_S:g} s: {names.joined(late)}")


def _give_python(host: Host) -> None:
    must(host, script(_INSTALL, _PLACE), timeout_s=ASK_TIMEOUT_S, stdin=PYTHON.encode())


def _nodes(host: Host, plan: Plan) -> dict[str, bool]:
    """Whether each node is Ready."""
    rows = json.loads(must(host, (*names.client(plan), "get", "nodes", "-o", "json"), timeout_s=ASK_TIMEOUT_S))[
        "items"
    ]
    return {row["metadata"]["name"]: is_ready(row) for row in rows}
