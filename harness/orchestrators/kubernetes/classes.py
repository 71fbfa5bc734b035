"""Storage classes: those that a plan's claims ask for must be there before anything is deployed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from harness.model.errors import EnvironmentBroken
from harness.model.plan import Plan
from harness.orchestrators.hosts import failure, must
from harness.orchestrators.kubernetes import names
from harness.ports import Cluster

ASK_TIMEOUT_S = 15.0
#: storage.k8s.io/v1, "DefaultStorageClass".
DEFAULT = "storageclass.kubernetes.io/is-default-class"
CLAIM = "claim"
#: What the volume controller says of a claim that no waiting helps (pv_controller.go).
_HOPELESS = re.compile(r'storageclass\S* "[^"]*" not found|no storage class is set')


def require(cluster: Cluster, plan: Plan) -> None:
    """Raises EnvironmentBroken that names the volume and the class that is missing, and what classes there are."""
    claims = {name: volume for name, volume in plan.topology.volumes.items() if volume.driver == CLAIM}
    if not claims:
        return
    argv = (*names.client(plan), "get", "storageclasses", "-o", "json")
    result = names.manager(cluster, plan).run(argv, timeout_s=ASK_TIMEOUT_S)
    if cluster.api is not None and not result.ok:
        return  # we may have no say over what is in no namespace: then events tell
    if not result.ok:
        raise failure(names.manager(cluster, plan), argv, result)
    rows = json.loads(result.stdout)["items"]
    there = {row["metadata"]["name"] for row in rows}
    has_default = any((row["metadata"].get("annotations") or {}).get(DEFAULT) == "true" for row in rows)
    hint = f"storage classes that are there: {names.joined(there) or 'none'}"
    for name, volume in claims.items():
        if volume.storage_class and volume.storage_class not in there:
            message = f"volumes.{name}.storage_class: the cluster has no storage class {volume.storage_class!r}"
            raise EnvironmentBroken(message, hint=hint)
        if not volume.storage_class and not has_default:
            message = f"volumes.{name}: the cluster has no default storage class, and the volume names none"
            raise EnvironmentBroken(message, hint=hint)


def lacking(cluster: Cluster, plan: Plan) -> Iterator[str]:
    """What events say of claims without a class, where we may not ask for classes. Raises CommandFailed."""
    claims = [name for name, volume in plan.topology.volumes.items() if volume.driver == CLAIM]
    if cluster.api is None or not claims:
        return
    which = ("--field-selector", "involvedObject.kind=PersistentVolumeClaim")
    argv = names.everywhere(plan, "get", "events", *which, "-o", "json")
    for row in json.loads(must(cluster.api, argv, timeout_s=ASK_TIMEOUT_S))["items"]:
        if row["involvedObject"]["name"] in claims and _HOPELESS.search(row["message"]):
            yield f"volumes.{row['involvedObject']['name']}: {row['message']}"
