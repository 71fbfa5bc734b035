"""A program that takes the words of the docker client and keeps its objects in one JSON file.

`main(STATE, docker's arguments)`: as much as the provider says to an engine, no more: what it
does not know ends with code 64, so that a test cannot pass by a word that nobody understood.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
from typing import Any, NoReturn

FLAGS = {
    "--detach",
    "--privileged",
    "--quiet",
    "--force-rm",
    "--force",
    "--volumes",
    "--all",
    "--no-trunc",
    "-q",
    "-i",
    "-f",
    "-v",
}
#: Volumes are told with the engine's time zone.
VOLUME_CREATED = "2026-11-24T23:43:01+01:00"
CREATED = "2026-11-24 23:43:01 +0100 CET"


def end(code: int, message: str) -> NoReturn:
    sys.stderr.write(message + "\n")
    raise SystemExit(code)


def parsed(arguments: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Options before the first plain word (each with all its values), and that word with what follows."""
    options: dict[str, list[str]] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word in FLAGS:
            options[word] = []
        else:
            options.setdefault(name, []).append(value if equals else rest.pop(0))
    return options, rest


def labels_of(options: dict[str, list[str]]) -> dict[str, str]:
    return dict(text.split("=", 1) for text in options.get("--label", []))


def shown(template: str, thing: dict[str, Any]) -> str:
    """A Go template of fields and labels."""

    def value(match: re.Match[str]) -> str:
        label = match.group("label")
        return str(thing["labels"].get(label, "") if label else thing[match.group("field")])

    return re.sub(r'\{\{\.(?:Label "(?P<label>[^"]+)"|(?P<field>\w+))\}\}', value, template)


def fits(by: str, thing: dict[str, Any]) -> bool:
    """A filter of `docker ... ls`: a label with or without its value, or how a name begins."""
    kind, _, rest = by.partition("=")
    if kind == "name":
        return str(thing["Name"]).startswith(rest.removeprefix("^"))
    key, _, value = rest.partition("=")
    return not key or (key in thing["labels"] and value in ("", thing["labels"][key]))


