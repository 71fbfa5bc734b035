"""The promise matrix of a run: what is shown, and how it is called."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.model.history import History, Op
from harness.model.run import Run
from harness.model.topology import Check
from harness.model.verdict import Observed, Promise, Verdict
from harness.promises import NAMES, overridden, promises_of
from harness.report import RunView, markdown, print_run, promises, write_html
from tests.report_sample import sample_view

VIEW = sample_view()
GLUSTER = overridden(promises_of("glusterfs", "", {"replica": "3"}), "reads-not-torn", "holds", "ticket 77")
SCRATCH = promises_of("local", "own", {})


def promise(name: str, observed: Observed, count: int = 0, of: int = 0, witness: str = "") -> Promise:
    expected, source = GLUSTER[name]
    return Promise(name, expected, observed, count, of, source, witness)


def verdict(id: str, *found: Promise, target: str = "shared") -> Verdict:
    return Verdict(id, "concurrent-append", target, "pass", "", promises=found)


def view(*verdicts: Verdict, rows: Sequence[Op] = (), checks: Sequence[Check] = ()) -> RunView:
    shared, scratch = VIEW.plan.volumes
    volumes = (
        replace(shared, driver="glusterfs", promises=GLUSTER, options={"replica": "3"}),
        replace(scratch, promises=SCRATCH),
    )
    run: Run = replace(VIEW.run, checks=verdicts, faults=(), skipped=())
    plan = replace(VIEW.plan, volumes=volumes, checks=tuple(checks))
    return RunView(run, plan, History.of(list(rows)), {})


def only(seen: RunView) -> promises.Column:
    (column,) = promises.columns(seen.run, seen.plan)
    return column


def terminal(seen: RunView, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_run(seen, console, "runs/x")
    return str(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "observed", "state", "words"),
    [
        ("shared", "kept", "kept", "kept, promised"),
        ("shared", "broken", "broken", "broken 2 of 9, promised"),
        ("shared", "unmeasured", "missing", "unmeasured, promised"),
        ("close-to-open", "kept", "kept", "kept, not promised"),
        ("close-to-open", "broken", "allowed", "broken 2 of 9, not promised"),
        ("close-to-open", "unmeasured", "unmeasured", "unmeasured, not promised"),
        ("append-not-torn", "broken", "allowed", "broken 2 of 9, unproven"),
        ("reads-not-torn", "broken", "broken", "broken 2 of 9, promised (overridden)"),
    ],
)
def test_a_cell_is_called_by_what_was_seen_and_what_was_promised(
    name: str, observed: Observed, state: str, words: str
) -> None:
    cell = only(view(verdict("a", promise(name, observed, 2, 9)))).cells[name]
    assert (cell.state, cell.words, cell.asked) == (state, words, True)


def test_a_volume_has_every_promise_of_the_matrix_and_says_which_nobody_asks_for() -> None:
    column = only(view(verdict("a", promise("shared", "kept", 0, 9))))
    assert tuple(column.cells) == NAMES
    assert column.unasked == [name for name in NAMES if name != "shared"]
    assert all(cell.source for cell in column.cells.values())


def test_two_checks_of_one_volume_are_one_column_with_the_worse_of_both() -> None:
    one = verdict("a", promise("shared", "broken", 1, 3, "w1"), promise("close-to-open", "unmeasured"))
    other = verdict("b", promise("shared", "kept", 0, 6), promise("close-to-open", "kept", 0, 2))
    for order in ((one, other), (other, one)):
        column = only(view(*order))
        shared = column.cells["shared"]
        assert (shared.observed, shared.count, shared.of, shared.witness) == ("broken", 1, 9, "w1")
        assert column.cells["close-to-open"].observed == "kept"
        assert column.checks == tuple(check.id for check in order)


def test_a_check_is_about_the_volume_that_its_parameters_name() -> None:
    named = verdict("a", promise("shared", "kept", 0, 1), target="four writers")
    entry = Check(kind="concurrent-append", id="a", params={"volume": "scratch"})
    assert only(view(named, checks=[entry])).subject == "scratch"
    assert only(view(named)).volume is None


def test_promises_of_other_things_have_a_column_of_their_own() -> None:
    link = Verdict(
        "link", "macvlan", "lan", "pass", "", promises=(Promise("parent-apart", "holds", "kept", 0, 3),)
    )
    seen = view(verdict("a", promise("shared", "kept", 0, 1)), link)
    found = promises.columns(seen.run, seen.plan)
    assert [(column.subject, column.about) for column in found] == [
        ("shared", "glusterfs volume"),
        ("lan", "macvlan"),
    ]
    assert list(found[1].cells) == ["parent-apart"]


def test_mounts_are_told_once_for_all_containers_that_agree() -> None:
    rows = [
        Op("r", f"n{i}", f"web.{i}", "a", "mount", f"{phase}|shared", f"{40 + i} fuse.glusterfs n1:/p rw,relatime")
        for i in (1, 2)
        for phase in ("start", "end")
    ]
    rows += [Op("r", "n3", "web.3", "a", "mount", "start|shared", "7 ext4 /dev/sda one")]
    rows += [
        Op("r", f"n{i}", f"web.{i}", "a", "mount", "start|scratch", f"9 nfs4 s:/a b rw,hard,clientaddr=10.0.0.{i}")
        for i in (1, 2)
    ]
    shared, scratch = promises.mounted(view(rows=rows))
    assert shared.options == ("replica=3",)
    assert shared.seen == (
        "fuse.glusterfs from n1:/p with rw,relatime, in 2 containers",
        "ext4 from /dev/sda one, in 1 container",
    )
    assert scratch.seen == ("nfs4 from s:/a b with rw,hard, in 2 containers",)


BROKEN = view(
    verdict(
        "a",
        promise("shared", "kept", 0, 9),
        promise("reads-not-torn", "broken", 2, 9, "byte 7 of block 3"),
        promise("close-to-open", "broken", 5, 9, "an old version"),
    ),
    rows=[Op("r", "n1", "web.1", "a", "mount", "start|shared", "41 fuse.glusterfs n1:/p rw")],
)


def test_the_page_shows_states_sources_witnesses_overrides_and_mounts(tmp_path: Path) -> None:
    write_html(BROKEN, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    section = page[page.index('aria-labelledby="promises"') : page.index('aria-labelledby="skipped"')]
    for words in ("✓ kept", "✕ broken", "△ broken", "overridden", "2 of 9", "byte 7 of block 3", "ticket 77"):
        assert words in section
    assert "fuse.glusterfs from n1:/p with rw, in 1 container" in section
    assert "replica=3" in section
    assert f"No check of this run asks for {len(NAMES) - 3} more promises" in section
    links = {part.split('"')[0] for part in section.split('href="#')[1:]}
    assert links
    assert all(f'id="{link}"' in section for link in links)
    assert "src=" not in section


@pytest.mark.parametrize("width", [30, 80, 200])
def test_the_terminal_shows_them_in_words(width: int) -> None:
    told = " ".join(terminal(BROKEN, width).split())
    assert "reads-not-torn" in told
    assert "broken 2 of 9" in told
    assert "byte 7 of block 3" in told
    assert "overridden by the topology: ticket 77" in told


def test_many_kept_promises_are_one_line_of_the_terminal() -> None:
    kept = [promise(name, "kept", 0, 9) for name in NAMES if name != "close-to-open"]
    seen = view(
        verdict("a", *kept, promise("close-to-open", "broken", 5, 9, "an old version")),
        verdict("b", *(Promise(p.name, "may", "kept", 0, 1) for p in kept), target="scratch"),
    )
    told = terminal(seen, 200)
    assert told.count("close-to-open") == 2
    assert f"scratch: {len(kept)} kept: shared, " in told


def test_markdown_has_the_matrix_and_the_words() -> None:
    text = markdown(BROKEN, Path("runs/x"))
    assert "| promise | shared (glusterfs volume) |" in text
    assert "| reads-not-torn | ❌ broken 2 of 9, promised (overridden) |" in text
    assert "| close-to-open | ⚠️ broken 5 of 9, not promised |" in text
    assert "lock-exclusion" not in text
    assert "byte 7 of block 3" in text
    assert "ticket 77" in text
    assert "fuse.glusterfs from n1:/p with rw" in text


def test_without_promises_nothing_is_said(tmp_path: Path) -> None:
    bare = view(Verdict("mtu", "mtu", "app", "pass", ""))
    write_html(bare, tmp_path / "report.html")
    assert 'id="promises"' not in (tmp_path / "report.html").read_text()
    assert "Promises" not in terminal(bare)
    assert "| promise |" not in markdown(bare, Path("x"))
