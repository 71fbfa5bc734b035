"""The pytest plugin in sessions of its own, over a made-up cluster: items, fixtures, codes, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import plugin
from tests.session_fakes import LAB

pytest_plugins = ["pytester"]

#: Puts the made-up world behind the inner session, and tells at its end what was done to it.
CONFTEST = """
import pytest
from pathlib import Path
from harness.model.errors import ChannelLost, EnvironmentBroken
from tests.session_fakes import make_lab

PATCH = pytest.MonkeyPatch()
LAB = make_lab(Path({folder!r}), PATCH)
{setup}

@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    Path({folder!r}, "events").write_text("\\n".join(LAB.events))
    Path({folder!r}, "left").write_text("\\n".join(LAB.provider.made))
    PATCH.undo()
"""
SKIPPED: dict[str, Any] = {"checks": [{"recovery": {"faults": [{"fault": "partition", "target": "n2"}]}}]}


class Session:
    """An inner pytest session. `setup` is code that changes LAB first."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.folder = pytester.path

    def run(self, *arguments: str, setup: str = "", test: str = "", **changes: Any) -> pytest.RunResult:
        (self.folder / "lab.yaml").write_text(yaml.safe_dump({**LAB, **changes}))
        self._pytester.makeconftest(CONFTEST.format(folder=str(self.folder), setup=setup))
        if test:
            self._pytester.makepyfile(test_own=test)
        return self._pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)

    @property
    def ups(self) -> int:
        return sum(line.startswith("up ") for line in (self.folder / "events").read_text().splitlines())

    @property
    def left(self) -> list[str]:
        return (self.folder / "left").read_text().splitlines()


@pytest.fixture
def inner(pytester: pytest.Pytester) -> Session:
    return Session(pytester)


# --- items


