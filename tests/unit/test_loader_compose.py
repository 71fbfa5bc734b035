"""Compose files become topologies that load, with an account of every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import loader
from harness.cli.main import main
from harness.loader.compose import DEFAULT_REASON, Converted, from_compose
from harness.model.errors import UsageError
from harness.session import CATALOG

COMPOSE = """name: My_Shop
x-common: &common
  restart: always
services:
  web:
    <<: *common
    image: nginx:${TAG:-1.27}
    build: .
    command: ["nginx", "-g", "daemon off;"]
    environment: {MODE: prod, KEY: "${SECRET}"}
    ports: ["127.0.0.1:8080:80", "3000-3005:3000"]
    networks: {front: {aliases: [www], priority: 5}}
    volumes:
      - static_files:/srv:ro
      - ./conf:/etc/nginx
      - /etc/ssl:/ssl
      - /opt/shop:/shop
      - type: tmpfs
        target: /tmp
    depends_on: [db]
    healthcheck: {test: curl localhost}
    deploy: {replicas: 2, resources: {limits: {cpus: "1"}}}
  db:
    image: postgres
    user: "999"
    read_only: true
    cap_drop: [ALL]
    volumes: [pg-data:/var/lib/postgresql/data]
  agent:
    image: agent
    network_mode: host
    deploy: {mode: global}
networks:
  front: {driver: bridge, ipam: {config: [{subnet: 172.28.0.0/16}, {subnet: "fd00::/64"}]}}
  unused: {}
volumes:
  static_files: {}
  pg-data: {driver: rexray}
