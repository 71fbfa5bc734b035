"""The promise matrix: complete, sourced, and never more confident than what it knows."""

from __future__ import annotations

import copy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.promises import NAMES, load, overridden, promises_of, read, render

MATRIX = load()
TEXT = (files("harness.promises") / "matrix.yaml").read_text()
CELLS = [(name, promise) for name, driver in MATRIX.drivers.items() for promise in driver.cells]
#: What a driver with these options is known to promise; the options are as a user writes them.
COHERENT_GLUSTER = {
    **{
        f"performance.{name}": "off"
        for name in (
            "quick-read",
            "io-cache",
            "read-ahead",
            "stat-prefetch",
            "open-behind",
            "write-behind",
            "readdir-ahead",
        )
    },
    "direct-io-mode": "enable",
    "attribute-timeout": "0",
    "entry-timeout": "0.0",
}


def expected(driver: str, client: str, options: dict[str, str], promise: str) -> str:
    return promises_of(driver, client, options)[promise][0]


# --- the data


@pytest.mark.parametrize(("driver", "promise"), CELLS)
def test_every_cell_has_a_source_and_an_end(driver: str, promise: str) -> None:
    cell = MATRIX.drivers[driver].cells[promise]
    assert cell[-1].always
    assert all(str(MATRIX.sources[key]) for rule in cell for key in rule.sources)


def test_every_driver_says_something_of_every_promise() -> None:
    assert {len(driver.cells) for driver in MATRIX.drivers.values()} == {len(NAMES)}
    assert all(tuple(sorted(driver.cells)) == tuple(sorted(NAMES)) for driver in MATRIX.drivers.values())


def test_what_holds_rests_on_more_than_a_guess() -> None:
    rules = [rule for driver in MATRIX.drivers.values() for cell in driver.cells.values() for rule in cell]
    assert not [rule for rule in rules if rule.expected == "holds" and "nothing-found" in rule.sources]


