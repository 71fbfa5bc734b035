"""What a right file becomes, what a file with many mistakes says, and what is no file for us."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.loader import load
from harness.model.catalog import Catalog
from harness.model.errors import TopologyError
from harness.model.topology import Check, Fault, Mount, Port
from tests.loader_catalog import CATALOG, problem, problems, read

DATA = Path(__file__).parent / "data" / "topologies"


def test_long_and_short_forms_become_one_topology() -> None:
    topology = load(DATA / "whole.yaml", CATALOG)
    assert topology.services["web"].networks["app"].aliases == ["www"]
    assert list(topology.services["web"].networks) == ["app", "small"]
    assert topology.services["web"].volumes[1] == Mount(source="plain", target="/scratch", read_only=True)
    assert topology.services["web"].environment == {"MODE": "fast", "EMPTY": ""}
    assert topology.services["web"].command == ["sh", "-c", "sleep infinity"]
    assert topology.services["edge"].environment == {"DEBUG": "true", "LEVEL": "3"}
    assert topology.services["probe"].ports == [Port(target=80, published=8001, protocol="udp")]
    assert topology.networks["small"].mtu == 1400


def test_merge_keys_bring_in_what_is_not_there() -> None:
    deploy = load(DATA / "whole.yaml", CATALOG).services["vip"].effective_deploy
    assert (deploy.mode, deploy.endpoint_mode) == ("global", "vip")


def test_own_keys_win_over_merged_ones_and_earlier_sources_over_later() -> None:
    text = """
name: x
services:
  a: {deploy: &a {replicas: 1, endpoint_mode: vip}}
  b: {deploy: &b {replicas: 2, mode: global}}
  c: {deploy: {<<: [*a, *b], endpoint_mode: dnsrr}}
"""
    deploy = read(text).services["c"].effective_deploy
    assert (deploy.replicas, deploy.mode, deploy.endpoint_mode) == (1, "global", "dnsrr")


def test_checks_have_their_defaults_filled_in() -> None:
    assert load(DATA / "whole.yaml", CATALOG).checks == [
        Check(
            kind="connectivity",
            id="connectivity",
            params={"protocols": ["icmp", "tcp", "udp"], "services": [], "timeout_s": 1.0},
        ),
        Check(kind="mtu", id="mtu", params={"network": "app", "packet_bytes": None}),
        Check(kind="mtu", id="mtu-small", params={"network": "small", "packet_bytes": 1400}),
        Check(
            kind="concurrent-append",
            id="concurrent-append",
            params={"volume": "shared", "writers_per_node": 2, "duration_s": 5.0, "shape": None},
            faults=[Fault(fault="partition")],
        ),
    ]


def test_an_omitted_store_is_the_only_one_of_the_drivers_kind() -> None:
    topology = load(DATA / "whole.yaml", CATALOG)
    assert topology.volumes["shared"].store == "pool"
    assert topology.volumes["plain"].store is None


def test_ten_mistakes_are_named_in_one_go() -> None:
    path = DATA / "ten-mistakes.yaml"
    with pytest.raises(TopologyError) as caught:
        load(path, CATALOG)
    found = [(p.file, p.line, p.column, p.key, p.nearest) for p in caught.value.problems]
    assert found == [
        (str(path), line, column, key, near)
        for line, column, key, near in [
            (1, 7, "name", None),
            (3, 13, "cluster.provider", None),
            (5, 3, "cluster.hartbeat_s", "heartbeat_s"),
            (7, 17, "networks.app.driver", "overlay"),
            (8, 53, "networks.other.ipam.config[0].subnet", None),
            (11, 24, "services.web.deploy.replicas", None),
            (12, 16, "services.web.networks[0]", "app"),
            (13, 15, "services.web.volumes[0]", None),
            (16, 13, "services.edge.ports[0]", None),
            (17, 17, "services.probe.node", None),
            (19, 5, "checks[0].conectivity", "connectivity"),
        ]
    ]
    assert caught.value.exit_code == 64


def test_a_problem_reads_as_one_line() -> None:
    found = problem("name: x\nnetworks:\n  app: {driver: overlai}\n")
    expected = "x.yaml:3:17: networks.app.driver: unknown network driver 'overlai' (did you mean 'overlay'?)"
    assert str(found) == expected


def test_the_driver_pass_finds_the_place_of_its_keys() -> None:
    said = [
        ("networks.app.driver_opts.com.docker.network.driver.mtu", "too much"),
        ("networks.app.ipam.config.0.subnet", "too small"),
        ("checks.mtu.network", "not this one"),
        ("networks.app.internal", "is the default"),
        ("networks.app.", "has no key"),
        ("", "the whole file"),
    ]
    text = """name: x
networks:
  app:
    driver: overlay
    driver_opts: {com.docker.network.driver.mtu: 1400}
    ipam: {config: [{subnet: 10.1.0.0/16}]}
checks:
  - mtu: {network: app}
"""
    catalog = _saying(said)
    assert [(p.line, p.column, p.key, p.message) for p in problems(text, catalog=catalog)] == [
        (1, 1, "", "the whole file"),
        (3, 3, "networks.app", "has no key"),
        (3, 3, "networks.app.internal", "is the default"),
        (5, 50, "networks.app.driver_opts.com.docker.network.driver.mtu", "too much"),
        (6, 30, "networks.app.ipam.config[0].subnet", "too small"),
        (8, 20, "checks[0].mtu.network", "not this one"),
    ]


def test_the_driver_pass_repeats_nothing_and_waits_for_right_names() -> None:
    catalog = _saying([("networks.b.ipam.config.0.subnet", "overlaps, too"), ("networks.a", "and more")])
    overlap = "name: x\nnetworks:\n  a: {driver: %s, ipam: {config: [{subnet: 10.1.0.0/16}]}}\n"
    overlap += "  b: {driver: overlay, ipam: {config: [{subnet: 10.1.1.0/24}]}}\n"
    assert [p.key for p in problems(overlap % "overlay", catalog=catalog)] == [
        "networks.a",
        "networks.b.ipam.config[0].subnet",
    ]
    assert "networks.a" not in [p.key for p in problems(overlap % "overlai", catalog=catalog)]


def _saying(said: list[tuple[str, str]]) -> Catalog:
    return replace(CATALOG, problems=lambda _topology: said)


# --- what is no topology file ------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(TopologyError) as caught:
        load(path, CATALOG)
    (found,) = caught.value.problems
    assert found.file == str(path)
    return found.message


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.yaml")
    assert "it is a directory" in refused(tmp_path)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "not a regular file" in refused(tmp_path / "pipe.yaml")


def test_a_path_that_cannot_be_one_is_refused() -> None:
    assert "no path" in refused(Path("a\0b"))


@pytest.mark.parametrize("data", [b"\x7fELF\x02\xff\xfe", "name: é".encode("latin-1"), "name: x".encode("utf-16")])
def test_binary_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    assert "binary" in refused(path)


def test_a_file_larger_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\n" + "#" * (1 << 20))
    assert "larger than 1 MiB" in refused(path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~"])
def test_an_empty_file_is_refused(text: str) -> None:
    assert "is empty" in problem(text).message


@pytest.mark.parametrize("text", ["- name", "just words", "42"])
def test_a_root_that_is_no_mapping_is_refused(text: str) -> None:
    assert "must be a mapping (name: ..." in problem(text).message
