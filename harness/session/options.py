"""What a caller may choose; the command line and pytest's options fill it in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import UsageError
from harness.model.run import Tried


@dataclass(frozen=True)
class Options:
    """`settings` are `--set` pairs. `seed` None: one is drawn, and stands in the report. `only` are checks' ids or
    kinds. `keep` leaves the cluster, `reuse` takes one that was left and fits, or a snapshot, which is taken where
    there is none. `stop_on_fail` ends a check's load at the first proof that it fails. `series`, `attempt` and
    `tries` go into the results (`Run`). Evidence is collected where something fails, with `evidence` always.
    `inventory` names hosts that exist; `kubeconfig`, `context` and `namespace` a Kubernetes that does.
    `pcap` are networks whose packets are captured meanwhile, `*` is all of them.
    """

    provider: str | None = None
    orchestrator: str | None = None
    workload_image: str | None = None
    runs_dir: Path = Path("runs")
    no_skip: bool = False
    seed: int | None = None
    keep: bool = False
    reuse: bool = False
    stop_on_fail: bool = False
    only: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    evidence: bool = False
    series: str = ""
    attempt: int = 1
    tries: tuple[Tried, ...] = ()
    inventory: Path | None = None
    pcap: tuple[str, ...] = ()
    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None

    @property
    def overrides(self) -> tuple[tuple[str, str], ...]:
        """All that is laid over the file, what has an option of its own last."""
        named = (
            ("cluster.provider", self.provider),
            ("cluster.orchestrator", self.orchestrator),
            ("cluster.workload_image", self.workload_image),
        )
        return (*self.settings, *((key, value) for key, value in named if value is not None))


def parse_setting(text: str) -> tuple[str, str]:
    """`cluster.nodes.worker=4` as a pair. Raises UsageError."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise UsageError(f"--set takes KEY=VALUE, such as cluster.nodes.worker=4, not {text!r}")
    return key.strip(), value