class Engine:
    def __init__(self, state: dict[str, Any], stdin: str) -> None:
        self.state = state
        self.stdin = stdin
        self.containers: dict[str, Any] = state["containers"]

    def answer(self, words: list[str]) -> str:
        for failure in self.state["failures"]:
            if failure["times"] and failure["when"] in " ".join(words):
                failure["times"] -= 1
                self._lose(failure["loses"])
                if failure["late"]:
                    self._answer(words)
                end(failure["code"], failure["says"])
        return self._answer(words)

    def _answer(self, words: list[str]) -> str:
        for length in (2, 1):
            name = "_".join(words[:length]).replace("-", "_")
            handler = getattr(self, f"on_{name}", None)
            if handler is not None:
                text: str = handler(words[length:])
                return text
        end(64, f"the fake engine does not know: {words}")

    def _lose(self, text: str) -> None:
        """Everything whose name holds `text` is gone: another client has removed it."""
        for kind in ("containers", "networks", "volumes") if text else ():
            for name in [name for name in self.state[kind] if text in name]:
                del self.state[kind][name]

    # --- the engine

    def on_info(self, words: list[str]) -> str:
        """In no swarm."""
        swarm = {"LocalNodeState": "inactive", "ControlAvailable": "false", "NodeID": ""}
        return swarm[parsed(words)[0]["--format"][0].removeprefix("{{.Swarm.").removesuffix("}}")]

    # --- images

    def on_version(self, _words: list[str]) -> str:
        return str(self.state["version"])

    def on_image_inspect(self, words: list[str]) -> str:
        name = words[-1]
        images = self.state["images"]
        image = images.get(name, name)
        if image not in images.values():
            end(1, f"Error response from daemon: No such image: {name}")
        return json.dumps([{"Id": image, "RepoTags": [tag for tag in images if images[tag] == image]}])

    def on_image_import(self, words: list[str]) -> str:
        _, [source, tag] = parsed(words)
        self.state["images"][tag] = f"sha256:{os.path.getsize(source):064x}"
        return self.state["images"][tag]  # type: ignore[no-any-return]

    def on_image_save(self, words: list[str]) -> str:
        options, [name] = parsed(words)
        with open(options["--output"][0], "w") as archive:
            archive.write(f"image {name}\n")
        return ""

    def on_save(self, words: list[str]) -> str:
        return f"image {words[-1]}\n"

    def on_image_pull(self, words: list[str]) -> str:
        self.state["images"][words[-1]] = "sha256:" + "b" * 64
        return words[-1]

    def on_build(self, words: list[str]) -> str:
        options, _ = parsed(words)
        self.state["images"][options["--tag"][0]] = "sha256:" + "c" * 64
        return ""

    # --- containers

    def on_container_run(self, words: list[str]) -> str:
        options, [image, *command] = parsed(words)
        name = options["--name"][0]
        if image not in self.state["images"]:
            end(125, f"Unable to find image {image}")
        if name in self.containers:
            end(125, f'Conflict. The container name "/{name}" is already in use')
        number = len(self.state["calls"])
        self.containers[name] = {
            "Names": name, "State": "running", "CreatedAt": CREATED, "Id": f"{number:064x}",
            "iflink": 100 + number, "ip": f"10.0.0.{number % 250}", "network": options.get("--network", [""])[0],
            "labels": labels_of(options), "image": image, "command": command, "options": options, "loaded": [],
            "frozen": False,
        }  # fmt: skip
        for mount in options.get("--mount", []):
            fields = dict(part.split("=", 1) for part in mount.split(","))
            key, value = fields["volume-label"].split("=")
            self.state["volumes"][fields["source"]] = {"Name": fields["source"], "labels": {key: value}}
        return str(self.containers[name]["Id"])

    def on_container_rm(self, words: list[str]) -> str:
        missing = [name for name in parsed(words)[1] if self.containers.pop(name, None) is None]
        if missing:
            end(1, f"No such container: {missing[0]}")
        return ""

    def on_container_inspect(self, words: list[str]) -> str:
        found = [self._container(word) for word in words]
        return json.dumps(
            [
                {
                    "Id": container["Id"],
                    "Name": "/" + container["Names"],
                    "NetworkSettings": {"Networks": {container["network"]: {"IPAddress": container["ip"]}}},
                }
                for container in found
            ]
        )

    def on_inspect(self, words: list[str]) -> str:
        return shown(parsed(words)[0]["--format"][0], self._container(words[-1]))

    def on_ps(self, words: list[str]) -> str:
        return self._listed(self.containers, parsed(words)[0])

    def on_logs(self, words: list[str]) -> str:
        return f"log of {self._container(words[-1])['Names']}"

    def on_kill(self, words: list[str]) -> str:
        container = self._container(words[-1])
        if container["State"] != "running":
            end(1, f"container {words[-1]} is not running")
        container["State"] = "exited"
        return ""

    def on_start(self, words: list[str]) -> str:
        self._container(words[-1])["State"] = "running"
        return ""

    def on_exec(self, words: list[str]) -> str:
        _, [name, *command] = parsed(words)
        container = self._container(name)
        inside = command[4:] if command[0] == "timeout" else command
        return Inside(self.state, container).answer(inside, self.stdin)

    def _container(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] | None = next(
            (c for c in self.containers.values() if name in (c["Names"], c["Id"])), None
        )
        if found is None:
            end(1, f"No such container: {name}")
        return found

    # --- networks and volumes

    def on_network_create(self, words: list[str]) -> str:
        options, [name] = parsed(words)
        subnet = options["--subnet"][0]
        if subnet in self.state["taken"]:
            end(1, "Pool overlaps with other one on this address space")
        self.state["networks"][name] = {"Name": name, "labels": labels_of(options), "Subnet": subnet}
        return name

    def on_network_ls(self, words: list[str]) -> str:
        options, _ = parsed(words)
        if "-q" in options:
            return "\n".join(self.state["networks"])
        return self._listed(self.state["networks"], options)

    def on_network_inspect(self, words: list[str]) -> str:
        names = parsed(words)[1]
        missing = [name for name in names if name not in self.state["networks"]]
        found = [self.state["networks"][name]["Subnet"] for name in names if name not in missing]
        if missing and not found:
            end(1, f"Error response from daemon: network {missing[0]} not found")
        return "\n".join(found)

    def on_network_rm(self, words: list[str]) -> str:
        return self._removed("networks", words)

    def on_volume_create(self, words: list[str]) -> str:
        options, [name] = parsed(words)
        self.state["volumes"][name] = {"Name": name, "labels": labels_of(options)}
        return name

    def on_volume_inspect(self, words: list[str]) -> str:
        options, names = parsed(words)
        found = [self.state["volumes"][name] for name in names if name in self.state["volumes"]]
        if options.get("--format") == ["{{json .}}"]:
            told = ({"Name": v["Name"], "CreatedAt": VOLUME_CREATED, "Labels": v["labels"]} for v in found)
            return "\n".join(map(json.dumps, told))
        return json.dumps([{"Name": words[-1], "Mountpoint": f"/var/lib/docker/volumes/{words[-1]}/_data"}])

    def on_volume_ls(self, words: list[str]) -> str:
        return self._listed(self.state["volumes"], parsed(words)[0])

    def on_volume_rm(self, words: list[str]) -> str:
        return self._removed("volumes", words)

    def _removed(self, kind: str, names: list[str]) -> str:
        missing = [name for name in names if self.state[kind].pop(name, None) is None]
        if missing:
            end(1, f"no such {kind}: {missing[0]}")
        return ""

    def _listed(self, things: dict[str, Any], options: dict[str, list[str]]) -> str:
        template = "{{.Id}}" if things is self.containers else "{{.Name}}"
        by = options.get("--filter", [""])[0]
        found = [thing for thing in things.values() if fits(by, thing)]
        return "\n".join(shown(options.get("--format", [template])[0], thing) for thing in found)


