"""Mistakes of many kinds: each says the file, or the option, and what to do, and has its code by the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.model.places import data_dir
from harness.session import kubeconfigs

SCENARIO = data_dir("topologies") / "reproduce" / "wrong-mount.yaml"
TOPOLOGY = data_dir("topologies") / "overlay.yaml"
EXISTING = ("plan", "overlay", "--provider", "existing", "--orchestrator", "kubernetes", "--kubeconfig")
FILES = {
    "compose.yml": "services: {web: {image: nginx}}\n",
    "empty": "contexts: []\n",
    "hosts.yaml": "hosts: [{address: 10.0.0.5, role: boss}]\n",
    "list.yaml": "- a\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working one, with files that are something else than what is asked for."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    kubeconfigs.forget()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ("run", "overlya"),
            64,
            "overlya:1:1: there is no such file, and no topology of that name comes with the ",
        ),
        (("run", "overlya"), 64, "(did you mean 'overlay'?)"),
        (("plan", "quite-another"), 64, "(there is: bind-mounts, bridge, "),
        (("plan", "overlya.yaml"), 64, "overlya.yaml:1:1: cannot be read: No such file or directory"),
        (
            ("run", "compose.yml"),
            64,
            "compose.yml:1:1: name: is missing; of a Compose file `harness init --from FILE`",
        ),
        (("run", SCENARIO), 64, "the file is a scenario, not a topology: `harness reproduce FILE` runs it"),
        (("reproduce", TOPOLOGY), 129, "is a topology, not a scenario: `harness run FILE` runs it"),
        (("reproduce", "wrong-mout"), 129, "there is no scenario 'wrong-mout' (did you mean 'wrong-mount'?)"),
        (("plan", "overlay", "--set", "networks.app={driver: ["), 64, "it ends inside a quote or bracket"),
        (("run", "overlay", "--runs-dir", "list.yaml"), 64, ": a part of this path is a file"),
        (
            ("plan", "overlay", "--provider", "existing", "--inventory", "hosts.yaml"),
            64,
            "hosts.yaml:1:35: hosts[0].role",
        ),
        (
            (*EXISTING, "absent"),
            64,
            "absent: cannot be read: No such file or directory\nwhat to do: --kubeconfig FILE",
        ),
        (
            (*EXISTING, "empty", "--namespace", "Team_A"),
            64,
            "no namespace can be called 'Team_A'\nwhat to do: --name",
        ),
        (("list", "--kubeconfig", "empty", "--namespace", "Team_A"), 64, "no namespace can be called 'Team_A'"),
        ((*EXISTING, "empty"), 64, "empty: the kubeconfig has no contexts\nwhat to do: --kubeconfig FILE"),
        (
            ("init", "--from", "absent"),
            64,
            "absent: cannot be read: No such file or directory\nwhat to do: --from",
        ),
        (
            ("init", "--from", "hosts.yaml"),
            64,
            "hosts.yaml: this is no Compose file: it has no `services`\nwhat to do",
        ),
        (("check", "runs/absent"), 64, "runs/absent: there is no such run folder\nwhat to do: `ls runs/`"),
        (("compare", "overlay", "--vary", "networks.ap.driver=a,b"), 64, "(did you mean 'app'?)"),
        (("record", "absent"), 64, "absent: No such file or directory\nwhat to do: name the folder"),
    ],
    ids=lambda value: " ".join(Path(str(word)).name for word in value[:3]) if isinstance(value, tuple) else None,
)
def test_it_says_where_and_what_to_do(
    arguments: tuple[object, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(argument) for argument in arguments]) == code
    said = capsys.readouterr()
    assert told in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


@pytest.mark.parametrize("variable", ["HARNESS_ENGINE", "HARNESS_STATE"])
def test_a_variable_that_means_nothing_is_told_before_there_is_a_run(
    variable: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "Any One")
    assert main(["run", "overlay"]) == 64
    assert variable in capsys.readouterr().err
    assert not (folder / "runs").exists()
