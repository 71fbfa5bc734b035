"""Judges access modes: who could mount a volume beside the node that has it.

ReadWriteMany and ReadOnlyMany promise it to every node. ReadWriteOnce promises that a second node cannot, and only
an attachment enforces that (Kubernetes: Persistent Volumes, Access Modes): which of the two is the case is said,
and neither fails.
"""

from __future__ import annotations

from harness.checkers._tally import Tally, few
from harness.model.history import History, Op
from harness.model.plan import Plan
from harness.model.topology import Check
from harness.model.verdict import Verdict

ONE_NODE = "ReadWriteOnce"
DEFAULT_MODE = "ReadWriteMany"
#: How kubelets and the attach controller begin when a volume cannot be had.
REFUSALS = ("FailedAttachVolume", "FailedMount", "FailedMapVolume")


def check(history: History, plan: Plan, check: Check) -> Verdict:
    tally, let_in, refused = Tally(), [], []
    rows = list(history.only(f="access").ops())
    for row in rows:
        word, _, told = str(row.value or "").strip().partition(" ")
        if row.outcome != "ok" or word not in ("running", "waiting"):
            tally.doubts.append(f"{row.at}: whether it may mount the volume is not known: {row.value}")
        elif word == "running":
            let_in.append(row.at)
        elif told.startswith(REFUSALS):
            refused.append(f"{row.at}: {told}")
        else:
            tally.doubts.append(f"{row.at}: the pod did not start, and not for the volume's sake: {told}")
    volume, holder = _about(rows)
    mode = _mode(plan, volume)
    tally.figures |= {"nodes_let_in": len(let_in), "nodes_refused": len(refused)}
    if mode == ONE_NODE:
        tally.right(len(let_in) + len(refused))
        return tally.verdict(check, _of_one_node(volume, holder, let_in, refused))
    tally.right(len(let_in))
    tally.wrong += [f"{mode}, and refused beside {holder}: {told}" for told in refused]
    return tally.verdict(check, f"{mode}: {', '.join(let_in)} mount {volume} beside {holder}")


def _about(rows: list[Op]) -> tuple[str, str]:
    volume, _, holder = str(rows[0].key).partition("|") if rows else ("", "", "")
    return volume, holder


def _mode(plan: Plan, volume: str) -> str:
    found = plan.topology.volumes.get(volume)
    return (found.access_mode if found else None) or DEFAULT_MODE


def _of_one_node(volume: str, holder: str, let_in: list[str], refused: list[str]) -> str:
    parts = []
    if refused:
        parts.append(f"a second node is refused while {holder} has {volume}: {few(refused)}")
    if let_in:
        parts.append(f"nothing enforces it: {', '.join(let_in)} mount {volume} while {holder} has it")
    return f"{ONE_NODE}: {'; '.join(parts)}"
