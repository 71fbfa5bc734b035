"""docs/promises.md: the matrix for people. The same matrix, the same text."""

from __future__ import annotations

from collections.abc import Iterator

from harness.promises.matrix import Driver, Matrix, Rule, load

_HEAD = """# What volume drivers promise across hosts

Made from `harness/promises/matrix.yaml` by `harness promises > docs/promises.md`; change the data, not this page.

A check measures every promise that it can. **holds**: a breach fails. **may**: a breach is measured and shown,
and passes. **unproven**: nobody was found who says; measured, shown, passes. **opt**: the options decide, before
the run. An option that the matrix does not know turns every *holds* into *unproven*. A topology may state a
promise otherwise, with its reason:

    promises:
      - {volume: shared, promise: close-to-open, expected: holds, reason: "our mounts are coherent, see ..."}
"""


def render(matrix: Matrix | None = None) -> str:
    """Markdown: a table of all drivers and clients, what a promise means, each driver's rules, all sources."""
    matrix = matrix or load()
    numbers = {key: place for place, key in enumerate(matrix.sources, 1)}
    lines = [_HEAD, *_overview(matrix), "", *_meanings(matrix)]
    for name, driver in matrix.drivers.items():
        lines += ["", *_driver(name, driver, numbers)]
    lines += ["", "## Sources", ""]
    lines += [f"{numbers[key]}. {source}" for key, source in matrix.sources.items()]
    return "\n".join(lines) + "\n"


def _overview(matrix: Matrix) -> Iterator[str]:
    columns = [(name, client) for name, driver in matrix.drivers.items() for client in driver.clients]
    yield _row(["promise", *(f"{name}, {client}" for name, client in columns)])
    yield _row(["---"] * (len(columns) + 1))
    for promise in matrix.promises:
        yield _row([promise, *(matrix.drivers[name].expected(promise, client) for name, client in columns)])


def _meanings(matrix: Matrix) -> Iterator[str]:
    yield from ("## The promises", "")
    yield from (f"- `{name}`: {promise.means}." for name, promise in matrix.promises.items())


def _driver(name: str, driver: Driver, numbers: dict[str, int]) -> Iterator[str]:
    yield from (f"## {name}: {driver.title}", "")
    usual = driver.clients[driver.default_client]
    yield f"Clients: {', '.join(f'`{key}` ({client.title})' for key, client in driver.clients.items())}."
    yield f"Unless one is said: {usual.title}. Of the rows of a promise the first that fits counts."
    yield ""
    yield _row(["promise", "client", "with", "expected", "sources"])
    yield _row(["---"] * 5)
    for promise, cell in driver.cells.items():
        for place, rule in enumerate(cell):
            told = "" if place else promise
            sources = ", ".join(str(numbers[key]) for key in rule.sources)
            yield _row([told, ", ".join(rule.clients) or "any", _conditions(rule), rule.expected, sources])
    yield from ("", "Options that are understood:", "")
    for key, option in driver.options.items():
        words = ", ".join(f"`{word}`" for word in option.spelled if word != key)
        values = "a number" if option.number else ", ".join(option.values) or "a text"
        default = f"; default {option.default}" if option.default else ""
        yield f"- `{key}`{f' (or {words})' if words else ''}: {option.means}; {values}{default}."


def _conditions(rule: Rule) -> str:
    told = [f"`{key}` {' or '.join(value or 'unset' for value in values)}" for key, values in rule.when.items()]
    return ", ".join(told) or "-"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
