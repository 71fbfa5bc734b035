"""All shipped topologies in one run, as a user would: they share a cluster, pass, and leave nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.model.places import data_dir
from tests.cluster_cli import Ended, start
from tests.cluster_traces import Traces, assert_nothing_left

pytestmark = pytest.mark.cluster
#: overlay.yaml has tests of its own (test_run.py).
NAMES = [
    "overlay-isolation",
    "macvlan",
    "macvlan-swarm",
    "bridge",
    "dual-stack",
    "host",
    "bind-mounts",
    "local-volumes",
]
ALL_TIMEOUT_S = 400.0


@pytest.fixture(scope="module")
def ran(engine: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, dict[str, dict[str, Any]]]:
    """How it ended, and the results by topology."""
    runs, before = tmp_path_factory.mktemp("runs"), Traces.now()
    files = [data_dir("topologies") / f"{name}.yaml" for name in NAMES]
    ended = start("run", *files, "--runs-dir", runs, "--seed", "5").end(ALL_TIMEOUT_S)
    assert_nothing_left(before)
    found = [json.loads(path.read_text()) for path in Path(runs).glob("2*/results.json")]
    return ended, {results["topology"]: results for results in found}


def test_all_pass_on_one_cluster(ran: tuple[Ended, dict[str, dict[str, Any]]]) -> None:
    ended, results = ran
    assert ended.code == 0, ended.told
    assert {name: found["verdict"] for name, found in results.items()} == dict.fromkeys(NAMES, "pass")
    assert ended.stderr.count("starting 3 nodes") == 1
    assert ended.stderr.count(" again") >= len(NAMES) - 1


@pytest.mark.parametrize("name", NAMES)
def test_every_check_asserted_something(name: str, ran: tuple[Ended, dict[str, dict[str, Any]]]) -> None:
    for check in ran[1][name]["checks"]:
        assert check["correct"] > 0, check
        assert check["wrong"] == 0, check


@pytest.mark.parametrize(
    ("topology", "check", "promise"),
    [
        ("macvlan", "macvlan", "reached from its own node"),
        ("bridge", "bridge", "names exist on the default bridge"),
        ("host", "host", "isolated from its node's network"),
        ("bind-mounts", "bind-mount", "read_only protects the node's files"),
        ("local-volumes", "append-unshared", "shared"),
        ("local-volumes", "register-unshared", "shared"),
        ("local-volumes", "close-to-open-unshared", "shared"),
    ],
)
def test_known_limits_are_shown_and_fail_nothing(
    topology: str, check: str, promise: str, ran: tuple[Ended, dict[str, dict[str, Any]]]
) -> None:
    found = next(each for each in ran[1][topology]["checks"] if each["id"] == check)
    shown = next(each for each in found["promises"] if each["name"] == promise)
    assert (shown["expected"], shown["observed"]) == ("may", "broken")
    assert shown["source"]


def test_a_volume_that_is_not_shared_has_lost_nothing(ran: tuple[Ended, dict[str, dict[str, Any]]]) -> None:
    found = next(each for each in ran[1]["local-volumes"]["checks"] if each["id"] == "append-unshared")
    assert "not shared" in found["reason"]
    assert "lost" not in found["reason"]
