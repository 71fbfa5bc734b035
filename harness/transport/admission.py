"""Pods that a Kubernetes does not let in: controllers tell of it in events and conditions, and kubelets."""

from __future__ import annotations

import re

#: Pod Security admission; PodSecurityPolicy, up to 1.24; OpenShift's constraints; webhooks. Each is asked again
#: and again and stays with its answer, unlike a quota, which pods on their way out give back, and an account that
#: a new namespace has not got yet. A PodSecurityPolicy may let a pod in on terms that its kubelet cannot keep.
_REFUSED = re.compile(
    r"pod ?security|security context constraint|admission webhook .* denied|has runAsNonRoot and image",
    re.IGNORECASE,
)
HINT = (
    "pods of ours are root, which Pod Security `baseline` allows and `restricted` does not; neither allows a "
    "node's network, ports and directories: do without such services, or --namespace names one that allows them"
)


def is_refused(message: str) -> bool:
    """Whether waiting is in vain, by the words of an event."""
    return _REFUSED.search(message) is not None
