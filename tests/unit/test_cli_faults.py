"""`harness fault`: mistakes are told before anything is touched, and what was felt is said."""

from __future__ import annotations

import pytest

from harness import session
from harness.cli.main import main
from harness.model.errors import UsageError
from harness.ports import Cluster, Host
from harness.session import striking
from tests.fakes import FakeHost, FakeLifecycle, FakeWire


@pytest.fixture
def lifecycle(monkeypatch: pytest.MonkeyPatch) -> FakeLifecycle:
    nodes: dict[str, Host] = {name: FakeHost(name) for name in ("n1", "n2", "n3")}
    made = FakeLifecycle(nodes)
    cluster = Cluster("harness-r1", "r1", "fake", nodes, FakeWire(FakeHost("wire", address="")), made)
    monkeypatch.setattr(striking, "find", lambda _name: cluster)
    return made


def test_a_fault_holds_after_the_command_and_says_by_what_it_was_felt(
    lifecycle: FakeLifecycle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fault", "inject", "r1", "pause", "n3", "n2"]) == 0
    assert capsys.readouterr().out == "pause felt: n2 is frozen, n3 is frozen\n"
    assert lifecycle.states == {"n1": "running", "n2": "frozen", "n3": "frozen"}


def test_a_fault_that_is_not_felt_is_unknown(
    lifecycle: FakeLifecycle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lifecycle.stubborn = {"n2"}
    monkeypatch.setattr(striking, "SHOWS_WITHIN_S", 0.0)
    assert main(["fault", "inject", "r1", "pause", "n2"]) == 2
    assert "pause NOT FELT: n2 is running" in capsys.readouterr().out


def test_numbers_of_nodes_are_targets_as_well(lifecycle: FakeLifecycle) -> None:
    session.inject("r1", "pause", ["majority"], "both", {})
    assert list(lifecycle.states.values()).count("frozen") == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["meteor", "n2"], "no fault is called 'meteor'"),
        (["pause", "n9"], "harness-r1 has no node 'n9' to strike"),
        (["pause", "n2", "--with", "port=1"], "the fault pause has no key 'port'"),
        (["block-port", "n2", "--with", "prot=1"], "the fault block-port has no key 'prot'"),
        (["block-port", "n2", "--with", "port=99999"], "the fault block-port: port: "),
        (["block-port", "n2", "--with", "port"], "--with takes KEY=VALUE"),
        (["pause", "n2", "--direction", "up"], "--direction is both, in or out, not 'up'"),
    ],
)
def test_mistakes_are_told_before_anything_is_touched(
    lifecycle: FakeLifecycle, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["fault", "inject", "r1", *arguments]) == 64
    assert told in capsys.readouterr().err
    assert set(lifecycle.states.values()) == {"running"}


def test_healing_a_fault_that_there_is_not_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="no fault is called 'meteor'"):
        session.heal("r1", ["meteor"])


def test_the_list_names_every_fault_with_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fault", "list"]) == 0
    told = capsys.readouterr().out
    assert "block-port" in told
    assert "port=4789" in told
