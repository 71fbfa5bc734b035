"""Pods on their way out: what the API says has ended is removed, what runs is waited for, what stays is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from harness.model.errors import DeadlineExceeded
from harness.ports import Result
from harness.transport import pods
from harness.transport.pods import await_gone
from tests.fakes import FakeHost

State = dict[str, Any]
RUNNING: State = {"running": {}}
ENDED: State = {"terminated": {}}
NOT_YET: State = {"waiting": {}}


def pod(name: str, *states: State, going: bool = True, node: str = "n1") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "s", "uid": f"uid-{name}"}
    statuses = [{"state": state} for state in states]
    return {
        "metadata": {**metadata, **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {})},
        "spec": {"nodeName": node},
        "status": {"containerStatuses": statuses} if statuses else {},
    }


class Api:
    """Answers each question by the next of `views`, the last one again and again; keeps what was forced."""

    def __init__(self, *views: list[dict[str, Any]]) -> None:
        self.views = list(views)
        self.forced: list[list[str]] = []
        answers = {("kubectl", "get"): self._get, ("kubectl", "--namespace", "s", "delete"): self._delete}
        self.host = FakeHost(answers=answers)

    def _get(self, _argv: Sequence[str], _stdin: bytes) -> Result:
        view = self.views.pop(0) if len(self.views) > 1 else self.views[0]
        return Result(0, json.dumps({"items": view}), "")

    def _delete(self, argv: Sequence[str], _stdin: bytes) -> Result:
        assert "--grace-period=0" in argv
        self.forced.append([word for word in argv[5:] if not word.startswith("-")])
        return Result(0, "", "")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods, "POLL_S", 0.0)


def gone(api: Api, timeout_s: float = 5.0, only: set[str] | None = None) -> None:
    await_gone(api.host, ("kubectl",), ("-l", "x=y"), timeout_s=timeout_s, only=only)


def test_what_runs_is_waited_for_and_only_what_has_ended_is_forced() -> None:
    web, edge = pod("web", RUNNING), pod("edge", ENDED)
    api = Api([web, edge], [web], [pod("web", ENDED, ENDED)], [])
    gone(api)
    assert api.forced == [["edge"], ["web"]]


def test_a_pod_of_which_one_container_still_runs_has_not_ended() -> None:
    api = Api([pod("web", ENDED, RUNNING)], [])
    gone(api)
    assert api.forced == []


def test_a_pod_that_nobody_told_to_go_is_not_forced() -> None:
    api = Api([pod("web", NOT_YET, going=False)])
    with pytest.raises(DeadlineExceeded, match="still there after 0 s: web"):
        gone(api, timeout_s=0.0)
    assert api.forced == []


def test_a_pod_that_no_kubelet_has_said_anything_of_is_left_to_it() -> None:
    api = Api([pod("web")], [pod("pending", node="")], [])
    gone(api)
    assert api.forced == [["pending"]]


def test_others_than_those_that_are_meant_may_stay() -> None:
    api = Api([pod("db-0", ENDED), pod("db-1", RUNNING, going=False)], [pod("db-1", RUNNING, going=False)])
    gone(api, only={"uid-db-0"})
    assert api.forced == [["db-0"]]


@pytest.mark.parametrize(
    ("volume", "forced"),
    [
        ({"hostPath": {"path": "/x"}}, [["db"]]),
        ({"emptyDir": {}}, [["db"]]),
        ({"persistentVolumeClaim": {"claimName": "x"}}, []),
        ({"nfs": {"server": "n1", "path": "/x"}}, []),
    ],
)
def test_what_a_kubelet_has_mounted_it_unmounts_first(volume: dict[str, Any], forced: list[list[str]]) -> None:
    row = pod("db", ENDED)
    row["spec"]["volumes"] = [{"name": "v0", **volume}]
    api = Api([row], [row], [])
    gone(api)
    assert api.forced[:1] == forced
