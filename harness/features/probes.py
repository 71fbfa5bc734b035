"""Asking hosts: every feature in one call, each with a deadline of its own, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.features.catalog import CNI, FEATURES, PACKAGE, Feature, cni, package
from harness.model.errors import EnvironmentBroken
from harness.model.plan import Demand
from harness.model.verdict import Skip
from harness.ports import Cluster, Host

PROBE_TIMEOUT_S = 15.0
#: Of one feature; a module that does not load may take its time.
FEATURE_TIMEOUT_S = 4
#: Without root a user namespace gives some rights; what fails there may yet work with more of them.
_PRELUDE = """
u="unshare --net --mount" no=no
[ "$(id -u)" = 0 ] || { u="unshare --map-root-user --net --mount" no=untried; }
"""


@dataclass(frozen=True)
class Answer:
    """`ok` is None where it could not be tried; `why` says what the attempt said, or why there was none."""

    ok: bool | None
    why: str = ""


def feature(name: str) -> Feature:
    """What a demand names: an entry of the catalogue, `package:NAME` or `cni:NAME`. Raises KeyError."""
    asked = {PACKAGE: package, CNI: cni}
    return next((made(name) for prefix, made in asked.items() if name.startswith(prefix)), None) or FEATURES[name]


def attempt(host: Host, names: Iterable[str]) -> dict[str, Answer]:
    """Whether `host` can do each of `names`. One call for all of them. A host that is emulated says by its
    `slowness` how many times longer it may take.

    Raises EnvironmentBroken where the probes themselves cannot run.
    """
    wanted = [feature(name) for name in dict.fromkeys(names)]
    if not wanted:
        return {}
    limit_s = FEATURE_TIMEOUT_S * getattr(host, "slowness", 1.0)
    script = "\n".join([_PRELUDE, *(_try(each, limit_s) for each in wanted), "wait"])
    result = host.run(["sh", "-c", script], timeout_s=PROBE_TIMEOUT_S)
    lines = (line.partition(" ") for line in result.stdout.splitlines())
    answers = {name: _answer(rest) for name, _, rest in lines}
    silent = [each.name for each in wanted if each.name not in answers]
    if silent:
        raise EnvironmentBroken(f"{host.name}: the probe of {', '.join(silent)} gave no answer: {result.output}")
    return {each.name: answers[each.name] for each in wanted}


def _try(wanted: Feature, limit_s: float) -> str:
    """Prints `NAME ok`, `NAME no WORDS` or `NAME untried WORDS`, beside all others."""
    name, words = wanted.name, '"$(echo $out | tail -c 200)"'
    tried = (
        f"out=$(timeout {limit_s:g} $u sh -c {_quoted(wanted.script)} 2>&1); code=$?; "
        f"case $code in 0) echo {name} ok ;; 124) echo {name} no no answer in {limit_s:g} s ;; "
        f"*) echo {name} $no {words} ;; esac"
    )
    for program in wanted.needs:
        absent = f"echo {name} untried there is no program {program}"
        tried = f"if command -v {program} >/dev/null; then {tried}; else {absent}; fi"
    return f"{{ {tried}; }} &"


def _answer(rest: str) -> Answer:
    verdict, _, why = rest.partition(" ")
    return Answer({"ok": True, "no": False}.get(verdict), why.strip() or ("" if verdict == "ok" else "refused"))


def probe(host: Host, names: Iterable[str]) -> dict[str, str]:
    """What `host` lacks of `names`, each with the words of the attempt; what could not be tried is lacking.

    Raises EnvironmentBroken where the probes themselves cannot run.
    """
    return {name: answer.why for name, answer in attempt(host, names).items() if answer.ok is not True}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def missing(cluster: Cluster, demands: Iterable[Demand]) -> list[tuple[Demand, str]]:
    """Demands that some node cannot meet, each with what it lacks: `ipvs (n1: ...)`."""
    asked = list(demands)
    by_node = {name: [d.feature for d in asked if not d.nodes or name in d.nodes] for name in cluster.hosts}
    with ThreadPoolExecutor(max_workers=8) as pool:
        lacks = dict(zip(by_node, pool.map(lambda n: probe(cluster.hosts[n], by_node[n]), by_node), strict=True))
    return [(demand, f"{demand.feature} ({who})") for demand in asked if (who := _first_lacking(demand, lacks))]


def _first_lacking(demand: Demand, lacks: Mapping[str, Mapping[str, str]]) -> str:
    """`n1: its words` for the first node that the demand is about and that lacks it; empty where none does."""
    for node, lacking in lacks.items():
        if demand.feature in lacking and (not demand.nodes or node in demand.nodes):
            return f"{node}: {lacking[demand.feature]}"
    return ""


def skips(unmet: Iterable[tuple[Demand, str]], check: str) -> list[Skip]:
    """The parts of `check` that cannot run, by the missing feature's name."""
    return [Skip(check, demand.part, what) for demand, what in unmet if demand.wanted_by == f"check {check}"]
