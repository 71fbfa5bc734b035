"""A topology as YAML, all defaults written out, so that a newer version's defaults do not change it."""

from __future__ import annotations

from typing import Any

import yaml

from harness.model.topology import Check, Topology


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (PyYAML's signature)
        """Equal parts are written out, for readers."""
        return True


def dump(topology: Topology) -> str:
    """YAML text; `loads` makes an equal Topology of it, with the catalog that made the first."""
    data = topology.model_dump(mode="json", exclude_none=True, exclude={"checks"})
    data["checks"] = [_entry(check) for check in topology.checks]
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _entry(check: Check) -> dict[str, Any]:
    own: dict[str, Any] = {"id": check.id} if check.id != check.kind else {}
    if check.faults:
        own["faults"] = [
            {**fault.model_dump(mode="json", exclude={"params"}), **fault.params} for fault in check.faults
        ]
    return {check.kind: {**check.params, **own}}
