"""A comparison as JSON (harness/schema/compare.schema.json)."""

from __future__ import annotations

from typing import Any

from harness.compare.matrix import Difference, Figure, Matrix, Promised
from harness.report.text import finite

SCHEMA = 1


def to_json(matrix: Matrix) -> dict[str, Any]:
    data: dict[str, Any] = finite(
        {
            "schema": SCHEMA,
            "topology": matrix.topology,
            "seed": matrix.seed,
            "repeat": matrix.planned,
            "partial": matrix.partial,
            "cells": [
                {"name": cell.name, "settings": dict(cell.settings), "runs": _states(matrix, number)}
                for number, cell in enumerate(matrix.cells)
            ],
            "order": [list(row) for row in matrix.order],
            "runs": [
                {
                    "cell": s.cell,
                    "round": s.round,
                    "run": s.run,
                    "folder": s.folder,
                    "state": s.state,
                    "error": s.error,
                }
                for s in matrix.samples
            ],
            "checks": [{"check": c, "cells": [dict(n) for n in counts]} for c, counts in matrix.checks.items()],
            "promises": [
                {"of": of, "name": name, "cells": [_promised(each) for each in cells]}
                for (of, name), cells in matrix.promises.items()
            ],
            "reached": [
                {
                    "check": check,
                    "by": by,
                    "cells": [
                        {"bad": sum(r.bad for r in runs), "pairs": sum(r.pairs for r in runs)} for runs in cells
                    ],
                }
                for (check, by), cells in matrix.reached.items()
            ],
            "figures": [_figure(figure) for figure in matrix.figures],
            "differences": [_difference(each) for each in matrix.differences],
        }
    )
    return data


def _states(matrix: Matrix, cell: int) -> dict[str, int]:
    return dict(matrix.states(cell))


def _promised(found: Promised | None) -> dict[str, Any] | None:
    return None if found is None else {**vars(found), "state": found.state}


def _figure(figure: Figure) -> dict[str, Any]:
    cells = [[{"value": m.value, "baseline": m.base} for m in cell] for cell in figure.measures]
    return {"check": figure.check, "figure": figure.name, "relative": figure.relative, "cells": cells}


def _difference(each: Difference) -> dict[str, Any]:
    found = each.comparison
    return {
        "check": each.figure.check,
        "figure": each.figure.name,
        "first": each.first,
        "second": each.second,
        "ratio": found.ratio,
        "interval": None if found.low is None else [found.low, found.high],
        "p": found.p,
        "called": each.called,
        "too_few": found.too_few,
    }
