"""A program of a package, unpacked into the cache once, by a mmdebstrap that is made up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.model.errors import EnvironmentBroken
from harness.providers import kube_access
from harness.providers.debian import cached_program
from tests.providers_engine import script

#: One of its arguments is the archive that is wanted.
MMDEBSTRAP = """
for argument; do case $argument in *.tar) target=$argument ;; esac; done
folder=$(mktemp -d)
mkdir -p "$folder/usr/bin"
echo "$@" >"$folder/usr/bin/tool"
tar -C "$folder" -cf "$target" .
"""


def unpacked(cache: Path, said: list[str], home: str = "") -> str:
    return cached_program("tools", "trixie", "usr/bin/tool", cache / "tool-trixie", said.append, home)


def test_it_is_unpacked_once_and_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "bin" / "mmdebstrap", MMDEBSTRAP)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    said = list[str]()
    found = [unpacked(tmp_path / "cache", said) for _ in range(2)]
    assert found == [str(tmp_path / "cache" / "tool-trixie")] * 2
    assert os.access(found[0], os.X_OK)
    assert "--include=tools" in Path(found[0]).read_text()
    assert said == ["fetching tool from Debian's packages (once)"]


def test_without_mmdebstrap_what_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(EnvironmentBroken, match=r"no tool in PATH, and mmdebstrap.* is missing") as missing:
        unpacked(tmp_path / "cache", [], "https://tool.example")
    hint = "install tool (https://tool.example) into PATH, or: apt-get install mmdebstrap"
    assert missing.value.hint == hint
    assert not (tmp_path / "cache" / "tool-trixie").exists()


def test_kubectl_is_that_of_path_or_debians(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(kube_access, "cache_dir", lambda: tmp_path / "cache")
    with pytest.raises(EnvironmentBroken, match="there is no kubectl in PATH") as missing:
        kube_access.program(print)
    assert missing.value.hint == "install kubectl into PATH, or: apt-get install mmdebstrap"
    script(tmp_path / "bin" / "kubectl", ":")
    assert kube_access.program(print) == str(tmp_path / "bin" / "kubectl")
