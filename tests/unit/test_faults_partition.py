"""The rules of a partition: which direction they drop, and what nft says of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.faults.partition import render

RULES = {
    "out": ['iifname { "p1" } oifname { "p2", "p3" } counter drop'],
    "in": ['iifname { "p2", "p3" } oifname { "p1" } counter drop'],
}


@pytest.mark.parametrize(("direction", "rules"), [*RULES.items(), ("both", RULES["out"] + RULES["in"])])
def test_a_direction_is_seen_from_the_targets(direction: str, rules: list[str]) -> None:
    text = render("harness-r1", ["p1"], ["p2", "p3"], direction)
    assert [line.strip() for line in text.splitlines() if "drop" in line] == rules


def test_only_what_hosts_say_to_each_other_is_cut() -> None:
    """The forward hook alone: what the machine itself sends to a node passes output, not forward."""
    text = render("harness-r1", ["p1"], ["p2"], "both")
    assert text.count("hook") == text.count("hook forward") == 1
    assert "policy accept" in text


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")
@pytest.mark.parametrize("direction", ["both", "in", "out"])
def test_nft_takes_the_rules(direction: str, tmp_path: Path) -> None:
    file = tmp_path / "rules"
    file.write_text(render("harness-r1", ["p1"], ["p2", "p3"], direction))
    checked = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "nft", "--check", "-f", str(file)],
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    if "nft" not in checked.stderr and "unshare" in checked.stderr:
        pytest.skip(f"needs a network namespace: {checked.stderr.strip()}")
    assert (checked.returncode, checked.stderr) == (0, "")
