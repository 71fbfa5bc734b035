"""A CNI plugin that gives pods further networks, as Multus does, for clusters without Multus.

Runs on nodes, where containerd calls it instead of the cluster's own network (attaching.py puts it there).
Standard library only: the file is sent as it is. A pod's first interface is the cluster's network, whose
configuration is the next one in the same folder. Each entry of the annotation `k8s.v1.cni.cncf.io/networks` is
another: a NetworkAttachmentDefinition, whose configuration stands in `spec.config`, or in a file of the node's
that is called so. What was attached is told in the annotation `k8s.v1.cni.cncf.io/network-status`.

Sources: the CNI specification 0.4.0 (commands, environment, error codes), and the Network Plumbing Working Group's
"Kubernetes Network Custom Resource Definition De-facto Standard", version 1 (annotations, NADs).
"""

from __future__ import annotations

import base64
import contextlib
import encodings.idna  # noqa: F401 - getaddrinfo imports it when it is called, and then the root is another one
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

Object = Mapping[str, Any]

NAME = "harness-meta"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
STATUS = "k8s.v1.cni.cncf.io/network-status"
VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0")
VERSION = "0.4.0"
#: In the root of this plugin: the node's. Python itself may come from an image, which is left by chroot(2).
NODE_ROOT = "/proc/1/root"
CONFIGS = "/etc/cni/net.d"
#: Configurations of NADs that have none of their own; Multus' folder.
NAD_CONFIGS = "/etc/cni/multus/net.d"
STATE = "/run/harness-meta"
#: A kubeconfig in JSON: the node's own (`kubectl config view`).
KUBECONFIG = "/etc/cni/harness-meta/kubeconfig"
API_TIMEOUT_S = 10.0
#: Of one delegate. kubelet gives up after 4 min at most, and asks again.
DELEGATE_TIMEOUT_S = 60.0

#: Of the specification: what a runtime should do about an error.
ENVIRONMENT, IO, CONTENT, TRY_AGAIN = 4, 5, 7, 11
#: What an entry of the annotation may hold; whatever else it asks for would be left undone.
KNOWN = frozenset({"name", "namespace", "interface", "ips", "mac"})
_SHORT = re.compile(
    r"(?:(?P<namespace>[a-z0-9]([-a-z0-9]*[a-z0-9])?)/)?(?P<name>[a-z0-9]([-a-z0-9.]*[a-z0-9])?)(?:@(?P<interface>\S+))?"
)


class Failed(Exception):
    """An answer that is an error, with its code of the specification."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Call(NamedTuple):
    """What the runtime says in the environment."""

    command: str
    container: str
    netns: str
    interface: str
    arguments: str
    path: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Call:
        def told(name: str) -> str:
            return environment.get(f"CNI_{name}", "")

        return cls(told("COMMAND"), told("CONTAINERID"), told("NETNS"), told("IFNAME"), told("ARGS"), told("PATH"))

    def pod(self, key: str) -> str:
        """K8S_POD_NAME and the like."""
        pairs = (pair.partition("=") for pair in self.arguments.split(";"))
        return next((value for name, _, value in pairs if name == key), "")


class Wish(NamedTuple):
    """An entry of the annotation."""

    namespace: str
    name: str
    interface: str
    runtime: Object

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Delegate:
    """One network of a pod: a list of plugins, and the interface that they make. `name` is for people."""

    name: str
    config: Object
    interface: str
    runtime: Object

    @property
    def plugins(self) -> Sequence[Object]:
        found: Sequence[Object] = self.config.get("plugins") or [self.config]
        return found


#: A GET of a path, None where there is no such thing; a merge patch of a path. Both raise OSError.
Get = Callable[[str], "Object | None"]
Patch = Callable[[str, Object], None]


class Api(NamedTuple):
    get: Get
    patch: Patch


@dataclass(frozen=True)
class Places:
    """Folders of the node's."""

    configs: Path = Path(CONFIGS)
    nad_configs: Path = Path(NAD_CONFIGS)
    state: Path = Path(STATE)