class Inside:
    """Commands inside a container: a node's, or the helper's on the wire."""

    def __init__(self, state: dict[str, Any], container: dict[str, Any]) -> None:
        self.state = state
        self.container = container

    def answer(self, argv: list[str], stdin: str) -> str:
        match argv:
            case ["docker", "info", *_]:
                return str(self.state["driver"])
            case ["docker", "version", *_]:
                return str(self.state.get("inner", "26.1.5+dfsg1"))
            case ["docker", "load", "--quiet"]:
                self.container["loaded"].append(stdin.strip())
                return ""
            case ["cat", "/sys/class/net/eth0/iflink"]:
                return str(self.container["iflink"])
            case ["ip", "-json", "link", "show"]:
                links = [c["iflink"] for c in self.state["containers"].values()]
                return json.dumps([{"ifindex": link, "ifname": f"veth{link}"} for link in links])
            case ["nft", "-j", "list", "tables"]:
                tables = [{"table": {"family": "bridge", "name": name}} for name in self.state["tables"]]
                return json.dumps({"nftables": [{"metainfo": {}}, *tables]})
            case ["nft", "delete", "table", "bridge", name]:
                self.state["tables"].remove(name)
                return ""
            case ["python3", "-c", _, action, container]:
                return json.dumps({container: self._signalled(action, container)})
            case ["sh", "-c", script]:
                return script
            case ["journalctl", *_]:
                return f"journal of {self.container['Names']}"
            case ["ctr", "--namespace=k8s.io", "images", "import", "-"]:
                self.container["loaded"].append(stdin.strip())
                name = stdin.rsplit(maxsplit=1)[-1]
                self.container.setdefault("has", {})[name] = self.state["images"][name]
                return ""
            case ["sh", "-c", script, "sh", image, number] if "images check" in script:
                return "" if self.container.get("has", {}).get(image) == number else end(1, "it is not there")
            case ["env", _, "kubectl", "create", "-f", "-"] if "refused" in stdin:
                end(1, 'no matches for kind "Nonsense"')
            case ["env", _, "kubectl", "create", "-f", "-"]:
                self.state.setdefault("created", []).append([self.container["Names"], stdin])
                return ""
            case ["env", _, "kubectl", "get", *_]:
                return json.dumps({"items": self.state.get("kubernetes", self._all_ready())})
        end(64, f"the fake container does not know: {argv}")

    def _all_ready(self) -> list[dict[str, Any]]:
        """The objects of a cluster of kind's that is as it should be."""
        cluster = self.container["labels"].get("io.x-k8s.kind.cluster")
        nodes = [
            c for c in self.state["containers"].values() if c["labels"].get("io.x-k8s.kind.cluster") == cluster
        ]
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        named = [
            {"kind": "Node", "metadata": {"name": f"n{i}"}, "status": ready} for i in range(1, len(nodes) + 1)
        ]
        system = {"namespace": "kube-system"}
        net = {"desiredNumberScheduled": len(nodes), "numberReady": len(nodes)}
        return [
            *named,
            {"kind": "DaemonSet", "metadata": {"name": "harness-cni", **system}, "status": net},
            {
                "kind": "Deployment",
                "metadata": {"name": "coredns", **system},
                "spec": {},
                "status": {"readyReplicas": 1},
            },
        ]

    def _signalled(self, action: str, container: str) -> dict[str, int]:
        meant = next(c for c in self.state["containers"].values() if c["Id"] == container)
        if action != "count":
            meant["frozen"] = action == "freeze"
        live = 5 if meant["State"] == "running" else 0
        stubborn = self.state["stubborn"] if meant["frozen"] else 0
        return {"stopped": live - stubborn if meant["frozen"] else 0, "all": live}


def main(path: str, words: list[str]) -> None:
    # before the lock: what comes through a pipe may be the answer of another of these programs
    stdin = sys.stdin.read() if "-i" in words else ""
    with open(path, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        words = words[2:] if words[:1] == ["--host"] else words
        state["calls"].append(words)
        try:
            text = Engine(state, stdin).answer(words)
            sys.stdout.write(f"{text}\n" if text else "")
        finally:
            file.seek(0)
            file.truncate()
            json.dump(state, file)
