"""The rules of a partition: whom each form cuts from whom, which way, and what nft says of them."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.faults import _wire
from harness.faults.partition import Cut, Form, cuts
from harness.model.errors import UsageError

NODES = ["n1", "n2", "n3", "n4", "n5"]


def apart(found: Sequence[Cut]) -> set[tuple[str, str]]:
    """(from, to) of every pair that is cut."""
    return {pair for sources, sinks in found for pair in itertools.product(sources, sinks)}


def test_a_direction_is_seen_from_the_targets() -> None:
    out, into = (cuts(["n1", "n2", "n3"], ["n2"], "sides", direction) for direction in ("out", "in"))
    assert out == [(["n2"], ["n1", "n3"])]
    assert into == [(["n1", "n3"], ["n2"])]
    assert cuts(["n1", "n2", "n3"], ["n2"], "sides", "both") == out + into


def test_halves_are_filled_up_around_the_targets() -> None:
    assert cuts(NODES[:4], ["n3"], "halves", "out") == [(["n3", "n1"], ["n2", "n4"])]
    assert cuts(NODES, ["n1", "n2", "n5"], "halves", "out") == [(["n1", "n2", "n5"], ["n3", "n4"])]


def test_a_bridge_is_seen_by_both_halves_which_do_not_see_each_other() -> None:
    cut = apart(cuts(NODES, ["n2"], "bridge", "both"))
    assert not any("n2" in pair for pair in cut)
    assert cut == {
        (a, b) for a, b in itertools.permutations(NODES, 2) if {a, b} & {"n1", "n3"} and {a, b} & {"n4", "n5"}
    }


@pytest.mark.parametrize("count", range(4, 12))
def test_in_a_ring_every_node_sees_a_majority_and_no_two_the_same(count: int) -> None:
    nodes = [f"n{i}" for i in range(count)]
    cut = apart(cuts(nodes, nodes, "ring", "both"))
    sees = {node: frozenset(other for other in nodes if (node, other) not in cut) for node in nodes}
    assert {(b, a) for a, b in cut} == cut
    assert all(count // 2 < len(seen) < count for seen in sees.values())
    assert len(set(sees.values())) == count


@pytest.mark.parametrize(
    ("form", "nodes", "targets", "wanted"),
    [
        ("sides", 3, 3, "a node that is no target"),
        ("bridge", 3, 2, "2 nodes beside its target"),
        ("ring", 3, 3, "4 nodes"),
    ],
)
def test_a_form_that_cuts_nobody_off_is_refused(form: Form, nodes: int, targets: int, wanted: str) -> None:
    with pytest.raises(UsageError, match=f"form {form} needs {wanted}: there are {nodes} nodes"):
        cuts(NODES[:nodes], NODES[:targets], form, "both")


def test_only_what_hosts_say_to_each_other_is_cut() -> None:
    """The forward hook alone: what the machine itself sends to a node passes output, not forward."""
    text = _wire.chain("harness-r1", [_wire.between(["p1"], ["p2"])])
    assert text.count("hook") == text.count("hook forward") == 1
    assert "policy accept" in text


MATCHES = [
    "",
    "meta l4proto { tcp, udp } th dport 7946",
    "meta l4proto tcp th dport 2377",
    "numgen random mod 10000 < 2000",
]


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")
@pytest.mark.parametrize("match", MATCHES)
def test_nft_takes_the_rules(match: str, tmp_path: Path) -> None:
    file = tmp_path / "rules"
    file.write_text(_wire.chain("harness-r1", [_wire.between(["p1"], ["p2", "p3"], match)]))
    checked = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "nft", "--check", "-f", str(file)],
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    if "nft" not in checked.stderr and "unshare" in checked.stderr:
        pytest.skip(f"needs a network namespace: {checked.stderr.strip()}")
    assert (checked.returncode, checked.stderr) == (0, "")
