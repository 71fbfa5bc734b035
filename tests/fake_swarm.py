"""A Swarm of fake hosts: as much of the docker CLI as the orchestrator uses, in memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from harness.model.errors import DeadlineExceeded
from harness.ports import Channel, Cluster, Host, Result, Right

OK = Result(0, "", "")
TOKEN = "SWMTKN-1-secret"
#: Told by the scripts that the orchestrator sends: which of them it is.
SCRIPTS = {
    "docker swarm init": "init",
    "docker swarm join": "join",
    "docker node update": "label",
    "docker inspect $ids": "inspect",
    "docker rm --force --volumes $ids": "remove_labelled",
    "docker node ls": "look_with_nodes",
    "docker stack ps": "look",
    "--filter status=created": "remove_created",
    "docker volume ls": "left",
    "docker logs": "last_words",
    "docker image inspect": "image_ids",
}


def refused(message: str) -> Result:
    return Result(1, "", f"Error response from daemon: {message}")


@dataclass
class Box:
    """A container on a fake node."""

    name: str
    labels: dict[str, str]
    networks: dict[str, dict[str, Any]]
    hostname: str
    id: str
    ports: dict[str, Any] = field(default_factory=dict)
    running: bool = True


@dataclass
class FakeHost:
    """A Host whose commands are answered by the swarm that it belongs to."""

    swarm: FakeSwarm
    name: str
    address: str
    state: str = "inactive"
    node_id: str = ""
    silent: bool = False
    boxes: list[Box] = field(default_factory=list)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    inputs: list[bytes] = field(default_factory=list)
    rights: frozenset[Right] = frozenset({"shell"})

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        assert timeout_s > 0
        if self.silent:
            raise DeadlineExceeded(f"{self.name} did not answer")
        self.calls.append(tuple(argv))
        self.inputs.append(stdin)
        return self.swarm.answer(self, list(argv), stdin)

    def channel(self, argv: Sequence[str]) -> Channel:
        raise NotImplementedError("the orchestrator keeps no streams")

    def ran(self, *prefix: str) -> list[tuple[str, ...]]:
        return [call for call in self.calls if call[: len(prefix)] == prefix]


@dataclass
class Service:
    name: str
    entry: Mapping[str, Any]
    wanted: int


class FakeSwarm:
    """Hosts n1..nN; n1 becomes the manager. Knobs say what goes wrong."""

    def __init__(self, workers: int = 2) -> None:
        names = [f"n{index + 1}" for index in range(workers + 1)]
        self.hosts = {name: FakeHost(self, name, f"192.0.2.{i + 1}") for i, name in enumerate(names)}
        self.heartbeat_ns = 0
        self.labels: list[str] = []
        self.networks: set[str] = set()
        self.services: dict[str, Service] = {}
        self.stack_networks: dict[str, str] = {}
        self.images_missing: set[str] = set()
        self.image_ids: dict[str, str] = {}
        self.not_ready_looks = 0
        self.attach_races = 0
        self.busy_removals = 0
        self.exits: set[str] = set()
        #: Services of which the manager still counts so many tasks.
        self.still_counted: dict[str, int] = {}
        self.dead: list[dict[str, str]] = []
        self.refuse_join = ""
        self.update_ends = "completed"
        self._ids = itertools.count(1)

    def cluster(self, run: str, provider: str = "docker") -> Cluster:
        hosts: dict[str, Host] = dict(self.hosts)
        return Cluster("lab", run, provider, hosts)

    @property
    def manager(self) -> FakeHost:
        return self.hosts["n1"]

    def answer(self, host: FakeHost, argv: list[str], stdin: bytes) -> Result:
        if argv[:2] == ["sh", "-c"]:
            what = next(name for text, name in SCRIPTS.items() if text in argv[2])
            return self._call(what, host, argv[4:], stdin)
        if argv[0] == "mkdir":
            return OK
        words = [word for word in argv[1:3] if not word.startswith("-")]
        known = [f"docker_{'_'.join(words)}".replace("-", "_"), f"docker_{argv[1]}"]
        what = next(name for name in known if hasattr(self, f"_{name}"))
        return self._call(what, host, argv, stdin)

    def _call(self, what: str, host: FakeHost, argv: list[str], stdin: bytes) -> Result:
        handler: Callable[[FakeHost, list[str], bytes], Result] = getattr(self, f"_{what}")
        return handler(host, argv, stdin)

    # --- membership

    def _docker_info(self, host: FakeHost, _argv: list[str], _stdin: bytes) -> Result:
        manages = host is self.manager and host.state == "active"
        info: dict[str, Any] = {"LocalNodeState": host.state, "NodeID": host.node_id, "ControlAvailable": manages}
        if manages:
            info["Cluster"] = {"Spec": {"Dispatcher": {"HeartbeatPeriod": self.heartbeat_ns}}}
        return Result(0, json.dumps(info), "")

    def _init(self, host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        host.state, host.node_id = "active", f"id-{host.name}"
        self.heartbeat_ns = int(argv[1].removesuffix("s")) * 10**9
        return OK

    def _join(self, host: FakeHost, _argv: list[str], stdin: bytes) -> Result:
        if self.refuse_join:
            return refused(self.refuse_join)
        if stdin.decode().strip() != TOKEN:
            return refused("invalid join token")
        host.state, host.node_id = "active", f"id-{host.name}"
        return OK

    def _docker_swarm_join_token(self, _host: FakeHost, _argv: list[str], _stdin: bytes) -> Result:
        return Result(0, f"{TOKEN}\n", "")

    def _docker_swarm_update(self, _host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        self.heartbeat_ns = int(argv[-1].removesuffix("s")) * 10**9
        return OK

    def _docker_node_ls(self, _host: FakeHost, _argv: list[str], _stdin: bytes) -> Result:
        self.not_ready_looks -= 1
        late = self.not_ready_looks >= 0
        rows = [
            {"ID": host.node_id, "Hostname": host.name, "Status": "Down" if late or host.silent else "Ready"}
            for host in self.hosts.values()
            if host.node_id.startswith("id-")
        ]
        return Result(0, "\n".join(json.dumps(row) for row in rows), "")

    def _label(self, _host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        self.labels += argv
        return OK

    # --- networks, services, containers

    def _docker_network_create(self, _host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        if argv[-1] in self.networks:
            return refused(f"network with name {argv[-1]} already exists")
        self.networks.add(argv[-1])
        return OK

    def _docker_network_rm(self, _host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        if argv[-1] not in self.networks:
            return refused(f"network {argv[-1]} not found")
        if self.busy_removals > 0:
            self.busy_removals -= 1
            return refused(f"network {argv[-1]} is in use by task x")
        self.networks.discard(argv[-1])
        return OK

    def _docker_stack_deploy(self, _host: FakeHost, argv: list[str], stdin: bytes) -> Result:
        document = yaml.safe_load(stdin)
        self.stack_networks = {key: entry["name"] for key, entry in document["networks"].items()}
        for name, entry in document["services"].items():
            deploy = entry["deploy"]
            wanted = len(self.hosts) if deploy["mode"] == "global" else deploy["replicas"]
            self.services[name] = Service(f"{argv[-1]}_{name}", entry, wanted)
            self._fill(name)
        return OK

    def _docker_stack_rm(self, _host: FakeHost, _argv: list[str], _stdin: bytes) -> Result:
        for name in list(self.services):
            self.services[name].wanted = 0
            self._fill(name)
        self.services.clear()
        return OK

    def _docker_service_scale(self, _host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        made, count = argv[-1].split("=")
        name = made.split("_")[1]
        self.services[name].wanted = int(count)
        self._fill(name)
        return OK

    def _docker_service_update(self, _host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        name = argv[-1].split("_")[1]
        wanted = self.services[name].wanted
        for count in (0, wanted):
            self.services[name].wanted = count
            self._fill(name)
        return OK

    def _docker_rename(self, host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        box = next(box for box in host.boxes if box.id == argv[-2])
        box.name = argv[-1]
        return OK

    def _docker_service_inspect(self, _host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        if "UpdateStatus" in argv[4]:
            return Result(0, self.update_ends, "")
        ports = [
            {
                "TargetPort": port["target"],
                "PublishedPort": port.get("published", 30001),
                "Protocol": port["protocol"],
                "PublishMode": port["mode"],
            }
            for port in self.services[argv[-1].split("_")[1]].entry["ports"]
        ]
        return Result(0, json.dumps(ports), "")

    def _docker_run(self, host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        name = argv[argv.index("--name") + 1]
        if any(box.name == name for box in host.boxes):
            return refused(f'Conflict. The container name "/{name}" is already in use')
        labels = dict(argv[i + 1].split("=", 1) for i, word in enumerate(argv) if word == "--label")
        networks = [argv[i + 1] for i, word in enumerate(argv) if word == "--network"]
        box = self._box(name, labels, [_network_of(text) for text in networks], labels["harness.service"])
        host.boxes.append(box)
        if self.attach_races > 0:
            self.attach_races -= 1
            box.running = False
            return refused("Could not attach to network x: rpc error: code = NotFound")
        box.running = labels["harness.service"] not in self.exits
        return Result(0, box.id, "")

    def _docker_stop(self, host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        return self._switch(host, argv[-1], False)

    def _docker_start(self, host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        if self.attach_races > 0:
            self.attach_races -= 1
            return refused("attaching to network failed, make sure your network options are correct")
        return self._switch(host, argv[-1], True)

    def _docker_rm(self, host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        host.boxes = [box for box in host.boxes if box.name != argv[-1]]
        return OK

    def _docker_volume_rm(self, _host: FakeHost, _argv: list[str], _stdin: bytes) -> Result:
        return OK

    def _remove_labelled(self, host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        key, value = argv[0].split("=")
        host.boxes = [box for box in host.boxes if box.labels.get(key) != value]
        return OK

    def _remove_created(self, host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        host.boxes = [box for box in host.boxes if box.name != argv[0] or box.running]
        return OK

    # --- looking

    def _inspect(self, host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        key, value = argv[0].split("=")
        rows = [_inspected(box) for box in host.boxes if box.running and box.labels.get(key) == value]
        return Result(0, json.dumps(rows) if rows else "", "")

    def _look(self, _host: FakeHost, _argv: list[str], _stdin: bytes) -> Result:
        rows = [
            {"Name": service.name, "Replicas": f"{self._counted(name)}/{service.wanted}"}
            for name, service in self.services.items()
        ]
        return Result(0, "\n".join(json.dumps(row) for row in [*rows, *self.dead]), "")

    def _counted(self, service: str) -> int:
        return self.still_counted.get(service, len(list(self._tasks(service))))

    def _look_with_nodes(self, host: FakeHost, argv: list[str], stdin: bytes) -> Result:
        parts = [self._docker_node_ls(host, argv, stdin), self._look(host, argv, stdin)]
        return Result(0, "\n".join(part.stdout for part in parts), "")

    def _left(self, host: FakeHost, _argv: list[str], _stdin: bytes) -> Result:
        return Result(0, "\n".join([box.id for box in host.boxes] + sorted(self.networks)), "")

    def _last_words(self, host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        ended = any(box.name == argv[0] and not box.running for box in host.boxes)
        return Result(0, "exited 3\nno such file", "") if ended else Result(1, "", "")

    def _image_ids(self, _host: FakeHost, argv: list[str], _stdin: bytes) -> Result:
        return Result(0, "\n".join(self.image_ids.get(image, "-") for image in argv), "")

    # --- inside

    def _fill(self, name: str) -> None:
        """Run as many tasks of a service as are wanted, where its image is there."""
        service = self.services[name]
        image = service.entry["image"]
        have = list(self._tasks(name))
        for host, box in have[service.wanted :]:
            host.boxes.remove(box)
        for index in range(len(have), service.wanted):
            if image in self.images_missing:
                self.dead += [_dead(service.name, f"No such image: {image}")] * 3
                continue
            host = list(self.hosts.values())[index % len(self.hosts)]
            host.boxes.append(self._task(service, name, index, host))

    def _task(self, service: Service, name: str, index: int, host: FakeHost) -> Box:
        is_global = service.entry["deploy"]["mode"] == "global"
        slot = f"id-{host.name}" if is_global else str(index + 1)
        full = f"{service.name}.{slot}.task{next(self._ids)}"
        labels = {**service.entry["labels"], "com.docker.swarm.task.name": full}
        networks = [self.stack_networks[key] for key in service.entry["networks"]]
        box = self._box(full, labels, networks, f"{name}-{host.name if is_global else index + 1}")
        for port in service.entry.get("ports", ()):
            if port["mode"] == "host":
                binding = {"HostIp": "0.0.0.0", "HostPort": str(port["published"])}
                box.ports[f"{port['target']}/{port['protocol']}"] = [binding, {**binding, "HostIp": "::"}]
        return box

    def _box(self, name: str, labels: dict[str, str], networks: list[str], hostname: str) -> Box:
        number = next(self._ids)
        settings: dict[str, dict[str, Any]] = {}
        for network in networks:
            address = "" if network in ("host", "bridge") else f"10.60.0.{number}"
            settings[network] = {
                "IPAddress": address,
                "IPPrefixLen": 16,
                "MacAddress": f"02:42:0a:3c:00:{number:02x}",
                "GlobalIPv6Address": "",
                "Aliases": None,
                "DNSNames": [name, f"short{number}", hostname],
            }
        return Box(name, labels, settings, hostname, f"box{number}")

    def _tasks(self, name: str) -> Iterator[tuple[FakeHost, Box]]:
        wanted = self.services[name].name
        for host in self.hosts.values():
            for box in list(host.boxes):
                if box.running and box.name.split(".")[0] == wanted:
                    yield host, box

    def _switch(self, host: FakeHost, box_id: str, running: bool) -> Result:
        for box in host.boxes:
            if box.id == box_id:
                box.running = running
                return OK
        return refused(f"No such container: {box_id}")


def _network_of(text: str) -> str:
    return text.split(",", maxsplit=1)[0].removeprefix("name=")


def _dead(service: str, error: str) -> dict[str, str]:
    return {
        "Name": f"\\_ {service}.1",
        "DesiredState": "Shutdown",
        "CurrentState": "Rejected 1 s ago",
        "Error": error,
    }


def _inspected(box: Box) -> dict[str, Any]:
    return {
        "Id": box.id,
        "Name": f"/{box.name}",
        "State": {"Running": True, "Pid": 100 + int(box.id.removeprefix("box"))},
        "Config": {"Labels": box.labels, "Hostname": box.hostname},
        "NetworkSettings": {"Networks": box.networks, "Ports": box.ports},
    }
