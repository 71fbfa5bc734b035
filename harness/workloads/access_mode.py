"""access-mode: whether other nodes may mount a volume that one node has, tried by a pod on each."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from pydantic import Field

from harness.model.errors import UsageError
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.ports import Command, Commands, Container, Look, Scene
from harness.workloads._experiment import Experiment, Params, Stages

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
COMMAND_TIMEOUT_S = 60.0
#: Where the pods have the volume.
POINT = "/volume"
#: Prints `running`, `ended`, or `waiting` and the last thing that was said about the pod.
_TRY = f"""
k="{KUBECTL} --namespace $1"
printf '%s' "$3" | $k apply -f - >/dev/null || exit 2
end=$(($(date +%s) + $4))
while [ "$(date +%s)" -lt "$end" ]; do
  case $($k get pod "$2" -o 'jsonpath={{.status.phase}}') in
  Running) echo running; exit 0 ;;
  Failed | Succeeded) echo "ended $($k logs "$2" | tail -n 1)"; exit 0 ;;
  esac
  sleep 1
done
said='jsonpath={{range .items[*]}}{{.reason}}: {{.message}}{{"\\n"}}{{end}}'
echo "waiting $($k get events --field-selector "involvedObject.name=$2" -o "$said" | tail -n 1)"
"""
_END = f'{KUBECTL} --namespace "$1" delete pod "$2" --ignore-not-found --wait=true'


class AccessModeParams(Params):
    volume: str | None = Field(None, description="The volume; default: the only one that has an access mode")
    timeout_s: int = Field(40, ge=5, le=600, description="How long a pod may take until it is said not to start")


def run(params: AccessModeParams, check: Check, plan: Plan, rng: random.Random) -> Stages:  # noqa: ARG001
    volume = chosen(params.volume, check, plan)
    scene = yield Look("start")
    holder = next(holders(volume, plan, scene.containers), None)
    if holder is None:
        raise UsageError(f"check {check.id}: no container that runs mounts the volume {volume}")
    yield Commands(tuple(_tries(params, check, plan, scene, volume, holder)))


def chosen(name: str | None, check: Check, plan: Plan) -> str:
    """Raises UsageError where the volume has no access mode."""
    moded = [
        each for each, volume in plan.topology.volumes.items() if volume.access_mode or volume.driver == "claim"
    ]
    if name in moded:
        return name
    if name is not None or len(moded) != 1:
        there = ", ".join(moded) or "none"
        raise UsageError(f"check {check.id}: it takes one volume that has an access mode; there is {there}")
    return moded[0]


def holders(volume: str, plan: Plan, containers: tuple[Container, ...]) -> Iterator[Container]:
    """Containers that mount it, in the scene's order."""
    for container in containers:
        if any(mount.source == volume for mount in plan.topology.services[container.service].volumes):
            yield container


def _tries(
    params: AccessModeParams, check: Check, plan: Plan, scene: Scene, volume: str, holder: Container
) -> Iterator[Command]:
    """`key` of a row is the volume and the node that has it, `at` the node that tries."""
    for node in scene.nodes:
        if node == holder.node:
            continue
        name = f"harness-{check.id}-{node}"
        pod = json.dumps(_pod(name, node, volume, check, plan))
        argv = ("sh", "-c", _TRY, "sh", plan.cluster, name, pod, str(params.timeout_s))
        undo = ("sh", "-c", _END, "sh", plan.cluster, name)
        limit = params.timeout_s + COMMAND_TIMEOUT_S
        yield Command(plan.managers[0], f"{volume}|{holder.node}", argv, limit, undo=undo, at=node, f="access")


def _pod(name: str, node: str, volume: str, check: Check, plan: Plan) -> dict[str, object]:
    reads_only = plan.topology.volumes[volume].access_mode == "ReadOnlyMany"
    writes = f"echo x >{POINT}/.{name} && rm {POINT}/.{name}"
    container = {
        "name": "try",
        "image": next((image for image in plan.images if "/workload:" in image), plan.images[0]),
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", f"{f'ls {POINT}' if reads_only else writes} && exec sleep 3600"],
        "volumeMounts": [{"name": "volume", "mountPath": POINT, "readOnly": reads_only}],
    }
    spec = {
        "nodeName": node,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": volume, "readOnly": reads_only}}],
    }
    metadata = {"name": name, "labels": {"harness.check": check.id}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


WORKLOAD = Experiment("access-mode", AccessModeParams, run, on_nodes=True)
