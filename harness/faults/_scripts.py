"""Faults that a node can do to its stores by itself: it keeps a script for each store that has the means.

A script prints by the verb `state` what holds on its node, and nothing where the means are another node's. By a
verb that takes away it brings the fault about; by one that gives back it undoes it, from what the node alone
knows, and prints something if there was something to undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from harness.faults import _wire
from harness.faults._rights import shell_of
from harness.model.errors import EnvironmentBroken, UsageError
from harness.model.places import STORES_DIR
from harness.model.plan import Demand
from harness.ports import Cluster, Felt, Host, Right
from harness.transport.parallel import at_once

_FIND = 'for script in "$1"/*/"$2"; do [ ! -e "$script" ] || echo "$script"; done'


@dataclass(frozen=True)
class Words:
    """`script` is the file's name, `take` and `give` its verbs, `holds` the state while the fault holds; `absent`
    and `hint` say what is wrong where no target has such a script, `undone` what giving back was.
    """

    script: str
    take: str
    give: str
    holds: str
    absent: str
    hint: str
    undone: str


@dataclass(frozen=True)
class StoreFault:
    """A Fault by scripts of stores. Its targets are nodes."""

    name: str
    words: Words
    rights: frozenset[Right] = field(default=frozenset({"shell"}))

    def demands(self) -> list[Demand]:
        return []

    def inject(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> None:
        """Raises UsageError where no store has a script of this kind on a target."""
        del direction  # what is taken from a node has none
        scripts = [script for script, state in self._states(cluster, targets, timeout_s) if state]
        if not scripts:
            raise UsageError(
                f"the fault {self.name}: {self.words.absent} on {', '.join(targets)}", hint=self.words.hint
            )
        at_once([partial(_tell, host, script, self.words.take, timeout_s) for host, script in scripts])

    def felt(self, cluster: Cluster, targets: Sequence[str], direction: str, *, timeout_s: float) -> Felt:
        """Every script on the targets says that it holds."""
        del direction
        states = [(script, state) for script, state in self._states(cluster, targets, timeout_s) if state]
        told = "; ".join(f"{_title(script)} on {host.name} is {state}" for (host, script), state in states)
        holds = bool(states) and all(state == self.words.holds for _, state in states)
        return Felt(holds, told or f"{self.words.absent} there")

    def heal(self, cluster: Cluster, *, timeout_s: float) -> list[str]:
        """Whatever was taken is given back, also where it was not all of it. A node that does not answer keeps no
        other from it: it gives back what it took when it starts (harness/stores/_scripted.py, `up`).
        """
        shell_of(cluster, self.name)
        given = at_once([partial(self._gives, host, timeout_s) for host in cluster.hosts.values()])
        return [f"{self.words.undone} {_title(script)} on {node}" for node, script in chain.from_iterable(given)]

    def _gives(self, host: Host, timeout_s: float) -> list[tuple[str, str]]:
        """(node, script) of each script that had something to give back."""
        try:
            scripts = self._scripts(host, timeout_s)
        except EnvironmentBroken:  # looking cannot fail on a node that is there
            return []
        return [(host.name, script) for script in scripts if _tell(host, script, self.words.give, timeout_s)]

    def _states(
        self, cluster: Cluster, nodes: Sequence[str], timeout_s: float
    ) -> list[tuple[tuple[Host, str], str]]:
        shell_of(cluster, self.name)
        hosts = [cluster.hosts[node] for node in nodes]
        found = at_once([partial(self._scripts, host, timeout_s) for host in hosts])
        scripts = [(host, script) for host, own in zip(hosts, found, strict=True) for script in own]
        states = at_once([partial(_tell, host, script, "state", timeout_s) for host, script in scripts])
        return list(zip(scripts, states, strict=True))

    def _scripts(self, host: Host, timeout_s: float) -> list[str]:
        find = ["sh", "-c", _FIND, "sh", STORES_DIR, self.words.script]
        return _wire.run(host, find, timeout_s).split()


def _tell(host: Host, script: str, verb: str, timeout_s: float) -> str:
    return _wire.run(host, ["sh", script, verb], timeout_s).strip()


def _title(script: str) -> str:
    """The store of `STORES_DIR/STORE/NAME`."""
    return f"store {script.split('/')[-2]}"
