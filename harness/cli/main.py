"""`harness`: verbs and exit codes.

Exit codes: 0 pass, 1 a check failed, 2 unknown, 64 usage or bad topology, 70 the environment broke or the harness
itself, 130 Ctrl-C. The command line library's own code for usage, and Python's for a traceback, do not leak out.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from harness import __version__, loader, planner, session
from harness.cli import again, clusters, collect, compare, doctor, faults, histories, init, record, reproduce
from harness.cli.choices import (
    Context,
    Inventory,
    Json,
    Keep,
    Kubeconfig,
    Namespace,
    NoSkip,
    Only,
    Orchestrator,
    Pcap,
    ProviderName,
    Reuse,
    RunsDir,
    Seed,
    Set,
    StopOnFail,
    WorkloadImage,
    options,
)
from harness.cli.interrupts import Interrupts
from harness.cli.output import Progress, errors, outlive_readers, show_defect, show_error
from harness.model.errors import (
    EXIT_BROKEN,
    EXIT_INTERRUPTED,
    EXIT_PASS,
    EXIT_USAGE,
    HarnessError,
    Problem,
    TopologyError,
    UsageError,
)
from harness.model.plan import plan_to_json
from harness.model.run import Run
from harness.model.verdict import EXIT
from harness.promises import render as promise_matrix
from harness.report import markdown, terminal
from harness.reproduce.catalog import read_scenario

app = typer.Typer(
    name="harness",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
clusters.add_to(app)
app.add_typer(faults.app)
app.command()(reproduce.reproduce)
app.command()(collect.collect)
app.command(name="doctor")(doctor.doctor_)
app.command()(init.init)
app.command(name="compare")(compare.compare_)
app.command(name="record")(record.record_)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A topology in YAML.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Topologies in YAML.")]
RunToJudge = Annotated[Path | None, typer.Argument(metavar="RUN", help="A folder below runs/.")]
RunFolderName = Annotated[Path, typer.Argument(metavar="RUN", help="A folder below runs/, such as runs/latest.")]


@app.command()
def validate(files: Files, set_: Set = None, as_json: Json = False) -> int:
    """Say everything that is wrong with topologies and scenarios: file, line, column, key, and what may have been
    meant.
    """
    chosen = options(set_=set_)
    found: list[Problem] = []
    for file in files:
        try:
            _read(file, chosen)
        except TopologyError as error:
            found += error.problems
            if not as_json:
                show_error(error)
        else:
            if not as_json:
                print(f"{file}: ok")
    if as_json:
        print(json.dumps({"problems": [vars(problem) for problem in found]}, indent=1))
    return EXIT_USAGE if found else EXIT_PASS


def _read(file: Path, chosen: session.Options) -> None:
    """A topology, or a scenario of `harness reproduce`. Raises TopologyError."""
    try:
        session.topology_of(file, chosen)
    except TopologyError as error:
        if not any(problem.key == "reproduced_when" for problem in error.problems):
            raise
        read_scenario(file)


@app.command()
def plan(
    file: File,
    provider: ProviderName = None,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    orchestrator: Orchestrator = None,
    set_: Set = None,
    only: Only = None,
    seed: Seed = None,
    workload_image: WorkloadImage = None,
    as_json: Json = False,
) -> int:
    """Show every step and document of a topology. Nothing is changed."""
    chosen = options(
        provider=provider,
        inventory=inventory,
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        orchestrator=orchestrator,
        set_=set_,
        only=only,
        seed=seed,
        workload_image=workload_image,
    )
    made = session.make_plan(session.topology_of(file, chosen), chosen, run="RUN")
    print(json.dumps(plan_to_json(made), indent=1) if as_json else planner.describe(made))
    return EXIT_PASS


@app.command()
def run(
    files: Files,
    provider: ProviderName = None,
    inventory: Inventory = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    orchestrator: Orchestrator = None,
    set_: Set = None,
    only: Only = None,
    seed: Seed = None,
    keep: Keep = False,
    reuse: Reuse = False,
    no_skip: NoSkip = False,
    stop_on_fail: StopOnFail = False,
    workload_image: WorkloadImage = None,
    runs_dir: RunsDir = Path("runs"),
    repeat: again.Repeat = 1,
    until_fail: again.UntilFail = False,
    retries: again.Retries = 0,
    pause_on_fail: again.PauseOnFail = False,
    pcap: Pcap = None,
    as_json: Json = False,
) -> int:
    """Bring a cluster up, deploy, check under faults, judge, report, and take everything down.

    Several topologies run one after another; a cluster is used again for the next one whose `cluster` section is
    the same. The exit code is the worst of all; of tries, that of the last one.
    """
    times = again.chosen(repeat, until_fail=until_fail, retries=retries)
    pause = again.pausing(pause_on_fail)
    chosen = options(
        provider=provider,
        inventory=inventory,
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        orchestrator=orchestrator,
        set_=set_,
        only=only,
        seed=seed,
        keep=keep,
        reuse=reuse,
        no_skip=no_skip,
        stop_on_fail=stop_on_fail,
        workload_image=workload_image,
        runs_dir=runs_dir,
        pcap=pcap,
    )
    return _run_all(session.Series(files, chosen, times, pause), times, as_json)


def _run_all(series: session.Series, times: session.Again, as_json: bool) -> int:
    """Show each run as it ends; the worst code of them, of tries that of the last one."""
    codes: dict[str, int] = {}
    ran: list[Run] = []
    with Progress() as progress, closing(series.results(progress)) as results:
        for result in results:
            with progress.paused():
                code = _show_result(result, as_json)
            ran.append(result.run)
            codes[result.run.series if times.retries else result.run.id] = code
            if code == EXIT_INTERRUPTED:
                break
    for line in again.told(ran, times):
        errors.print(line, markup=False)
    return max(codes.values(), key=_badness)


def _show_result(result: session.RunResult, as_json: bool) -> int:
    if as_json:
        print(json.dumps(result.run.to_json()))
    else:
        terminal.print_run(result.view, Console(highlight=False), result.folder)
    if result.cluster:
        errors.print(_kept(result.cluster))
    if result.error:
        show_error(result.error)
        return result.error.exit_code
    return EXIT[result.run.verdict]


def _kept(cluster: str) -> str:
    return (
        f"{cluster} is kept: `harness shell {cluster} n1` looks inside, `harness down {cluster}` removes it, "
        "`--reuse` runs on it again"
    )


def _badness(code: int) -> int:
    """Pass < unknown < fail < usage < broken < interrupted"""
    return [0, 2, 1, EXIT_USAGE, EXIT_BROKEN, EXIT_INTERRUPTED].index(code)


@app.command()
def check(
    run: RunToJudge = None,
    only: Only = None,
    history: histories.HistoryFile = None,
    model: histories.Model = None,
    format_: histories.Format = None,
    failed_cas: histories.FailedCas = None,
    timeout_s: histories.Timeout = 60.0,
    as_json: Json = False,
) -> int:
    """Judge an earlier run again, with the checkers of this version, and write its report anew; or judge a history
    by itself, also one that another program recorded.
    """
    if history:
        if run or only:
            raise UsageError("--history judges a history by itself", hint="leave out the run and --only")
        return histories.check_history(
            history, format_=format_, model=model, failed_cas=failed_cas, timeout_s=timeout_s, as_json=as_json
        )
    if run is None:
        raise UsageError("a run is missing, or --history FILE", hint="`ls runs/` shows the runs that are there")
    if model or format_ or failed_cas:
        raise UsageError("--model, --format and --failed-cas go with --history FILE")
    judged, folder = session.judge_run(run, only=only or ())
    return _show_judged(judged, folder, as_json)


def _show_judged(run: Run, folder: Path, as_json: bool) -> int:
    if as_json:
        operations = sum(sum(kinds.values()) for check in run.checks for kinds in check.operations.values())
        worst = next((c for c in run.checks if c.verdict == run.verdict), None)
        told: dict[str, Any] = {
            "verdict": run.verdict,
            "checker": [check.name for check in run.checks],
            "operations": operations,
            "witness": worst.reason if worst else "no check ran",
        }
        print(json.dumps(told))
    else:
        terminal.print_run(session.view_of(folder), Console(highlight=False), folder)
    return EXIT[run.verdict]


@app.command()
def report(
    run: RunFolderName,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="For a CI job's summary, or an issue.")] = False,
) -> int:
    """Show the summary of an earlier run, and where its report stands."""
    view = session.view_of(run)
    if as_markdown:
        print(markdown(view, run), end="")
        return EXIT_PASS
    terminal.print_run(view, Console(highlight=False), run)
    return EXIT_PASS


@app.command()
def schema() -> int:
    """Print the JSON schema of the topology format, for editors."""
    print(loader.render_schema(session.CATALOG), end="")
    return EXIT_PASS


@app.command()
def promises() -> int:
    """Print what each volume driver promises across hosts, with its sources, as Markdown."""
    print(promise_matrix(), end="")
    return EXIT_PASS


@app.command()
def version() -> int:
    """Print the version."""
    print(__version__)
    return EXIT_PASS


def _version(wanted: bool) -> None:
    if wanted:
        raise typer.Exit(version())


@app.callback()
def options_of_all(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Deploys networks and shared volumes on real multi-node clusters from YAML, checks them across hosts under
    faults, and reports.
    """


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code. Never raises."""
    try:
        code = app(args=list(arguments), standalone_mode=False)
        return code if isinstance(code, int) else EXIT_PASS
    except HarnessError as error:
        show_error(error)
        return _code(arguments, error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        errors.print("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback's exit code 1 may look like a verdict
        if _is_usage(error):
            return _code(arguments, EXIT_USAGE)
        show_defect(traceback.format_exc())
        return _code(arguments, EXIT_BROKEN, defect=True)


def _code(arguments: Sequence[str], code: int, *, defect: bool = False) -> int:
    """`reproduce` has codes of its own, for git bisect."""
    return reproduce.exit_code(code, defect=defect) if list(arguments[:1]) == ["reproduce"] else code


def _is_usage(error: Exception) -> bool:
    """Whether the command line library refuses the arguments; it has said why by then, or says so here."""
    show = getattr(error, "show", None)
    if show is None or not hasattr(error, "format_message"):
        return False
    show()
    return True


def run_main() -> None:
    """Entry point of the `harness` command."""
    outlive_readers()
    Interrupts().install()
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run_main()
