"""Markers on hosts that exist: an empty, labelled volume a host and run; and what is removed by them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.plan import LABEL, cluster_name
from harness.ports import Host
from harness.providers.labels import LABEL_KEY, LABEL_ROLE, LABEL_TOPOLOGY
from harness.transport.parallel import at_once

CALL_TIMEOUT_S = 30.0
REMOVE_TIMEOUT_S = 180.0
#: The node's name; only markers have it.
LABEL_HOST = "harness.host"
#: What of the host's own state this run made: words of `swarm join gwbridge`.
LABEL_MADE = "harness.made"
LABEL_IMAGES = "harness.images"
GWBRIDGE = "docker_gwbridge"
#: In the environment of agents: the run.
VARIABLE = "HARNESS_RUN"

_LIST = """
ids=$(docker volume ls --quiet --filter "label=$1") || exit
[ -z "$ids" ] || docker volume inspect --format '{{json .}}' $ids
"""
_STATE = "docker info --format '{{.Swarm.LocalNodeState}}' && docker network ls --format '{{.Name}}'"
#: Services first, or Swarm would start their containers again.
_SERVICES = """
ids=$(docker service ls --quiet --filter "label=$1") || exit
for id in $ids; do
  name=$(docker service inspect --format '{{.Spec.Name}}' "$id") && docker service rm "$id" >/dev/null &&
    echo "service $name"
done
exit 0
"""
#: Agents whose connection was cut: sshd itself notices that much later.
_PROCESSES = """
for file in $(grep -lszxF -e "$1" /proc/[0-9]*/environ); do
  folder=${file%/environ}
  kill -s KILL "${folder#/proc/}" 2>/dev/null && echo "process ${folder#/proc/}"
done
exit 0
"""
_CONTAINERS = """
for id in $(docker ps --all --quiet --filter "label=$1"); do
  name=$(docker inspect --format '{{.Name}}' "$id") && docker rm --force --volumes "$id" >/dev/null &&
    echo "container ${name#/}" || failed=1
done
exit "${failed:-0}"
"""
#: $1 label, $2 the name of the cluster, which begins all our names. A network goes when its last task has gone.
_NETWORKS = """
nets() {
  for by in "label=$1" "name=^$2"; do docker network ls --format '{{.Name}}' --filter "$by"; done | sort -u
}
for try in 1 2 3 4 5 6 7 8 9 10; do
  left=
  for name in $(nets "$1" "$2"); do
    if docker network rm "$name" >/dev/null 2>&1; then echo "network $name"
    elif docker network inspect "$name" >/dev/null 2>&1; then left="$left $name"; fi
  done
  [ -n "$left" ] || exit 0
  sleep 1
done
echo "networks are still in use:$left" >&2
exit 1
"""
#: An engine that leaves a swarm while its ingress network stands may wait for it in vain, and keep the port of the
#: gossip: its next swarm has no overlay then (Docker 26: "timeout while waiting for ingress network removal").
_INGRESS = "echo y | docker network rm ingress >/dev/null 2>&1; exit 0"
_LEAVE = """
[ "$(docker info --format '{{.Swarm.LocalNodeState}}')" != inactive ] || exit 0
for try in 1 2 3 4 5 6 7 8 9 10; do
  docker network inspect ingress >/dev/null 2>&1 && [ "$1" != manager ] && [ "$2" = gone ] || break
  sleep 0.5
done
docker swarm leave --force >/dev/null && echo "its place in a swarm"
"""
#: $1 label, $2 value, $3 nodes that go: our labels on the nodes of a swarm that stays.
_NODES = """
for id in $(docker node ls --quiet); do
  [ "$(docker node inspect --format "{{index .Spec.Labels \\"$1\\"}}" "$id")" = "$2" ] || continue
  docker node update --label-rm "$1" --label-rm harness.name --label-rm harness.role "$id" >/dev/null
  case " $3 " in *" $id "*) docker node rm --force "$id" >/dev/null && echo "node $id of the swarm" ;; esac