def _damaged(change: str) -> str:
    data: dict[str, Any] = copy.deepcopy(yaml.safe_load(TEXT))
    nfs = data["drivers"]["nfs"]
    cell = nfs["cells"]["close-to-open"]
    match change:
        case "no source":
            cell[0]["sources"] = []
        case "unknown source":
            cell[0] = {**cell[0], "sources": ["hearsay"]}
        case "unused source":
            data["sources"]["rumour"] = {"text": "somebody said so once"}
        case "missing cell":
            del nfs["cells"]["shared"]
        case "cell of no promise":
            nfs["cells"]["is-fast"] = cell
        case "no end":
            nfs["cells"]["close-to-open"] = cell[:-1]
        case "rule that is never reached":
            nfs["cells"]["close-to-open"] = [cell[-1], *cell]
        case "unknown option":
            cell[0] = {**cell[0], "when": {"ctoo": "no"}}
        case "impossible value":
            cell[0] = {**cell[0], "when": {"cto": "perhaps"}}
        case "unknown client":
            cell[0] = {**cell[0], "clients": ["ganesha"]}
        case "no such usual client":
            nfs["default_client"] = "ganesha"
        case "spelled twice":
            nfs["options"]["ac"]["spelled"]["nocto"] = "no"
        case "spelled as what it never is":
            nfs["options"]["ac"]["spelled"]["noac"] = "never"
        case "opt in a rule":
            cell[0] = {**cell[0], "expected": "opt"}
        case "unknown key":
            nfs["remark"] = "-"
    return yaml.safe_dump(data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("no source", "at least 1"),
        ("unknown source", "no source 'hearsay'"),
        ("unused source", "nothing rests on the source 'rumour'"),
        ("missing cell", "nfs, shared"),
        ("cell of no promise", "nfs, is-fast"),
        ("no end", "nfs, close-to-open: the last rule"),
        ("rule that is never reached", "nfs, close-to-open: the last rule"),
        ("unknown option", "no option 'ctoo'"),
        ("impossible value", "cto is never 'perhaps'"),
        ("unknown client", "no client 'ganesha'"),
        ("no such usual client", "no client 'ganesha'"),
        ("spelled twice", "'nocto' is spelled by two options"),
        ("spelled as what it never is", "'noac' stands for 'never'"),
        ("opt in a rule", "'holds', 'may' or 'unproven'"),
        ("unknown key", "remark"),
    ],
)
def test_a_matrix_with_a_hole_is_not_loaded(change: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(_damaged(change))


def test_the_matrix_as_it_is_survives_being_written_again() -> None:
    assert read(_damaged("nothing")) == MATRIX


# --- options decide


@pytest.mark.parametrize(
    ("driver", "client", "options", "promise", "outcome"),
    [
        ("local", "own", {}, "shared", "may"),
        ("local", "own", {}, "append-loses-nothing", "may"),
        ("local", "one-directory", {"type": "none", "o": "bind", "device": "/x"}, "append-loses-nothing", "holds"),
        ("local", "one-directory", {"fs": "xfs"}, "reads-not-torn", "holds"),
        ("local", "one-directory", {"fs": "ext4"}, "reads-not-torn", "may"),
        ("local", "one-directory", {}, "reads-not-torn", "unproven"),
        ("nfs", "", {"o": "addr=10.0.0.1,vers=4.1"}, "close-to-open", "holds"),
        ("nfs", "", {"o": "addr=10.0.0.1,nocto"}, "close-to-open", "may"),
        ("nfs", "", {"o": "nocto,cto"}, "close-to-open", "holds"),
        ("nfs", "", {"o": "soft"}, "close-to-open", "may"),
        ("nfs", "", {"o": "soft"}, "no-space-surfaces", "may"),
        ("nfs", "", {"o": "softerr"}, "no-space-surfaces", "may"),
        ("nfs", "", {"o": "noac"}, "read-after-write", "may"),
        ("nfs", "", {"o": "v3"}, "lock-exclusion", "unproven"),
        ("nfs", "", {"o": "nfsvers=4"}, "lock-exclusion", "holds"),
        ("nfs", "", {"o": "nolock,vers=3"}, "lock-read-write", "may"),
        ("nfs", "", {"o": "local_lock=flock"}, "lock-exclusion", "may"),
        ("nfs", "", {"o": "vers=2"}, "exclusive-create", "may"),
        ("nfs", "", {"o": "lookupcache=none"}, "new-name-visible", "holds"),
        ("nfs", "", {"o": "lookupcache=pos"}, "new-name-visible", "may"),
        ("nfs", "", {"export": "async"}, "fsync-survives-server-kill", "may"),
        ("nfs", "", {"o": "async"}, "fsync-survives-server-kill", "holds"),
        ("cephfs", "kernel", {}, "append-loses-nothing", "may"),
        ("cephfs", "kernel", {}, "read-after-write", "may"),
        ("cephfs", "kernel", {"lazyio": "true"}, "read-after-write", "may"),
        ("cephfs", "kernel", {"client_force_lazyio": "true"}, "close-to-open", "may"),
        ("cephfs", "fuse", {}, "append-loses-nothing", "may"),
        ("cephfs", "fuse", {}, "close-to-open", "may"),
        ("cephfs", "fuse", {"fuse_disable_pagecache": "1"}, "close-to-open", "holds"),
        ("cephfs", "fuse", {"fuse_disable_pagecache": "true"}, "append-loses-nothing", "may"),
        (
            "cephfs",
            "fuse",
            {"fuse_disable_pagecache": "true", "lazyio": "yes"},
            "close-to-open",
            "may",
        ),
        ("cephfs", "fuse", {"objectstore": "memstore"}, "fsync-survives-server-kill", "may"),
        ("cephfs", "fuse", {"replicas": "1"}, "fsync-survives-server-kill", "may"),
        ("cephfs", "fuse", {"size": "3"}, "fsync-survives-server-kill", "holds"),
        ("glusterfs", "", {}, "close-to-open", "may"),
        ("glusterfs", "", COHERENT_GLUSTER, "close-to-open", "holds"),
        ("glusterfs", "", COHERENT_GLUSTER, "lock-read-write", "holds"),
        ("glusterfs", "", {**COHERENT_GLUSTER, "performance.write-behind": "on"}, "close-to-open", "may"),
        ("glusterfs", "", {**COHERENT_GLUSTER, "entry-timeout": "1"}, "read-after-write", "may"),
        ("glusterfs", "", {"replica": "3"}, "fsync-survives-server-kill", "holds"),
        ("glusterfs", "", {"replica": "3", "cluster.quorum-type": "none"}, "fsync-survives-server-kill", "may"),
        ("glusterfs", "", {"replica": "2"}, "fsync-survives-server-kill", "may"),
        ("glusterfs", "", {"replica": "2"}, "shared", "may"),
        ("glusterfs", "", {"replica": "2", "cluster.quorum-type": "auto"}, "shared", "holds"),
        ("glusterfs", "", {}, "fsync-survives-server-kill", "unproven"),
        ("glusterfs", "", {"distribute": "1"}, "rename-old-or-new", "may"),
        ("glusterfs", "", {"distribute": "2"}, "rename-old-or-new", "may"),
        ("glusterfs", "", {}, "rename-old-or-new", "unproven"),
    ],
)
def test_options_decide_before_the_run(
    driver: str, client: str, options: dict[str, str], promise: str, outcome: str
) -> None:
    assert expected(driver, client, options, promise) == outcome


def _option_sets(driver: str) -> list[dict[str, str]]:
    options = MATRIX.drivers[driver].options
    single = [{name: value} for name, option in options.items() for value in option.values]
    spelled = [{word: value} for option in options.values() for word, value in option.spelled.items() if value]
    return [{}, *single, *spelled]


@pytest.mark.parametrize("driver", MATRIX.drivers)
def test_every_option_set_resolves_every_promise(driver: str) -> None:
    for client in MATRIX.drivers[driver].clients:
        for options in _option_sets(driver):
            found = promises_of(driver, client, options)
            assert tuple(found) == NAMES
            assert all(outcome in ("holds", "may", "unproven") and source for outcome, source in found.values())
            assert not [source for _, source in found.values() if "does not know" in source], options


@pytest.mark.parametrize("driver", MATRIX.drivers)
@pytest.mark.parametrize(
    "strange", [{"turbo": "on"}, {"o": "turbo"}, {"o": "turbo=on"}], ids=["option", "word", "word with a value"]
)
def test_an_option_that_nobody_knows_leaves_nothing_that_holds(driver: str, strange: dict[str, str]) -> None:
    for client in MATRIX.drivers[driver].clients:
        plain, odd = promises_of(driver, client, {}), promises_of(driver, client, strange)
        for promise, (outcome, source) in plain.items():
            assert odd[promise][0] == ("unproven" if outcome == "holds" else outcome)
            assert "turbo" in odd[promise][1] or outcome != "holds"
            assert source in odd[promise][1]


@pytest.mark.parametrize(
    "options",
    [{"o": "vers=5"}, {"o": "cto=perhaps"}, {"nocto": "false"}, {"o": "acregmax=soon"}, {"o": "acregmax=nan"}],
    ids=str,
)
def test_a_value_that_nobody_knows_leaves_nothing_that_holds(options: dict[str, str]) -> None:
    found = promises_of("nfs", "", options)
    assert "holds" not in {outcome for outcome, _ in found.values()}


@pytest.mark.parametrize(("driver", "client"), [("beegfs", ""), ("nfs", "ganesha"), ("", "")])
def test_a_driver_or_a_client_that_nobody_knows_promises_nothing(driver: str, client: str) -> None:
    found = promises_of(driver, client, {})
    assert {outcome for outcome, _ in found.values()} == {"unproven"}
    assert all("not in the promise matrix" in source for _, source in found.values())


def test_a_reader_is_told_opt_where_options_decide() -> None:
    gluster, nfs = MATRIX.drivers["glusterfs"], MATRIX.drivers["nfs"]
    assert gluster.expected("close-to-open", "fuse") == "opt"
    assert nfs.expected("shared", "kernel") == "holds"
    assert nfs.expected("read-after-write", "kernel") == "may"
    assert MATRIX.drivers["cephfs"].expected("append-loses-nothing", "fuse") == "may"


# --- overrides, and the page


def test_an_override_keeps_the_matrix_readable() -> None:
    plain = promises_of("nfs", "", {})
    found = overridden(plain, "read-after-write", "holds", "one host only")
    outcome, source = found["read-after-write"]
    assert outcome == "holds"
    assert source.startswith("overridden by the topology: one host only; the matrix says may (nfs(5)")
    assert {name: found[name] for name in NAMES if name != "read-after-write"} == {
        name: plain[name] for name in NAMES if name != "read-after-write"
    }


def test_the_page_in_docs_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "promises.md"
    assert page.read_text() == render(), "run: harness promises > docs/promises.md"


def test_the_page_names_every_source_and_every_promise() -> None:
    page = render()
    assert all(str(source) in page for source in MATRIX.sources.values())
    assert all(f"`{name}`" in page for name in NAMES)
