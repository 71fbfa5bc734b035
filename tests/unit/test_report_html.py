"""report.html: one file, offline, bounded, escaped; and what it shows."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.model.history import History
from harness.model.plan import Plan
from harness.model.verdict import Failure, Promise, Skip, Verdict
from harness.report import RunView, write_html
from harness.report.html import MAX_BYTES
from tests.report_sample import sample_view

VIEW = sample_view()
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Elements that were opened and not closed, ids, links and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def html(view: RunView, folder: Path) -> str:
    write_html(view, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    return html(VIEW, tmp_path_factory.mktemp("report"))


def test_nothing_is_fetched(sample: str) -> None:
    loads = {"script", "img", "iframe", "object", "embed", "video", "audio", "base", "form"}
    assert not loads & {tag for tag, _ in Page(sample).tags}
    targets = [
        value or "" for _, attrs in Page(sample).tags for key, value in attrs.items() if key in ("href", "src")
    ]
    assert targets
    assert all(target.startswith(("#", "data:")) for target in targets)
    assert not re.search(r"https?://|url\(|@import", sample)


def test_elements_are_closed_and_links_lead_somewhere(sample: str) -> None:
    page = Page(sample)
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"] for tag, attrs in page.tags if tag == "a"} <= {f"#{name}" for name in ids}


def test_every_picture_has_words(sample: str) -> None:
    pictures = re.findall(r"<svg[^>]*><title>([^<]+)</title><desc>([^<]+)</desc>", sample)
    assert len(pictures) == sample.count("<svg") > 5


def test_what_it_must_say(sample: str) -> None:
    text = Page(sample).text
    for said in (
        "Of 10 checks, 2 failed: connectivity and dns", "10.60.0.0/16", "web.3", "partition n2", "pause n2",
        "wrong-peer",
        "ipvs", "6.12.41", "harness run", "--seed 20240917", "harness check", "append-loses-nothing",
        "not promised, 771 of 1,157", "a reader on n1 saw 385 records", "1 of 3 containers wrong",
        "right within 1.02 s",
    ):  # fmt: skip
        assert said in text


def test_heat_map_has_a_letter_and_a_reason(sample: str) -> None:
    assert 'class="bad" title="edge.n3 to web.1: tcp timeout, udp timeout, icmp ok">T tu<' in sample
    assert "tcp wrong-peer (web.3 answered)" in sample
    assert "closed as expected" in sample


EVIL = "<script>alert(1)</script>\"'&{{7*7}}\x00\x1b"


def _evil_view() -> RunView:
    verdict = Verdict(
        EVIL, EVIL, EVIL, "fail", EVIL, figures={EVIL: EVIL},
        failures=(Failure(EVIL, EVIL, EVIL, "tcp", 4, EVIL, "timeout"),),
        promises=(Promise(EVIL, "holds", "broken", 1, 2, EVIL, EVIL),), operations={EVIL: {EVIL: 1}},
    )  # fmt: skip
    run = dataclasses.replace(
        VIEW.run, id=EVIL, topology=EVIL, error=EVIL, checks=(verdict,), skipped=(Skip(EVIL, EVIL, EVIL),)
    )
    nodes = tuple(dataclasses.replace(node, name=EVIL) for node in VIEW.plan.nodes[:1])
    networks = tuple(dataclasses.replace(net, name=EVIL, subnets=(EVIL,)) for net in VIEW.plan.networks)
    volumes = tuple(dataclasses.replace(volume, name=EVIL) for volume in VIEW.plan.volumes)
    targets = tuple(
        dataclasses.replace(t, service=EVIL, networks={EVIL: (EVIL,)}, mounts={EVIL: "/"})
        for t in VIEW.plan.targets
    )
    plan = dataclasses.replace(
        VIEW.plan, nodes=nodes, networks=networks, volumes=volumes, targets=targets, notes=(EVIL,)
    )
    key = f"{EVIL}|{EVIL}|4|{EVIL}|{EVIL}"
    old = VIEW.history.only(f=["append", "fault", "endpoint", "beat", "stream", "dns", "tcp"]).ops()
    rows = [dataclasses.replace(op, at=EVIL, host=EVIL, process=EVIL, check=EVIL, key=key) for op in old]
    return RunView(run, plan, History.of(rows), {EVIL: EVIL, "nodes": {EVIL: {EVIL: EVIL}}})


def test_everything_is_escaped(tmp_path: Path) -> None:
    text = html(_evil_view(), tmp_path)
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.open == []
    assert "{{7*7}}" in page.text
    assert "\x00" not in text
    assert "\x1b" not in text


def _rows(n: int, **batch: Any) -> dict[str, Any]:
    return {
        "n": n,
        "start_ns": list(range(0, n * 997, 997)),
        "end_ns": list(range(90, n * 997 + 90, 997)),
        **batch,
    }


def _big_history() -> History:
    n = 100_000
    outcomes = ["ok", "ok", "fail", "info"] * (n // 4)
    writers = [f"w{i % 300}" for i in range(n)]
    names = [f"service-with-a-long-name-{i}.{i % 7}" for i in range(110)]
    pairs = [(a, b) for a in names for b in names][:n]
    mesh = _rows(
        len(pairs), process="agent", host="n1", check="mesh", f="tcp", value="timeout", at=[a for a, _ in pairs],
        key=[f"ip|app|4|{b}|10.60.0.1" for _, b in pairs],
    )  # fmt: skip
    appends = _rows(
        n, process=writers, at="web.1", host="n1", check="append", f="append", key="v", outcome=outcomes
    )
    return History.of_batches([appends, mesh])


def test_size_is_bounded(tmp_path: Path) -> None:
    rows = _big_history()
    failures = tuple(
        Failure(op.at, op.key.split("|")[3], "ip", "tcp", 4, "ok", "timeout")
        for op in rows.only(check="mesh").ops()
    )
    figures = {f"figure_{i}": i for i in range(500)}
    checks = tuple(
        Verdict(f"check-{i}", "k", "t", "fail", "why " * 300, failures=failures[:300], figures=figures)
        for i in range(98)
    )
    mesh = Verdict("mesh", "connectivity", "all", "fail", "", failures=failures)
    append = Verdict("append", "concurrent-append", "v", "pass", "")
    view = dataclasses.replace(
        VIEW, history=rows, run=dataclasses.replace(VIEW.run, checks=(mesh, append, *checks))
    )
    text = html(view, tmp_path)
    assert len(text.encode()) < MAX_BYTES
    assert Page(text).open == []
    assert "more in results.json" in text
    assert "more, all in results.json" in text


def test_marks_of_the_timeline_are_capped_with_a_note(tmp_path: Path) -> None:
    checks = (Verdict("append", "concurrent-append", "v", "pass", ""),)
    view = dataclasses.replace(VIEW, history=_big_history(), run=dataclasses.replace(VIEW.run, checks=checks))
    page = Page(html(view, tmp_path))
    found = re.search(r"100,000 operations in ([\d,]+) marks; 260 lanes more, not drawn", page.text)
    assert found is not None
    assert 5000 < int(found[1].replace(",", "")) <= 10_000
    assert "at most 10,000 marks are drawn" in page.text


@pytest.mark.parametrize("plan", [VIEW.plan, dataclasses.replace(VIEW.plan, networks=(), volumes=(), targets=())])
def test_run_that_left_no_history(plan: Plan, tmp_path: Path) -> None:
    run = dataclasses.replace(
        VIEW.run, checks=(), skipped=(), faults=(), verdict="unknown", error="no engine answers\nits output"
    )
    page = Page(html(RunView(run, plan, History.of([]), {}), tmp_path))
    assert "The run broke off: no engine answers" in page.text
    assert "its output" in page.text
    assert page.open == []
    assert ("edge.n2" in page.text) == bool(plan.targets)
