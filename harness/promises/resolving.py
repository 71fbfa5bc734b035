"""What one volume promises: the matrix, with a driver, a client and the options that are set. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.model.verdict import Expected
from harness.promises.matrix import Driver, Matrix, Option, Rule, load

Promises = dict[str, tuple[Expected, str]]
#: Every promise that the matrix knows, in its order.
NAMES: tuple[str, ...] = tuple(load().promises)
#: How the source of an override begins.
OVERRIDDEN = "overridden by the topology"


def promises_of(driver: str, client: str, options: Mapping[str, str], *, matrix: Matrix | None = None) -> Promises:
    """Every promise of the matrix as (expected, source), for VolumePlan.promises. `opt` is resolved.

    `client` empty: the driver's usual one. `options` are those of mount, volume and server together, as a user
    writes them; the comma-separated words of `o` are read one by one, and what comes later wins. What the matrix
    does not know (a driver, a client, an option, a value) makes unproven of what would hold, and says so.
    """
    matrix = matrix or load()
    known = matrix.drivers.get(driver)
    if known is None:
        return _all_unproven(matrix, f"the driver {driver!r} is not in the promise matrix")
    client = client or known.default_client
    if client not in known.clients:
        return _all_unproven(matrix, f"the client {client!r} of {driver} is not in the promise matrix")
    chosen = _chosen(known, options)
    rules = {name: _first(known.cells[name], client, chosen.values) for name in matrix.promises}
    return {name: _stated(matrix, driver, rule, chosen.strange) for name, rule in rules.items()}


def overridden(promises: Mapping[str, tuple[str, str]], promise: str, expected: str, reason: str) -> Promises:
    """The same promises but for one that a topology states otherwise. The matrix's own word stays readable."""
    was, source = promises.get(promise, ("unproven", ""))
    told = f"{OVERRIDDEN}: {reason}; the matrix says {was}{f' ({source})' if source else ''}"
    return {**promises, promise: (expected, told)}  # type: ignore[dict-item]


@dataclass(frozen=True)
class _Chosen:
    """Effective values by option; `strange` is what the matrix does not know, as it was written."""

    values: Mapping[str, str]
    strange: tuple[str, ...]


def _chosen(driver: Driver, options: Mapping[str, str]) -> _Chosen:
    values = {name: option.default for name, option in driver.options.items()}
    strange = []
    for word, given in _words(options):
        found = _option(driver, word)
        value = found[1].normal(_meant(found, word, given)) if found else None
        if found is None or value is None:
            strange.append(f"{word}={given}" if given else word)
        else:
            values[found[0]] = value
    return _Chosen(values, tuple(strange))


def _words(options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if name != "o":
            yield name, value
            continue
        for word in filter(None, (part.strip() for part in value.split(","))):
            key, _, given = word.partition("=")
            yield key, given


def _option(driver: Driver, word: str) -> tuple[str, Option] | None:
    if word in driver.options:
        return word, driver.options[word]
    return next(((name, option) for name, option in driver.options.items() if word in option.spelled), None)


def _meant(found: tuple[str, Option], word: str, given: str) -> str:
    """A word that stands for a value stands alone: `nocto=false` may deny it, and is strange."""
    value = found[1].spelled.get(word, "")
    if not value or (given and word == found[0]):
        return given
    return value if given in ("", value) else f"{word}={given}"


def _first(cell: tuple[Rule, ...], client: str, values: Mapping[str, str]) -> Rule:
    return next(
        rule
        for rule in cell
        if (not rule.clients or client in rule.clients)
        and all(values[key] in wanted for key, wanted in rule.when.items())
    )


def _stated(matrix: Matrix, driver: str, rule: Rule, strange: tuple[str, ...]) -> tuple[Expected, str]:
    source = "; ".join(str(matrix.sources[key]) for key in rule.sources)
    if rule.expected != "holds" or not strange:
        return rule.expected, source
    return "unproven", f"the promise matrix does not know {', '.join(strange)} of {driver}; without it: {source}"


def _all_unproven(matrix: Matrix, why: str) -> Promises:
    return dict.fromkeys(matrix.promises, ("unproven", why))
