"""Pages by templates: whatever comes from a run is escaped and without control characters."""

from __future__ import annotations

import jinja2
from markupsafe import Markup

from harness.report.text import clean, figure, listed, plural, seconds


def templates(package: str) -> jinja2.Environment:
    """The templates of `package`; the style of reports (`report.css`) can be included everywhere."""
    loader = jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("harness.report")])
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else clean(value),
    )  # fmt: skip
    environment.filters.update(seconds=seconds, figure=figure, plural=plural, listed=listed, clean=clean)
    return environment
