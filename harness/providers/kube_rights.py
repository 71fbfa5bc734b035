"""What we may do in a Kubernetes that exists: asked before anything is made, all at once.

A SelfSubjectAccessReview is a question that whoever is known to the cluster may ask (authorization.k8s.io/v1).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model.errors import EnvironmentBroken, FeatureMissing
from harness.model.plan import Plan
from harness.ports import Result
from harness.providers.kube_access import CALL_TIMEOUT_S
from harness.transport.kubectl import KubectlHost

#: An API server that does not answer is found out by this.
REACH_TIMEOUT_S = 10.0
_APPLY = ("get", "list", "watch", "create", "patch", "delete")
#: Of the role `edit`, which every cluster with RBAC has, these are the ones that a run uses.
_IN_NAMESPACE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "pods", _APPLY),
    ("", "pods/exec", ("create",)),
    ("", "pods/log", ("get",)),
    ("", "services", _APPLY),
    ("", "configmaps", _APPLY),
    ("", "events", ("list",)),
    ("apps", "deployments", _APPLY),
    ("apps", "deployments/scale", ("get", "patch")),
    ("apps", "daemonsets", _APPLY),
    ("apps", "statefulsets", _APPLY),
    ("apps", "statefulsets/scale", ("get", "patch")),
    ("networking.k8s.io", "networkpolicies", _APPLY),
)
_CLAIMS = ("", "persistentvolumeclaims", _APPLY)
#: What Multus brings.
_MULTUS = "k8s.cni.cncf.io"
_ATTACHMENTS = (_MULTUS, "network-attachment-definitions", _APPLY)
#: Where every run has a namespace of its own.
_NAMESPACES = ("", "namespaces", ("create", "get", "list", "delete"))
#: To shut a node, and to see that its pods are gone (kubectl drain looks through all namespaces); and in the run's
#: own namespace.
_DRAIN = (("", "nodes", ("get", "list", "patch")), ("", "pods", ("list",)))
_EVICT = ("", "pods/eviction", ("create",))


@dataclass(frozen=True)
class Wish:
    """One thing that is to be done; `namespace` empty: in none."""

    verb: str
    group: str
    resource: str
    namespace: str = ""

    @property
    def whole(self) -> str:
        """As kubectl names a resource: `deployments.apps`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def review(self) -> dict[str, Any]:
        resource, _, part = self.resource.partition("/")
        asked = {"verb": self.verb, "group": self.group, "resource": resource, "subresource": part}
        spec = {"resourceAttributes": {**asked, "namespace": self.namespace}}
        return {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}


def wishes(plan: Plan) -> Iterator[Wish]:
    """All that a run of `plan` may do, and nothing else."""
    if not plan.topology.cluster.namespace:
        yield from _each(_NAMESPACES, "")
    for row in _IN_NAMESPACE:
        yield from _each(row, plan.namespace)
    for row in _further(plan):
        yield from _each(row, plan.namespace)


def further_kinds(plan: Plan) -> list[str]:
    """What this plan makes and not every one does, as kubectl names it."""
    return [Wish("", group, resource).whole for group, resource, _ in _further(plan)]


def _further(plan: Plan) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if any(volume.driver == "claim" for volume in plan.topology.volumes.values()):
        yield _CLAIMS
    if _macvlans(plan):
        yield _ATTACHMENTS


def _macvlans(plan: Plan) -> list[str]:
    return [name for name, network in plan.topology.networks.items() if network.driver == "macvlan"]


def _each(row: tuple[str, str, tuple[str, ...]], namespace: str) -> Iterator[Wish]:
    group, resource, verbs = row
    return (Wish(verb, group, resource, namespace) for verb in verbs)