done
exit 0
"""
#: $1 label, $2 our marker, $3 images, $4 Swarm's bridge or nothing.
_REST = """
for name in $(docker volume ls --quiet --filter "label=$1"); do
  [ "$name" = "$2" ] || { docker volume rm "$name" >/dev/null && echo "volume $name"; } || failed=1
done
for image in $3; do
  if docker image inspect "$image" >/dev/null 2>&1; then
    docker image rm "$image" >/dev/null && echo "image $image" || failed=1
  fi
done
if [ -n "$4" ] && docker network inspect "$4" >/dev/null 2>&1; then
  docker network rm "$4" >/dev/null && echo "network $4" || failed=1
fi
exit "${failed:-0}"
"""


@dataclass(frozen=True)
class Intent:
    """What a run will do to a host. `adopts`: its swarm is somebody else's. `images` are those that it lacks."""

    run: str
    node: str
    role: str
    topology: str
    key: str
    images: tuple[str, ...]
    adopts: bool


@dataclass(frozen=True)
class Marker:
    """What a marker's labels tell. `made` holds `swarm` where the host's place in its swarm is our doing, `join`
    where that swarm is somebody else's.
    """

    run: str
    node: str
    role: str
    topology: str
    key: str
    since: str
    made: frozenset[str]
    images: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{LABEL}={self.run}"

    @property
    def leaves(self) -> bool:
        return "swarm" in self.made

    @property
    def adopted(self) -> bool:
        """Whether the swarm is somebody else's, and stays."""
        return "join" in self.made


Marked = tuple[Host, Marker]
Step = Callable[[Host, Marker], list[str]]
Chosen = Callable[[Marker], bool]


def mark(host: Host, intent: Intent) -> None:
    """Raises CommandFailed, ChannelLost, DeadlineExceeded."""
    state, *networks = _must(host, ["sh", "-c", _STATE]).splitlines()
    made = {"swarm"} if state == "inactive" else set()
    made |= {"gwbridge"} if GWBRIDGE not in networks else set()
    made |= {"join"} if intent.adopts else set()
    labels = {
        LABEL: intent.run,
        LABEL_HOST: intent.node,
        LABEL_ROLE: intent.role,
        LABEL_TOPOLOGY: intent.topology,
        LABEL_KEY: intent.key,
        LABEL_MADE: " ".join(sorted(made)),
        LABEL_IMAGES: " ".join(intent.images),
    }
    flags = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    _must(host, ["docker", "volume", "create", *flags, cluster_name(intent.run)])


def markers_on(host: Host) -> list[Marker]:
    """Raises CommandFailed, ChannelLost, DeadlineExceeded, Unreachable."""
    lines = _must(host, ["sh", "-c", _LIST, "sh", LABEL_HOST]).splitlines()
    return [_marker(json.loads(line)) for line in lines if line.strip()]


def _marker(told: dict[str, object]) -> Marker:
    labels = told["Labels"]
    assert isinstance(labels, dict)
    return Marker(
        run=labels[LABEL],
        node=labels[LABEL_HOST],
        role=labels[LABEL_ROLE],
        topology=labels[LABEL_TOPOLOGY],
        key=labels[LABEL_KEY],
        since=_utc(str(told["CreatedAt"])),
        made=frozenset(labels[LABEL_MADE].split()),
        images=tuple(labels[LABEL_IMAGES].split()),
    )


def _utc(told: str) -> str:
    """Engines tell the time of a volume in their own zone; one that tells it otherwise is quoted."""
    try:
        return datetime.fromisoformat(told).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return told


def lacks_image(host: Host, image: str) -> bool:
    return not host.run(["docker", "image", "inspect", image], timeout_s=CALL_TIMEOUT_S).ok


