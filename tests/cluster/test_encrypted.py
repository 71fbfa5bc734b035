"""encrypted for real, where it must not pass: an overlay without encryption is seen through."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster_bench import live_bench

pytestmark = pytest.mark.cluster


def test_an_overlay_in_the_clear_is_found_on_the_wire(own_engine: None, tmp_path: Path) -> None:
    """A plain overlay is what an encrypted one looks like whose encryption is gone."""
    with live_bench(Path(__file__).parent / "topologies" / "clear.yaml", tmp_path) as bench:
        verdict = bench.check("encrypted", network="app")
    assert verdict.verdict == "fail", verdict.reason
    assert "in the clear" in verdict.reason
    assert "the containers' own text" in verdict.reason
