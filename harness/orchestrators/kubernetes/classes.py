"""Storage classes: those that a plan's claims ask for must be there before anything is deployed."""

from __future__ import annotations

import json

from harness.model.errors import EnvironmentBroken
from harness.model.plan import Plan
from harness.orchestrators.hosts import failure
from harness.orchestrators.kubernetes import names
from harness.ports import Cluster

ASK_TIMEOUT_S = 15.0
#: storage.k8s.io/v1, "DefaultStorageClass".
DEFAULT = "storageclass.kubernetes.io/is-default-class"
CLAIM = "claim"


def require(cluster: Cluster, plan: Plan) -> None:
    """Raises EnvironmentBroken that names the volume and the class that is missing, and what classes there are."""
    claims = {name: volume for name, volume in plan.topology.volumes.items() if volume.driver == CLAIM}
    if not claims:
        return
    argv = (*names.client(plan), "get", "storageclasses", "-o", "json")
    result = names.manager(cluster, plan).run(argv, timeout_s=ASK_TIMEOUT_S)
    if cluster.api is not None and not result.ok:
        return  # we may have no say over what is in no namespace: then its pods tell
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
