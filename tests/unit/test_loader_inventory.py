"""Inventories: hosts that exist, with every mistake at its place, and no secret in any message."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.loader import load_inventory
from harness.model.errors import TopologyError, UsageError
from harness.model.inventory import Inventory
from harness.providers.existing import hosts_of, login_of

EXAMPLE = Path(__file__).parents[2] / "docs" / "hosts.yaml"


def inventory(folder: Path, text: str) -> Inventory:
    path = folder / "hosts.yaml"
    path.write_text(text)
    return load_inventory(path)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        inventory(folder, text)
    return [f"{p.line}: {p.key}: {p.message}" for p in caught.value.problems]


def test_the_example_is_right_and_the_manager_comes_first() -> None:
    hosts = hosts_of(load_inventory(EXAMPLE))

    assert {name: host.address for name, host in hosts.items()} == {
        "n1": "192.0.2.11",
        "n2": "192.0.2.12",
        "n3": "198.51.100.13",
    }
    third = hosts["n3"].login
    assert (str(third), third.sudo) == ("admin@node3.example.org:2222", True)
    assert third.jump is not None
    assert str(third.jump) == "hop@gate.example.org:22"


def test_a_slow_host_is_given_time(tmp_path: Path) -> None:
    text = """
defaults: {slowness: 12}
hosts: [{address: 10.0.0.5}, {address: 10.0.0.6, slowness: 2}]
"""
    hosts = hosts_of(inventory(tmp_path, text))
    assert {name: host.slowness for name, host in hosts.items()} == {"n1": 12, "n2": 2}
    assert {host.slowness for host in hosts_of(load_inventory(EXAMPLE)).values()} == {1}
    [told] = mistakes(tmp_path, "hosts: [{address: 10.0.0.5, slowness: 0.5}]\n")
    assert "slowness" in told


def test_what_a_host_says_wins_over_the_defaults_and_a_manager_moves_to_the_front(tmp_path: Path) -> None:
    found = inventory(
        tmp_path,
        """
host_keys: accept-new
known_hosts: known
defaults: {user: admin, port: 2222, key: keys/lab, sudo: true}
hosts:
  - {address: 10.0.0.5, user: root, sudo: false, jump: 10.9.9.9}
  - {address: 10.0.0.6, role: manager}
""",
    )
    first, second = (login_of(found, listed) for listed in found.ordered)

    assert (str(first), first.sudo, first.accept_new) == ("admin@10.0.0.6:2222", True, True)
    assert (str(second), second.sudo) == ("root@10.0.0.5:2222", False)
    assert second.jump is not None
    assert str(second.jump) == "root@10.9.9.9:22"
    assert (first.key, first.known_hosts) == (tmp_path / "keys" / "lab", tmp_path / "known")


def test_every_mistake_is_told_at_its_place(tmp_path: Path) -> None:
    told = mistakes(
        tmp_path,
        "host_keys: off\nhosts:\n"
        "  - {address: 10.0.0.5, prot: 22}\n  - {address: node3}\n  - {address: -oProxy=x}\n",
    )

    assert told[0] == "1: host_keys: must be known or accept-new, not off"
    assert "3: hosts[0].prot: unknown key 'prot'" in told
    assert any("`wire` is missing" in text for text in told)
    assert any("hosts[2].address" in text for text in told)


@pytest.mark.parametrize("key", ["password", "passphrase", "sudo_password"])
def test_a_secret_is_refused_and_not_repeated(tmp_path: Path, key: str) -> None:
    told = " ".join(mistakes(tmp_path, f"hosts:\n  - {{address: 10.0.0.5, {key}: hidden}}\n"))

    assert f"{key} does not belong here" in told
    assert "hidden" not in told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("- 10.0.0.5\n", "must be a mapping"),
        ("hosts: []\n", "at least 1"),
        ("hosts: [{address: 10.0.0.5}, {address: 10.0.0.5}]\n", "10.0.0.5 stands twice"),
        (
            "hosts: [{address: 10.0.0.5, role: manager}, {address: 10.0.0.6, role: manager}]\n",
            "one host is the manager",
        ),
    ],
)
def test_what_is_no_inventory(tmp_path: Path, text: str, why: str) -> None:
    assert why in " ".join(mistakes(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        load_inventory(tmp_path / "nowhere.yaml")
