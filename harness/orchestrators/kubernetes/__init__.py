"""Kubernetes, by kubectl on the first control plane: over Host.run only, so that any transport will do."""

from harness.orchestrators.kubernetes.orchestrator import Kubernetes
from harness.orchestrators.kubernetes.render import KubernetesRendering

__all__ = ["Kubernetes", "KubernetesRendering"]
