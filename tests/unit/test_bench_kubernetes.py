"""What the bench of Kubernetes runs: the topology that travels along, without faults and nothing else changed."""

from __future__ import annotations

from pathlib import Path

from harness import loader
from harness.model.places import data_dir
from harness.session import CATALOG
from tests.bench.kubernetes import _without_faults


def test_overlay_without_faults_is_overlay_but_for_faults_and_the_orchestrator(tmp_path: Path) -> None:
    whole = data_dir("topologies") / "overlay.yaml"
    plain = tmp_path / "overlay.yaml"
    plain.write_text(_without_faults(whole))
    made, given = loader.load(plain, CATALOG), loader.load(whole, CATALOG)
    assert any(check.faults for check in given.checks)
    assert not any(check.faults for check in made.checks)
    kept = [check for check in given.checks if check.kind != "recovery"]  # about nothing without faults
    assert [(check.id, check.params) for check in made.checks] == [(check.id, check.params) for check in kept]
    assert (made.cluster.provider, made.cluster.orchestrator) == ("kind", "kubernetes")
    same = {"networks", "volumes", "services", "stores"}
    assert made.model_dump(include=same) == given.model_dump(include=same)
