"""Options of the plugin: those of `harness run`, with the prefix `--harness-`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.session import Options

_VALUES = {
    "provider": "instead of the topology's own",
    "orchestrator": "instead of the topology's own",
    "workload-image": "instead of the harness's own",
    "runs-dir": "where run folders are written (default: runs)",
    "seed": "repeat the plan of an earlier run",
    "inventory": "hosts that exist; default: HARNESS_INVENTORY",
    "kubeconfig": "a Kubernetes that exists; default: HARNESS_KUBECONFIG",
    "context": "of the kubeconfig; default: HARNESS_CONTEXT, or its current one",
    "namespace": "one that exists, where none can be made; default: HARNESS_NAMESPACE",
}
_FLAGS = {
    "keep": "leave clusters up",
    "reuse": "use a cluster that was kept, and leave it up; or wake, or take, a snapshot of guests",
    "no-skip": "what is skipped for a missing feature fails",
}


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("harness", "clusters and topologies")
    for name, text in _VALUES.items():
        group.addoption(f"--harness-{name}", default=None, help=text)
    for name, text in _FLAGS.items():
        group.addoption(f"--harness-{name}", action="store_true", help=text)
    group.addoption(
        "--harness-set", action="append", default=[], metavar="KEY=VALUE", help="lay a value over the topology"
    )


def options_of(config: pytest.Config) -> Options:
    """Raises pytest.UsageError for a value that cannot be used."""
    from harness.model.errors import UsageError  # noqa: PLC0415
    from harness.session import Options  # noqa: PLC0415
    from harness.session.options import parse_setting  # noqa: PLC0415

    def value(name: str) -> str | None:
        found: str | None = config.getoption(f"--harness-{name}")
        return found

    def path(name: str) -> Path | None:
        found = value(name)
        return Path(found) if found else None

    seed = value("seed")
    if seed is not None and not seed.isdigit():
        raise pytest.UsageError(f"--harness-seed takes a number, not {seed!r}")
    try:
        settings = tuple(parse_setting(text) for text in config.getoption("--harness-set"))
    except UsageError as error:
        raise pytest.UsageError(error.message) from error
    return Options(
        provider=value("provider"),
        orchestrator=value("orchestrator"),
        workload_image=value("workload-image"),
        runs_dir=path("runs-dir") or Path("runs"),
        no_skip=config.getoption("--harness-no-skip"),
        seed=int(seed) if seed is not None else None,
        keep=config.getoption("--harness-keep"),
        reuse=config.getoption("--harness-reuse"),
        settings=settings,
        inventory=path("inventory"),
        kubeconfig=path("kubeconfig"),
        context=value("context"),
        namespace=value("namespace"),
    )


def refuse_nonsense(config: pytest.Config) -> None:
    """Raises pytest.UsageError for a value that cannot be used, before anything is collected."""
    if config.getoption("--harness-seed") is not None or config.getoption("--harness-set"):
        options_of(config)


def refuse_xdist(config: pytest.Config) -> None:
    """Parallel workers would each make clusters of their own, and their faults and measurements would meet."""
    parallel = config.getoption("numprocesses", None) or hasattr(config, "workerinput")
    named = [arg for arg in config.args if arg.partition("::")[0].endswith((".yaml", ".yml"))]
    if parallel and named:
        raise pytest.UsageError(
            f"{named[0]}: topologies do not run under pytest-xdist (leave out -n): every worker would make the "
            "cluster again, and the measurements and faults of one would disturb the others"
        )