def test_a_topology_is_one_item_a_check_and_one_run(inner: Session) -> None:
    result = inner.run("lab.yaml", "-v")
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*lab.yaml::mtu PASSED*", "*lab.yaml::latency PASSED*", "pass: runs/*/report.html"]
    )
    assert (inner.ups, inner.left) == (1, [])


def test_only_the_selected_checks_are_run(inner: Session) -> None:
    result = inner.run("lab.yaml::latency")
    result.assert_outcomes(passed=1)
    [folder] = [path for path in (inner.folder / "runs").iterdir() if not path.is_symlink()]
    assert [check["kind"] for check in yaml.safe_load((folder / "plan.json").read_text())["checks"]] == ["latency"]
    inner.run("lab.yaml", "-k", "mtu").assert_outcomes(passed=1, deselected=1)


def test_a_failed_check_shows_reason_and_pairs_and_no_stack(inner: Session) -> None:
    result = inner.run("lab.yaml", setup="LAB.network.largest = 1400")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    text = result.stdout.str()
    assert "fail: " in text
    assert "via ip (df/ipv4): expected 1450" in text
    assert "Traceback" not in text
    assert "items.py" not in text


def test_an_unknown_is_a_failure_that_says_so(inner: Session) -> None:
    result = inner.run("lab.yaml", setup="LAB.network.raises['rtt'] = ChannelLost('n2 is gone')")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*unknown: broke off: n2 is gone*"])


def test_a_run_that_breaks_fails_every_item_and_is_made_once(inner: Session) -> None:
    result = inner.run("lab.yaml", setup="LAB.orchestrator.raises['join'] = EnvironmentBroken('n2 does not join')")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*unknown: the run broke off: n2 does not join*"])
    assert (inner.ups, inner.left) == (1, [])


def test_a_session_in_which_every_check_was_skipped_fails(inner: Session) -> None:
    result = inner.run("lab.yaml", setup="LAB.lacks['nft-bridge'] = 'no'", **SKIPPED)
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*every check was skipped*"])


def test_a_skip_beside_a_pass_is_green_and_named(inner: Session) -> None:
    checks: dict[str, Any] = {"checks": [{"mtu": None}, *SKIPPED["checks"]]}
    result = inner.run("lab.yaml", "-rs", setup="LAB.lacks['nft-bridge'] = 'no'", **checks)
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*needs nft-bridge (n1: no)*"])


def test_under_no_skip_a_skip_fails(inner: Session) -> None:
    result = inner.run("lab.yaml", "--harness-no-skip", setup="LAB.lacks['nft-bridge'] = 'no'", **SKIPPED)
    result.assert_outcomes(failed=1)


def test_a_mistake_in_a_topology_is_told_with_its_place(inner: Session) -> None:
    result = inner.run("lab.yaml", networks={"app": {"driver": "overlai"}})
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*lab.yaml:*:*: networks.app.driver:*did you mean 'overlay'*"])
    assert "Traceback" not in result.stdout.str()
    assert inner.ups == 0


def test_a_yaml_file_that_is_not_named_is_no_topology(inner: Session) -> None:
    inner.run(test="def test_one(): pass").assert_outcomes(passed=1)
    assert inner.ups == 0


# --- options


def test_options_are_those_of_run(inner: Session) -> None:
    arguments = ("--harness-keep", "--harness-runs-dir=out", "--harness-seed=9", "--harness-set=name=other")
    inner.run("lab.yaml", *arguments).assert_outcomes(passed=2)
    [folder] = [path for path in (inner.folder / "out").iterdir() if not path.is_symlink()]
    results = yaml.safe_load((folder / "results.json").read_text())
    assert (results["seed"], results["topology"]) == (9, "other")
    assert len(inner.left) == 1


@pytest.mark.parametrize(
    ("option", "says"),
    [("--harness-seed=many", "takes a number, not 'many'"), ("--harness-set=nonsense", "takes KEY=VALUE")],
)
def test_an_option_that_cannot_be_used_is_pytests_usage_error(inner: Session, option: str, says: str) -> None:
    result = inner.run("lab.yaml", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert says in result.stderr.str() + result.stdout.str()
    assert "Traceback" not in result.stderr.str()


@pytest.mark.parametrize("name", ["inventory", "kubeconfig", "context", "namespace"])
def test_what_exists_is_named_by_options_too_and_refused_for_a_cluster_that_is_made(
    inner: Session, name: str
) -> None:
    result = inner.run("lab.yaml", f"--harness-{name}=any")
    result.assert_outcomes(errors=1)
    assert f"--{name} is for provider existing" in result.stdout.str()


def test_xdist_is_refused_with_a_reason_where_topologies_are_named(inner: Session) -> None:
    pytest.importorskip("xdist")
    result = inner.run("lab.yaml", "-p", "xdist", "-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*lab.yaml: topologies do not run under pytest-xdist*"])


# --- fixtures


def own(body: str, *, marks: str = "") -> str:
    head = 'import pytest\npytestmark = [pytest.mark.topology("lab.yaml")]\n'
    return f"{head}{marks}\n{body}\n"


def test_fixtures_give_the_live_cluster_and_checks_on_it(inner: Session) -> None:
    body = """
def test_cluster(topology, cluster, nodes):
    assert topology.name == "lab"
    assert sorted(nodes) == sorted(cluster.hosts) == ["n1", "n2", "n3"]
    assert nodes["n2"].address == "192.0.2.2"

def test_checks(run, mesh):
    assert run("mtu", network="app").verdict == "pass"
    assert mesh(protocols=["tcp"], services=["web"]).name == "connectivity"
"""
    inner.run(test=own(body)).assert_outcomes(passed=2)
    assert (inner.ups, inner.left) == (1, [])


def test_nodes_speak_as_a_tester_does(inner: Session) -> None:
    body = """
def test_verbs(nodes):
    node = nodes["n1"]
    assert "26.1.5" in node.succeed("uname -r")
    with pytest.raises(AssertionError, match="should fail, and did not"):
        node.fail("uname -r")
    assert "No such file" in node.fail(["nothing"])
    with pytest.raises(AssertionError, match="n1: `nothing` ended with 127"):
        node.succeed(["nothing"])
    assert "6.1.0" in node.wait_until_succeeds("uname -r", timeout_s=5)
    assert node.infra.run("uname -r").rc == 0
"""
    result = inner.run("-s", test=own(body))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*n1: must succeed: uname -r*", "*n1: must fail: nothing*"])


def test_without_the_marker_it_says_which_cluster_is_missing(inner: Session) -> None:
    result = inner.run(test="def test_one(nodes): pass")
    result.assert_outcomes(errors=1)
    assert '@pytest.mark.topology("FILE.yaml")' in result.stdout.str()


def test_a_test_that_needs_a_feature_is_skipped_aloud(inner: Session) -> None:
    body = "@pytest.mark.needs('ipvs')\ndef test_one(nodes): pass\ndef test_two(nodes): pass"
    result = inner.run("-rs", test=own(body), setup="LAB.lacks['ipvs'] = 'no'")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*needs ipvs (n1: no)*"])
    inner.run("--harness-no-skip", test=own(body), setup="LAB.lacks['ipvs'] = 'no'").assert_outcomes(
        passed=1, errors=1
    )


def test_a_destructive_test_that_did_not_restore_its_cluster_gets_it_made_anew(inner: Session) -> None:
    body = """
import conftest

@pytest.mark.destructive
def test_breaks(nodes):
    conftest.LAB.orchestrator.complaints = ["n2 is Down"]

def test_after(nodes):
    conftest.LAB.orchestrator.complaints = []

@pytest.mark.destructive
def test_restores(nodes): pass

def test_last(nodes): pass
"""
    inner.run(test=own(body)).assert_outcomes(passed=4)
    assert (inner.ups, inner.left) == (2, [])


def test_a_cluster_of_fixtures_can_be_kept(inner: Session) -> None:
    inner.run("--harness-keep", test=own("def test_one(nodes): pass")).assert_outcomes(passed=1)
    assert len(inner.left) == 1


@pytest.mark.parametrize("keep", [(), ("--harness-keep",)])
def test_no_folder_of_a_live_cluster_is_left(
    inner: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: tuple[str, ...]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    test = own("def test_one(run):\n    assert run('mtu', network='app').verdict == 'pass'")
    inner.run(*keep, test=test).assert_outcomes(passed=1)
    assert list(tmp_path.glob("harness-*")) == []


def test_a_cluster_that_does_not_come_up_is_an_error_and_tried_again(inner: Session) -> None:
    setup = "LAB.provider.raises['up'] = EnvironmentBroken('no room')"
    result = inner.run(test=own("def test_one(nodes): pass\ndef test_two(nodes): pass"), setup=setup)
    result.assert_outcomes(errors=1, passed=1)
    assert "no room" in result.stdout.str()
    assert inner.left == []


def test_help_names_the_markers_and_options(inner: Session) -> None:
    text = inner.run("--markers").stdout.str() + inner.run("--help").stdout.str()
    for word in (
        "@pytest.mark.topology(path)",
        "@pytest.mark.needs",
        "@pytest.mark.destructive",
        "--harness-reuse",
    ):
        assert word in text


def test_no_module_of_the_plugin_has_the_name_of_a_fixture() -> None:
    """Importing it would put the module in the fixture's place; and `host` belongs to testinfra."""
    modules = {path.stem for path in Path(plugin.__file__).parent.glob("*.py")}
    assert not modules & set(plugin.__all__)
    assert "host" not in plugin.__all__
