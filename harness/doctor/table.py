"""An examination for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from harness.doctor.examine import Examination
from harness.doctor.finding import Finding

TITLES = {
    "networks": "Networks",
    "faults": "Faults",
    "volumes": "Volumes",
    "machines": "This machine",
}
_MARKS = {True: ("yes", "green"), False: ("no", "red"), None: ("not tried", "yellow")}


def tables(examination: Examination) -> Iterator[Table]:
    """A table a group: what was tried, how it went, and what that means."""
    for group, title in TITLES.items():
        findings = [finding for finding in examination.findings if finding.group == group]
        if findings:
            yield _table(title, findings)


def _table(title: str, findings: list[Finding]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, expand=False)
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="fold")
    for finding in findings:
        word, colour = _MARKS[finding.ok]
        table.add_row(Text(finding.name), Text(word, style=colour), _meaning(finding))
    return table


def _meaning(finding: Finding) -> Text:
    """Of what works, what it is for; of what does not, why, what is lost by it, and what mends it."""
    blocks = ", ".join(finding.blocks)
    if finding.ok:
        return Text(finding.why or blocks, style="dim")
    lines = [f"{finding.why.rstrip('.')}." if finding.why else ""]
    lines.append(f"It stops: {blocks}." if blocks else "")
    lines.append(f"To mend: {finding.mend}." if finding.mend else "")
    return Text(" ".join(line for line in lines if line))