def require(api: KubectlHost, client: tuple[str, ...], plan: Plan) -> str:
    """The version of the API server. Raises EnvironmentBroken where it does not answer, does not know who we are,
    or does not allow all that a run does: then everything that is missing is named. Raises FeatureMissing where
    the plan has networks for which the cluster has nothing.
    """
    version = reach(api, client)
    if macvlans := _macvlans(plan):
        _require_multus(api, client, macvlans)
    missing = denied(api, client, list(wishes(plan)))
    if missing:
        told = "; ".join(_grouped(missing))
        hint = (
            "whoever administers the cluster can bind the role `edit` in a namespace; --namespace names it, and "
            "nothing else is asked for then"
        )
        raise EnvironmentBroken(f"the cluster does not allow us {told}", hint=hint)
    return version


def _require_multus(api: KubectlHost, client: tuple[str, ...], networks: Sequence[str]) -> None:
    result = api.run((*client, "api-resources", f"--api-group={_MULTUS}", "-o", "name"), timeout_s=CALL_TIMEOUT_S)
    wanted = Wish("", *_ATTACHMENTS[:2]).whole
    if wanted not in result.stdout.split():
        what = "Multus"
        message = f"network {', '.join(networks)} cannot work here: the cluster has no {what} (resource {wanted})"
        raise FeatureMissing(message, [what], hint="whoever administers the cluster can install Multus")


def may_drain(api: KubectlHost, client: tuple[str, ...], space: str) -> bool:
    """Whether we may shut nodes, and evict what is in the namespace `space`. Raises EnvironmentBroken."""
    asked = [wish for row in _DRAIN for wish in _each(row, "")]
    return not denied(api, client, [*asked, *_each(_EVICT, space)])


def reach(api: KubectlHost, client: tuple[str, ...]) -> str:
    """Its version. Raises EnvironmentBroken."""
    argv = (*client, "version", "-o", "json", f"--request-timeout={REACH_TIMEOUT_S:g}s")
    result = api.run(argv, timeout_s=CALL_TIMEOUT_S)
    try:
        return str(json.loads(result.stdout)["serverVersion"]["gitVersion"])
    except (ValueError, KeyError, TypeError):
        raise EnvironmentBroken(
            f"the Kubernetes of the kubeconfig does not answer: {_last_words(result)}",
            hint=f"`{' '.join(client)} version` asks it",
        ) from None


def denied(api: KubectlHost, client: tuple[str, ...], asked: Sequence[Wish]) -> list[Wish]:
    """Those that are not allowed. Raises EnvironmentBroken where the question itself is refused."""
    reviews = {"apiVersion": "v1", "kind": "List", "items": [wish.review() for wish in asked]}
    argv = (*client, "create", "-f", "-", "-o", "json")
    result = api.run(argv, timeout_s=CALL_TIMEOUT_S, stdin=json.dumps(reviews).encode())
    answers = list(_documents(result.stdout))
    if not result.ok or len(answers) != len(asked):
        raise EnvironmentBroken(f"the cluster does not say what is allowed: {_last_words(result)}")
    return [wish for wish, answer in zip(asked, answers, strict=True) if not answer["status"].get("allowed")]


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """Kubectl prints one object after another, or a list of them, as its version goes."""
    decoder, at = json.JSONDecoder(), 0
    while (at := _next(text, at)) < len(text):
        found, at = decoder.raw_decode(text, at)
        yield from found["items"] if found.get("kind") == "List" else [found]


def _next(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _last_words(result: Result) -> str:
    lines = [line for line in result.output.splitlines() if line.strip() and not line.startswith("{")]
    return lines[-1].strip() if lines else f"kubectl ended with {result.code}"


def _grouped(missing: Sequence[Wish]) -> Iterator[str]:
    """Verbs of one resource together, resources of one namespace: so that each is said once."""
    spaces: dict[str, dict[str, list[str]]] = {}
    for wish in missing:
        spaces.setdefault(wish.namespace, {}).setdefault(wish.whole, []).append(wish.verb)
    for space, resources in spaces.items():
        told = ", ".join(f"{'/'.join(verbs)} {resource}" for resource, verbs in resources.items())
        yield f"in namespace {space}: {told}" if space else f"in the whole cluster: {told}"