@dataclass(frozen=True)
class Plugin:
    """`config` is our own, as the runtime hands it over."""

    call: Call
    config: Object
    api: Callable[[], Api]
    places: Places = Places()

    def run(self) -> Object | None:
        """What is printed for the runtime. Raises Failed."""
        commands = {"ADD": self.add, "DEL": self.delete, "CHECK": self.check, "VERSION": self.version}
        if self.call.command not in commands:
            raise Failed(ENVIRONMENT, f"CNI_COMMAND is {self.call.command!r}")
        if self.call.command != "VERSION" and not re.fullmatch(r"[\w.-]+", self.call.container):
            raise Failed(ENVIRONMENT, f"CNI_CONTAINERID is {self.call.container!r}")
        return commands[self.call.command]()

    def version(self) -> Object:
        return {"cniVersion": self.config.get("cniVersion", VERSION), "supportedVersions": VERSIONS}

    # --- ADD

    def add(self) -> Object:
        """All networks, or none: what was attached before one failed is taken away again. The state is written
        before anything is made, so that DEL knows of what a plugin that was killed had begun.
        """
        api = self.api()
        first = Delegate(
            "the cluster's network", self._cluster_network(), self.call.interface, self._own_runtime()
        )
        wanted = [first, *self._wanted(api)]
        self._remember(wanted, [])
        results: list[Object] = []
        try:
            for delegate in wanted:
                results.append(self._attach(delegate))
            self._remember(wanted, results)
            self._tell(api, wanted, results)
        except BaseException:
            self._undo(wanted[: len(results) + 1])
            raise
        return results[0]

    def _undo(self, begun: Sequence[Delegate]) -> None:
        """Forgotten only where all of it is gone: a runtime calls DEL after an ADD that failed."""
        if not self._detach(begun):
            self._state.unlink(missing_ok=True)

    def _wanted(self, api: Api) -> Iterator[Delegate]:
        namespace, name = self.call.pod("K8S_POD_NAMESPACE"), self.call.pod("K8S_POD_NAME")
        if not name:
            return
        pod = _asked(api, _pod_path(namespace, name))
        if pod is None:
            raise Failed(TRY_AGAIN, f"there is no pod {namespace}/{name}")
        annotation = (pod["metadata"].get("annotations") or {}).get(NETWORKS, "")
        for wish in wishes(annotation, namespace):
            yield Delegate(
                str(wish), self._definition(api, wish, f"{namespace}/{name}"), wish.interface, wish.runtime
            )

    def _definition(self, api: Api, wish: Wish, pod: str) -> Object:
        path = "/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions/{}"
        found = _asked(api, path.format(*map(urllib.parse.quote, (wish.namespace, wish.name))))
        if found is None:
            raise Failed(CONTENT, f"there is no NetworkAttachmentDefinition {wish}, which pod {pod} asks for")
        told = (found.get("spec") or {}).get("config")
        config = _config(told, str(wish)) if told else self._of_node(wish)
        return config if config.get("name") else {**config, "name": wish.name}

    def _of_node(self, wish: Wish) -> Object:
        for path in _configs(self.places.nad_configs):
            config = _config(path.read_text(), str(path))
            if config.get("name") == wish.name:
                return config
        message = (
            f"the NetworkAttachmentDefinition {wish} has no spec.config, and no file of {self.places.nad_configs} "
        )
        raise Failed(CONTENT, message + f"on this node is a configuration called {wish.name!r}")

    def _cluster_network(self) -> Object:
        """The first configuration that is not ours: what the runtime would take without us."""
        for path in _configs(self.places.configs):
            config = _config(path.read_text(), str(path))
            if config.get("type") != NAME:
                return config
        raise Failed(TRY_AGAIN, f"the cluster has no network: nothing but {NAME} in {self.places.configs}")

    def _own_runtime(self) -> Object:
        found: Object = self.config.get("runtimeConfig") or {}
        return found

    def _tell(self, api: Api, wanted: Sequence[Delegate], results: Sequence[Object]) -> None:
        """The annotation, of pods that asked for more than the cluster's network."""
        namespace, name = self.call.pod("K8S_POD_NAMESPACE"), self.call.pod("K8S_POD_NAME")
        if len(wanted) == 1:
            return
        names = [str(wanted[0].config.get("name", "")), *(each.name for each in wanted[1:])]
        told = [
            status(name, each.interface, result, default=each is wanted[0])
            for name, each, result in zip(names, wanted, results, strict=True)
        ]
        patch = {"metadata": {"annotations": {STATUS: json.dumps(told)}}}
        try:
            api.patch(f"{_pod_path(namespace, name)}/status", patch)
        except OSError as error:
            raise Failed(TRY_AGAIN, f"the status of pod {namespace}/{name} cannot be told: {error}") from error

    # --- DEL, CHECK

    def delete(self) -> None:
        """Idempotent. Without a state what there may be is the cluster's network: a pod of before us, or of before
        this node's restart.
        """
        begun, _ = self._remembered()
        if not begun:
            try:
                network = self._cluster_network()
            except Failed:
                return
            begun = [Delegate("the cluster's network", network, self.call.interface, self._own_runtime())]
        errors = self._detach(begun)
        if errors:
            raise errors[0]
        self._state.unlink(missing_ok=True)

    def check(self) -> None:
        begun, results = self._remembered()
        if len(results) != len(begun) or not begun:
            raise Failed(CONTENT, f"nothing is known of {self.call.container}")
        for delegate, result in zip(begun, results, strict=True):
            for plugin in delegate.plugins:
                self._call("CHECK", delegate, plugin, result)

    # --- delegates

    def _attach(self, delegate: Delegate) -> Object:
        result: Object | None = None
        for plugin in delegate.plugins:
            result = self._call("ADD", delegate, plugin, result)
        assert result is not None
        return result

    def _detach(self, begun: Sequence[Delegate]) -> list[Failed]:
        """The last one first. All are tried; what failed is returned."""
        errors = []
        for delegate in reversed(begun):
            for plugin in reversed(delegate.plugins):
                try:
                    self._call("DEL", delegate, plugin, None)
                except Failed as error:
                    errors.append(error)
        return errors

    def _call(self, command: str, delegate: Delegate, plugin: Object, before: Object | None) -> Object | None:
        """One plugin of a network, as the specification's "network configuration lists" have it."""
        config = {
            **{key: value for key, value in plugin.items() if key != "capabilities"},
            "cniVersion": delegate.config.get("cniVersion", VERSION),
            "name": delegate.config["name"],
        }
        capable = [key for key, able in (plugin.get("capabilities") or {}).items() if able]
        runtime = {key: delegate.runtime[key] for key in capable if key in delegate.runtime}
        config |= {"runtimeConfig": runtime} if runtime else {}
        config |= {"prevResult": before} if before is not None else {}
        what = f"{delegate.name}: plugin {plugin.get('type')}"
        return execute(
            self._program(str(plugin.get("type")), what), config, self._environment(command, delegate), what
        )

    def _program(self, kind: str, what: str) -> Path:
        if "/" in kind:
            raise Failed(CONTENT, f"{what}: no name of a plugin")
        for folder in self.call.path.split(os.pathsep):
            if os.access(path := Path(folder, kind), os.X_OK):
                return path
        raise Failed(CONTENT, f"{what}: this node has no such program in {self.call.path}")

    def _environment(self, command: str, delegate: Delegate) -> Mapping[str, str]:
        ours = {"COMMAND": command, "CONTAINERID": self.call.container, "NETNS": self.call.netns}
        ours |= {"IFNAME": delegate.interface, "ARGS": self.call.arguments, "PATH": self.call.path}
        return {**os.environ, **{f"CNI_{key}": value for key, value in ours.items()}}

    # --- what is known of a pod, until the node restarts: its networks end with it

    @property
    def _state(self) -> Path:
        return self.places.state / f"{self.call.container}.json"

    def _remember(self, begun: Sequence[Delegate], results: Sequence[Object]) -> None:
        kept = [
            {"name": d.name, "config": d.config, "interface": d.interface, "runtime": d.runtime} for d in begun
        ]
        self.places.state.mkdir(parents=True, exist_ok=True)
        half = self._state.with_suffix(".new")
        half.write_text(json.dumps({"delegates": kept, "results": list(results)}))
        half.rename(self._state)

    def _remembered(self) -> tuple[list[Delegate], list[Object]]:
        try:
            kept = json.loads(self._state.read_text())
        except FileNotFoundError:
            return [], []
        return [Delegate(**each) for each in kept["delegates"]], kept["results"]


