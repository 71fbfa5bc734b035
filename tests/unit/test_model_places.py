"""Names of the harness's own engine: one by default, others beside it by HARNESS_STATE."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.errors import UsageError
from harness.model.places import engine_dir, run_dir, state_name


def test_the_default_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_STATE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")

    assert (state_name(), run_dir(), engine_dir()) == ("harness", Path("/run/harness"), Path("/c/harness/engine"))


def test_an_engine_beside_it_shares_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_STATE", "two-2")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")

    assert state_name() == "harness-two-2"
    assert run_dir() == Path("/run/harness-two-2")
    assert engine_dir() == Path("/c/harness/engine-two-2")


@pytest.mark.parametrize("word", ["../x", "Two", "a b", "x" * 21])
def test_a_word_that_is_no_name_is_refused(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("HARNESS_STATE", word)

    with pytest.raises(UsageError, match="HARNESS_STATE"):
        run_dir()
