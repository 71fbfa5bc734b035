"""Probes by doing: one call a host, its own words for what is lacking, nothing left behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import pytest

from harness import features
from harness.features import FEATURES
from harness.model.errors import EnvironmentBroken
from harness.model.plan import Demand
from harness.model.verdict import Skip
from harness.ports import Cluster, Host, Result
from harness.transport.local import LocalHost
from tests.fakes import FakeHost

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: namespaces are made")


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_every_script_is_shell(name: str) -> None:
    argv = ["sh", "-n", "-c", FEATURES[name].script]
    checked = subprocess.run(argv, text=True, capture_output=True, timeout=10, check=False)
    assert checked.returncode == 0, checked.stderr


def test_a_clock_that_may_not_be_set_is_told_by_its_own_error() -> None:
    """In a user namespace nobody may set the machine's clock, whoever they are there."""
    argv = ["unshare", "--user", "--map-root-user", "sh", "-c", FEATURES["own-clock"].script]
    asked = subprocess.run(argv, text=True, capture_output=True, timeout=10, check=False)
    assert asked.returncode != 0
    told = asked.stdout + asked.stderr
    assert told.split()[0] in {"1", "a", "unshare:"}, told  # EPERM; a container; no namespaces here


def answering(name: str = "n1", **lacking: str) -> FakeHost:
    """A host that lacks these features, with these words."""

    def answer(argv: Sequence[str], _stdin: bytes) -> Result:
        asked = [feature for feature in FEATURES if f"echo {feature} ok" in argv[2]]
        lines = [f"{f} no {lacking[_python(f)]}" if _python(f) in lacking else f"{f} ok" for f in asked]
        return Result(0, "\n".join(lines), "")

    return FakeHost(name, answers={("sh", "-c"): answer})


def _python(feature: str) -> str:
    return feature.replace("-", "_")


def test_all_features_of_a_host_are_asked_in_one_call() -> None:
    host = answering(ipvs="no such file", esp="")
    assert features.probe(host, ["vxlan", "ipvs", "esp", "ipvs"]) == {"ipvs": "no such file", "esp": "refused"}
    assert len(host.ran) == 1
    assert host.ran[0][2].count("echo ipvs ok") == 1


def test_a_host_that_is_emulated_gets_more_time_for_each_feature() -> None:
    plain, slow = answering(), answering()
    setattr(slow, "slowness", 12.0)  # noqa: B010  # of guests only
    features.probe(plain, ["vxlan"])
    features.probe(slow, ["vxlan"])
    assert "timeout 4 " in plain.ran[0][2]
    assert "timeout 48 " in slow.ran[0][2]


def test_nothing_asked_is_no_call() -> None:
    host = answering()
    assert features.probe(host, []) == {}
    assert host.ran == []


def test_a_probe_that_gives_no_answer_is_no_feature_and_no_lack() -> None:
    host = FakeHost(answers={("sh", "-c"): Result(1, "vxlan ok\n", "sh: unshare: not found")})
    with pytest.raises(
        EnvironmentBroken, match=r"n1: the probe of ipvs gave no answer: (.|\n)*unshare: not found"
    ):
        features.probe(host, ["vxlan", "ipvs"])


def test_a_feature_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(KeyError):
        features.probe(answering(), ["teleport"])


def test_every_feature_says_what_mends_it() -> None:
    assert all(name == feature.name and feature.script and feature.mend for name, feature in FEATURES.items())


@root
@pytest.mark.parametrize("name", sorted(FEATURES))
def test_a_probe_on_this_machine_answers_and_leaves_nothing(name: str) -> None:
    lacks = features.probe(LocalHost(), [name])
    assert set(lacks) <= {name}
    links = subprocess.run(["ip", "-o", "link"], check=False, capture_output=True, text=True, timeout=30)
    assert "probe0" not in links.stdout


@root
def test_a_probe_whose_program_fails_is_told_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    doomed = features.Feature("vxlan", "networks", "echo 'it''s \"refused\"' >&2; exit 3", (), "nothing")
    monkeypatch.setattr(features.probes, "FEATURES", {"vxlan": doomed})
    assert features.probe(LocalHost(), ["vxlan"]) == {"vxlan": 'its "refused"'}


def cluster(*hosts: FakeHost) -> Cluster:
    found: dict[str, Host] = {host.name: host for host in hosts}
    return Cluster("harness-r1", "r1", "docker", found)


def test_a_demand_is_missing_where_one_node_lacks_it_with_the_first_ones_words() -> None:
    wanted = [Demand("vxlan", "network app"), Demand("ipvs", "service web", "vip")]
    live = cluster(answering("n1"), answering("n2", ipvs="two"), answering("n3", ipvs="three"))
    assert features.missing(live, wanted) == [(wanted[1], "ipvs (n2: two)")]


def test_a_demand_for_some_nodes_does_not_look_at_others() -> None:
    live = cluster(answering("n1"), answering("n2", esp="no"))
    assert features.missing(live, [Demand("esp", "network app", nodes=("n1",))]) == []
    [(_, what)] = features.missing(live, [Demand("esp", "network app", nodes=("n2",))])
    assert what == "esp (n2: no)"


def test_skips_are_those_of_the_check() -> None:
    unmet = [(Demand("ipvs", "check a", "vip"), "ipvs (n1: no)"), (Demand("esp", "check b"), "esp (n1: no)")]
    assert features.skips(unmet, "a") == [Skip("a", "vip", "ipvs (n1: no)")]
    assert features.skips(unmet, "c") == []
