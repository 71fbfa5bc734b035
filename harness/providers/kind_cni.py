"""A network for pods that a user brings as manifests (flannel, Calico, Cilium), in place of the cluster's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.model.errors import CommandFailed, UsageError
from harness.model.topology import Cluster
from harness.ports import Host
from harness.providers.kind_wait import KUBECTL

#: What kind puts into the manifests of its own network, and so into these.
POD_SUBNET = "{{ .PodSubnet }}"
CREATE_TIMEOUT_S = 90.0
_KEY = "cluster.cni"


@dataclass(frozen=True)
class Manifests:
    """`objects` are called `DaemonSet kube-flannel/kube-flannel-ds`, in the file's order."""

    path: Path
    text: str
    objects: tuple[str, ...]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def read(path: Path) -> Manifests:
    """Raises UsageError that names the file, and the line where there is one: it cannot be read, is no YAML, or
    holds something that is no object of Kubernetes.
    """
    try:
        text = path.read_text()
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{_KEY}: {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"{_KEY}: {place}: {getattr(error, 'problem', None) or error}") from error
    if not documents:
        raise UsageError(f"{_KEY}: {path} is empty: it is to hold the manifests of a network for pods")
    return Manifests(path, text, tuple(_called(path, number, found) for number, found in enumerate(documents, 1)))


def _called(path: Path, number: int, found: Any) -> str:
    place = f"{_KEY}: {path}: document {number} is no object of Kubernetes"
    if not isinstance(found, Mapping) or not (found.get("apiVersion") and found.get("kind")):
        raise UsageError(f"{place}: it has no apiVersion and kind")
    about = found.get("metadata") or {}
    if not isinstance(about, Mapping):
        raise UsageError(f"{place}: metadata is to hold its name, not {about!r}")
    space = f"{about['namespace']}/" if about.get("namespace") else ""
    return f"{found['kind']} {space}{about.get('name', '')}".rstrip()


def of_run(cluster: Cluster, folder: Path) -> Cluster:
    """`cluster` with the manifests that it names, if any, by whole path and digest. They are meant from the
    topology's `folder`, or else (`--set`) from the working directory. Raises UsageError, also where the digest is
    not the topology's.
    """
    if cluster.cni is None:
        return cluster
    named = Path(cluster.cni).expanduser()
    places = [(base / named).absolute() for base in (folder, Path())]
    found = read(next((place for place in places if place.exists()), places[0]))
    if cluster.cni_sha256 not in (None, found.sha256):
        raise UsageError(
            f"cluster.cni_sha256: {found.path} has the digest {found.sha256}: it has changed",
            hint="leave cni_sha256 out to take the file as it is",
        )
    return cluster.model_copy(update={"cni": str(found.path), "cni_sha256": found.sha256})


def create(host: Host, found: Manifests, pod_subnet: str) -> None:
    """On the control plane `host` of a cluster without a network. `kubectl create`: nothing of it is there yet,
    and what `apply` notes down is too long for some definitions. Raises CommandFailed.
    """
    argv = [*KUBECTL, "create", "-f", "-"]
    document = found.text.replace(POD_SUBNET, pod_subnet).encode()
    result = host.run(argv, timeout_s=CREATE_TIMEOUT_S, stdin=document)
    if not result.ok:
        raise CommandFailed(argv, result.code, f"{result.output}\n(manifests of {found.path})", where=host.name)