# --- pure


def wishes(annotation: str, namespace: str) -> list[Wish]:
    """The annotation in either form: `lan, other/wan@eth7`, or JSON. Interfaces without a name are net1, net2 and
    on, by their place. Raises Failed.
    """
    text = annotation.strip()
    if not text:
        return []
    entries = _long(text) if text.startswith("[") else [_short(part.strip()) for part in text.split(",")]
    return [_wish(entry, number, namespace) for number, entry in enumerate(entries, 1)]


def _long(text: str) -> list[Object]:
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise Failed(CONTENT, f"annotation {NETWORKS}: no JSON: {error}") from error
    if not all(isinstance(entry, dict) and entry.get("name") for entry in entries):
        raise Failed(CONTENT, f"annotation {NETWORKS}: every network needs a name: {text}")
    return list(entries)


def _short(text: str) -> Object:
    match = _SHORT.fullmatch(text)
    if not match:
        raise Failed(CONTENT, f"annotation {NETWORKS}: {text!r} is not [namespace/]name[@interface]")
    return {key: value for key, value in match.groupdict().items() if value}


def _wish(entry: Object, number: int, namespace: str) -> Wish:
    unknown = sorted(set(entry) - KNOWN)
    if unknown:
        raise Failed(CONTENT, f"annotation {NETWORKS}: {NAME} does not do {', '.join(unknown)}")
    runtime = {key: entry[key] for key in ("ips", "mac") if key in entry}
    interface = str(entry.get("interface", f"net{number}"))
    return Wish(str(entry.get("namespace", namespace)), str(entry["name"]), interface, runtime)