def remove(found: Sequence[Marked], errors: list[EnvironmentBroken]) -> list[str]:
    """Take back what the markers' runs made on their hosts, and the markers last. Returns what was removed.

    What cannot be done goes to `errors`; that host keeps its marker, so that it can be tried again.
    """
    removed: list[str] = []
    failed: set[str] = set()
    leaving = [_node_id(host) for host, marker in found if marker.leaves]
    steps: list[tuple[Step, Chosen]] = [
        (_processes, _is_any),
        (_services, _is_manager),
        (_containers, _is_any),
        (_networks, _is_any),
        (_leave, lambda marker: marker.leaves and not _is_manager(marker)),
        (partial(_nodes, leaving), lambda marker: _is_manager(marker) and not marker.leaves),
        (_leave, lambda marker: marker.leaves and _is_manager(marker)),
        (_rest, _is_any),
        (_unmark, _is_any),
    ]
    for step, chosen in steps:
        rest = [(host, marker) for host, marker in found if host.name not in failed and chosen(marker)]
        failed |= _each(rest, step, removed, errors)
    return removed


def _is_any(_marker: Marker) -> bool:
    return True


def _is_manager(marker: Marker) -> bool:
    return marker.role == "manager"


def _node_id(host: Host) -> str:
    return host.run(["docker", "info", "--format", "{{.Swarm.NodeID}}"], timeout_s=CALL_TIMEOUT_S).stdout.strip()


def _services(host: Host, marker: Marker) -> list[str]:
    """Nothing where it is in no swarm yet: a killed run may have got no further."""
    state = _must(host, ["docker", "info", "--format", "{{.Swarm.ControlAvailable}}"]).strip()
    return _lines(host, _SERVICES, marker.label) if state == "true" else []


def _processes(host: Host, marker: Marker) -> list[str]:
    return _lines(host, _PROCESSES, f"{VARIABLE}={marker.run}")


def _containers(host: Host, marker: Marker) -> list[str]:
    return _lines(host, _CONTAINERS, marker.label)


def _networks(host: Host, marker: Marker) -> list[str]:
    """Those of a swarm go on its manager; a swarm of ours loses its ingress network as well."""
    lines = _lines(host, _NETWORKS, marker.label, cluster_name(marker.run))
    if marker.leaves and _is_manager(marker):
        _lines(host, _INGRESS)
    return lines


def _leave(host: Host, marker: Marker) -> list[str]:
    return _lines(host, _LEAVE, marker.role, "stays" if marker.adopted else "gone")


def _nodes(leaving: Sequence[str], host: Host, marker: Marker) -> list[str]:
    return _lines(host, _NODES, LABEL, marker.run, " ".join(leaving))


def _rest(host: Host, marker: Marker) -> list[str]:
    bridge = GWBRIDGE if marker.leaves and "gwbridge" in marker.made else ""
    return _lines(host, _REST, marker.label, cluster_name(marker.run), " ".join(marker.images), bridge)


def _unmark(host: Host, marker: Marker) -> list[str]:
    _must(host, ["docker", "volume", "rm", cluster_name(marker.run)])
    return ["our marker"]


def _each(
    found: Sequence[Marked],
    step: Step,
    removed: list[str],
    errors: list[EnvironmentBroken],
) -> set[str]:
    """Do `step` everywhere at once. Returns the names of the hosts where it failed."""
    failed: set[str] = set()

    def attempt(host: Host, marker: Marker) -> None:
        try:
            removed.extend(f"{line} on {marker.node}" for line in step(host, marker))
        except EnvironmentBroken as error:
            errors.append(error)
            failed.add(host.name)

    at_once([partial(attempt, host, marker) for host, marker in found])
    return failed


def _lines(host: Host, script: str, *arguments: str) -> list[str]:
    return _must(host, ["sh", "-c", script, "sh", *arguments], REMOVE_TIMEOUT_S).splitlines()


def _must(host: Host, argv: Sequence[str], timeout_s: float = CALL_TIMEOUT_S) -> str:
    result = host.run(argv, timeout_s=timeout_s)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=host.name)
    return result.stdout
