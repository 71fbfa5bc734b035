"""A comparison as Markdown, for a job's summary or an issue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.compare import words
from harness.compare.matrix import Matrix
from harness.report.text import clean

_MARK = {
    "pass": "✅ ", "kept": "✅ ", "fail": "❌ ", "broken": "❌ ", "unknown": "❔ ", "missing": "❔ ",
    "allowed": "⚠️ ", "broke": "💥 ",
}  # fmt: skip


def markdown(matrix: Matrix) -> str:
    return "\n".join([*_lines(matrix)]) + "\n"


def _lines(matrix: Matrix) -> Iterator[str]:
    yield f"## {_text(matrix.topology)}: {_text(', '.join(cell.name for cell in matrix.cells))}"
    yield ""
    yield from (f"{_text(line)}  " for line in [*words.closing(matrix), f"seed {matrix.seed}"])
    yield ""
    for check, said in words.called(matrix):
        yield f"- **{_text(check)}**: {_text(said)}"
    yield ""
    for section in words.sections(matrix):
        yield from (f"### {section.title}", "", section.note, "")
        yield _row(["", *(cell.name for cell in matrix.cells)])
        yield f"|{' --- |' * (len(matrix.cells) + 1)}"
        for line in section.lines:
            label = f"{line.label} ({line.of})" if line.of and line.of != line.label else line.label
            yield _row([label, *(_shown(cell) for cell in line.cells)])
        yield ""


def _shown(cell: words.Shown) -> str:
    return f"{_MARK.get(cell.state, '')}{cell.text}{f'; {cell.detail}' if cell.detail else ''}"


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(_text(text) for text in texts)} |"


def _text(text: str) -> str:
    """No text may end its row or table, or be read as a tag."""
    plain = clean(text, 400).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(plain.split())