def status(name: str, interface: str, result: Object, *, default: bool) -> Object:
    """An entry of the status annotation, from a result of ADD."""
    links = result.get("interfaces") or []
    ips = result.get("ips") or []
    inside = [index for index, link in enumerate(links) if link.get("sandbox") and link.get("name") == interface]
    own = [each["address"].partition("/")[0] for each in ips if each.get("interface") in (None, *inside)]
    mac = next((links[index].get("mac", "") for index in inside), "")
    entry = {"name": name, "interface": interface, "ips": own, "mac": mac, "dns": result.get("dns") or {}}
    return {**entry, "default": True} if default else entry


def _configs(folder: Path) -> list[Path]:
    """In the order in which runtimes look: by name."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if path.suffix in (".conf", ".conflist", ".json"))


def _config(text: str, where: str) -> Object:
    try:
        config = json.loads(text)
    except ValueError as error:
        raise Failed(CONTENT, f"{where}: no JSON: {error}") from error
    if not isinstance(config, dict) or not (config.get("type") or config.get("plugins")):
        raise Failed(CONTENT, f"{where}: no configuration of CNI: {text}")
    return config


def _pod_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{urllib.parse.quote(namespace)}/pods/{urllib.parse.quote(name)}"


def _asked(api: Api, path: str) -> Object | None:
    try:
        return api.get(path)
    except OSError as error:
        raise Failed(TRY_AGAIN, f"the API server does not tell {path}: {error}") from error


# --- processes, and the API server


def execute(program: Path, config: Object, environment: Mapping[str, str], what: str) -> Object | None:
    """What a plugin prints, None for nothing. Raises Failed with its own words."""
    try:
        done = subprocess.run(
            [str(program)],
            input=json.dumps(config).encode(),
            env=dict(environment),
            capture_output=True,
            timeout=DELEGATE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(TRY_AGAIN, f"{what}: no answer within {DELEGATE_TIMEOUT_S:g} s") from error
    except OSError as error:
        raise Failed(IO, f"{what}: {error}") from error
    try:
        answer = json.loads(done.stdout) if done.stdout.strip() else None
    except ValueError as error:
        raise Failed(CONTENT, f"{what}: {done.stdout.decode(errors='replace')}") from error
    if done.returncode:
        told = answer or {
            "code": CONTENT,
            "msg": done.stderr.decode(errors="replace") or f"ended with {done.returncode}",
        }
        details = f" ({told['details']})" if told.get("details") else ""
        raise Failed(int(told.get("code", CONTENT)), f"{what}: {told.get('msg', '')}{details}")
    return answer


def api_of(kubeconfig: Path) -> Api:
    """The API server as whoever the kubeconfig's current context names. Raises OSError, ValueError, KeyError."""
    config = json.loads(kubeconfig.read_text())
    context = _named(config, "contexts", config["current-context"])["context"]
    cluster = _named(config, "clusters", context["cluster"])["cluster"]
    user = _named(config, "users", context["user"])["user"]
    tls = ssl.create_default_context(cadata=_bytes(cluster, "certificate-authority").decode())
    headers = {"Accept": "application/json"}
    if "token" in user:
        headers["Authorization"] = f"Bearer {user['token']}"
    else:
        with _file(user, "client-certificate") as certificate, _file(user, "client-key") as key:
            tls.load_cert_chain(certificate, key)

    def ask(path: str, method: str, body: Object | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        own = headers if body is None else {**headers, "Content-Type": "application/merge-patch+json"}
        asked = urllib.request.Request(f"{cluster['server']}{path}", data, own, method=method)  # noqa: S310
        with urllib.request.urlopen(asked, timeout=API_TIMEOUT_S, context=tls) as answer:  # noqa: S310
            return json.load(answer)

    def get(path: str) -> Object | None:
        try:
            found: Object = ask(path, "GET")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return found

    def patch(path: str, body: Object) -> None:
        ask(path, "PATCH", body)

    return Api(get, patch)


def _named(config: Object, kind: str, name: str) -> Any:
    return next(entry for entry in config[kind] if entry["name"] == name)


def _bytes(entry: Object, key: str) -> bytes:
    """What a kubeconfig has in itself (`key-data`), or names the file of."""
    data = entry.get(f"{key}-data")
    return base64.b64decode(data) if data else Path(entry[key]).read_bytes()


@contextlib.contextmanager
def _file(entry: Object, key: str) -> Iterator[str]:
    """The name of a file with it, for those who take nothing else."""
    if not entry.get(f"{key}-data"):
        yield str(entry[key])
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(_bytes(entry, key))
        file.flush()
        yield file.name


def main(stdin: TextIO, stdout: TextIO, environment: Mapping[str, str], root: str = NODE_ROOT) -> int:
    """The exit code. The answer, also an error, goes to `stdout`."""
    config: Object = {}
    try:
        os.chroot(root)
        os.chdir("/")
        config = json.load(stdin)
        plugin = Plugin(Call.of(environment), config, lambda: _api(Path(config.get("kubeconfig", KUBECONFIG))))
        answer = plugin.run()
    except Failed as error:
        answer = {"code": error.code, "msg": f"{NAME}: {error}"}
    except (OSError, ValueError) as error:
        answer = {"code": IO, "msg": f"{NAME}: {type(error).__name__}: {error}"}
    else:
        json.dump(answer, stdout) if answer is not None else None
        return 0
    json.dump({"cniVersion": config.get("cniVersion", VERSION), **answer}, stdout)
    return 1


def _api(kubeconfig: Path) -> Api:
    try:
        return api_of(kubeconfig)
    except (OSError, ValueError, LookupError, StopIteration) as error:
        raise Failed(
            ENVIRONMENT, f"{kubeconfig} is no kubeconfig of use: {type(error).__name__}: {error}"
        ) from error


if __name__ == "__main__":
    sys.exit(main(sys.stdin, sys.stdout, os.environ))