secrets: {token: {file: ./token}}
"""


def convert(text: str = COMPOSE) -> Converted:
    return from_compose(text, "folder")


def account(converted: Converted) -> dict[str, tuple[int, str, str]]:
    return {entry.key: (entry.line, entry.verb, entry.why) for entry in converted.entries}


def test_what_comes_out_is_a_topology() -> None:
    made = convert().topology
    topology = loader.loads(yaml.safe_dump(made, sort_keys=False), "x.yaml", CATALOG)
    assert topology.name == "my-shop"
    assert topology.services["web"].effective_deploy.replicas == 2
    assert topology.services["db"].user == "999"
    assert topology.services["agent"].network_mode == "host"
    assert topology.networks["front"].driver == "overlay"
    assert topology.networks["front"].subnets == ["172.28.0.0/16"]
    assert set(topology.networks) == {"default", "front"}
    assert [check.kind for check in topology.checks] == ["connectivity", "dns", "concurrent-append"]


def test_every_key_is_accounted_for_with_its_line() -> None:
    found = account(convert())
    assert found["services.web.image"] == (7, "taken", "")
    assert found["services.web.build"][:2] == (8, "left out")
    assert found["services.web.depends_on"][:2] == (20, "left out")
    assert found["services.web.healthcheck"][1] == "left out"
    assert found["services.web.deploy.resources"][1:] == ("left out", DEFAULT_REASON)
    assert found["services.web.networks.front.priority"][1] == "left out"
    assert found["services.web.ports[0]"][1] == "changed"
    assert found["services.web.ports[1]"][1] == "left out"
    assert "Compose ran on" in found["services.web.volumes[1]"][2]
    assert "accounts, keys" in found["services.web.volumes[2]"][2]
    assert found["services.web.volumes[3]"] == (17, "taken", "")
    assert found["networks.front"][1:] == ("changed", "driver bridge does not reach other hosts; overlay does")
    assert found["networks.front.ipam"][1] == "left out"
    assert found["networks.unused"][1:] == ("left out", "no service is on it")
    assert found["volumes.pg-data"][1] == "changed"
    assert found["secrets"][1] == "left out"
    assert found["x-common"][1] == "left out"


def test_variables_are_replaced_by_their_defaults_and_that_is_said() -> None:
    converted = convert()
    assert converted.topology["services"]["web"]["image"] == "nginx:1.27"
    said = [entry.why for entry in converted.entries if entry.key == "services.web.image"]
    assert "${TAG:-1.27} is '1.27', its default" in said
    assert any("${SECRET} has no default: left empty" in entry.why for entry in converted.entries)
    dollars = convert("services: {a: {image: x, command: 'echo $$HOME'}}").topology
    assert dollars["services"]["a"]["command"] == "echo $HOME"


def test_ten_keys_that_are_not_supported_are_ten_lines() -> None:
    keys = "build: .|depends_on: [b]|healthcheck: {}|secrets: [s]|configs: [c]|extends: {}|profiles: [p]|" \
           "privileged: true|devices: [d]|sysctls: {}"  # fmt: skip
    body = "\n".join(f"    {line}" for line in keys.split("|"))
    converted = convert(f"services:\n  a:\n    image: x\n{body}\n")
    left = [entry for entry in converted.entries if entry.verb == "left out"]
    assert [entry.line for entry in left] == list(range(4, 14))
    assert all(entry.why for entry in left)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "no YAML"),
        ("- a", "no `services`"),
        ("services: [a]", "no `services`"),
        ("services: {a: 3}", "line 1: service 'a' is no mapping"),
        ("services: {a: {}}\nnetworks: [a]", "line 2: `networks` is no mapping"),
        ("x" * (2 << 20), "at most"),
    ],
)
def test_what_is_no_compose_file_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        convert(text)


NAMES = st.text(alphabet="abcXYZ019_-.", min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(
    services=st.dictionaries(
        NAMES,
        st.fixed_dictionaries(
            {},
            optional={
                "image": st.just("x"),
                "ports": st.lists(st.sampled_from(["80", "8080:80", "53:53/udp", "1-2:3", "x"]), max_size=2),
                "volumes": st.lists(st.sampled_from(["a:/a", "./b:/b", "/c:/c:ro", "/d", "~/e:/e"]), max_size=2),
                "networks": st.lists(st.sampled_from(["n", "m"]), max_size=2, unique=True),
                "deploy": st.sampled_from([{}, {"mode": "global"}, {"replicas": 3}, {"mode": "replicated-job"}]),
                "network_mode": st.sampled_from(["host", "none", "service:x"]),
                "restart": st.just("always"),
            },
        ),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_is_in_it_a_name_or_a_refusal_comes_out(services: dict[str, Any]) -> None:
    converted = convert(yaml.safe_dump({"services": services}))
    assert set(converted.topology) <= {"name", "networks", "volumes", "services", "checks"}
    for name in converted.topology["services"]:
        assert name == name.lower()
    assert all(entry.line >= 1 for entry in converted.entries)


# --- the verb


def test_the_verb_writes_a_file_that_validates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compose, out = tmp_path / "compose.yml", tmp_path / "out.yaml"
    compose.write_text(COMPOSE)
    assert main(["init", "--from", str(compose), "-o", str(out)]) == 0
    told = capsys.readouterr().err
    assert "line 8: services.web.build: left out: images are not built" in " ".join(told.split())
    assert main(["validate", str(out)]) == 0


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    compose, out = tmp_path / "compose.yml", tmp_path / "out.yaml"
    compose.write_text(COMPOSE)
    out.write_text("mine")
    assert main(["init", "--from", str(compose), "-o", str(out)]) == 64
    assert out.read_text() == "mine"
    assert main(["init", "--from", str(compose), "-o", str(out), "--force"]) == 0


def test_what_would_be_no_topology_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compose, out = tmp_path / "compose.yml", tmp_path / "out.yaml"
    compose.write_text(
        "services: {a: {image: x, networks: [n, m]}}\n"
        "networks: {n: {ipam: {config: [{subnet: 10.9.0.0/16}]}}, m: {ipam: {config: [{subnet: 10.9.1.0/24}]}}}\n"
    )
    assert main(["init", "--from", str(compose), "-o", str(out)]) == 64
    assert not out.exists()
    assert "overlaps" in capsys.readouterr().err


def test_without_a_compose_file_it_is_a_topology_to_begin_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert main(["validate", "topology.yaml"]) == 0
    assert main(["init"]) == 64


def test_a_compose_file_that_is_not_there_is_64(tmp_path: Path) -> None:
    assert main(["init", "--from", str(tmp_path / "nothing.yml")]) == 64
