"""One run: up, deploy, checks, verdicts, report, down; on every way out nothing is left behind."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from harness import checkers, evidence, faults
from harness.model.errors import EnvironmentBroken, FeatureMissing, HarnessError, Interrupted
from harness.model.history import History
from harness.model.plan import Plan, cluster_key
from harness.model.run import Run, overall
from harness.model.topology import Check, Topology
from harness.model.verdict import Skip, Verdict
from harness.ports import Progress
from harness.report import RunView
from harness.runner import CheckRun, measured_clocks, run_checks
from harness.session import clusters, storage, surroundings
from harness.session.clusters import Live, agents_of
from harness.session.folder import RunFolder
from harness.session.judging import fault_records, judge, stopped_by, write_report
from harness.session.options import Options
from harness.session.planning import make_plan, new_run, require_environment, topology_of
from harness.session.recapture import candidate, recapture
from harness.session.registries import orchestrator, provider_of
from harness.session.skipping import skipped
from harness.transport.recorder import LINES, PARQUET, Recorder, read_history, to_parquet

#: A cluster is made anew this often after checks that did not restore it.
MAX_REMAKES = 3
#: The cluster waits so long for the verdicts, and then for so long evidence is collected of what failed.
JUDGE_WITHIN_S = 60.0
EVIDENCE_BUDGET_S = 20.0


@dataclass(frozen=True)
class RunResult:
    """`view` is what the report was made of. `cluster` names the one that was kept, if any; `left` is the run of
    one that was emptied and stands for the next topology.
    """

    run: Run
    folder: Path
    view: RunView
    error: HarnessError | None = None
    cluster: str | None = None
    left: str | None = None


#: What becomes of a cluster at the end of a run: it goes down; it stays with its services, for people; it is
#: emptied, since it was there before; it is emptied for the next topology, or goes down if it is not as it was.
Ending = Literal["down", "keep", "give back", "hand on"]


@dataclass(frozen=True)
class Paused:
    """A check that did not pass, on a cluster that is as it left it."""

    cluster: str
    check: str
    verdict: str
    reason: str


#: Holds a run after a check that did not pass, for as long as somebody looks; the run goes on when it returns.
Pause = Callable[[Paused], None]


def run(path: Path, options: Options, progress: Progress) -> RunResult:
    """Run the topology in `path` and judge it.

    Raises TopologyError or UsageError before anything is made. What breaks later stands in the result's `error`,
    with a report of all that was recorded until then.
    """
    return run_topology(topology_of(path, options), options, progress)


def run_topology(
    topology: Topology, options: Options, progress: Progress, pause: Pause | None = None
) -> RunResult:
    """As `run`, of a topology that was read already."""
    reused = _reusable(topology) if options.reuse else None
    ending: Ending = "give back" if reused else "keep" if options.keep else "down"
    return run_on(reused, topology, options, progress, ending, pause)


def run_on(
    cluster: str | None,
    topology: Topology,
    options: Options,
    progress: Progress,
    ending: Ending,
    pause: Pause | None = None,
) -> RunResult:
    """Run `topology` on the cluster of the run `cluster`, which has its shape, or on a new one."""
    require_environment()
    name = new_run()
    plan = make_plan(topology, options, run=cluster or name)
    folder = RunFolder.make(options.runs_dir, name)
    folder.write_plan(plan)
    for note in plan.notes:
        progress(f"note: {note}")
    reuse = cluster is not None
    return _Execution(name, plan, folder, options, progress, reuse=reuse, ending=ending, pause=pause).execute()


def _reusable(topology: Topology) -> str | None:
    """The run of a cluster that was kept and has the same shape."""
    key = cluster_key(topology)
    return next((info.run for info in clusters.cluster_infos() if info.key == key), None)


class _Execution:
    """The state of one run while it goes on."""

    def __init__(
        self,
        name: str,
        plan: Plan,
        folder: RunFolder,
        options: Options,
        progress: Progress,
        *,
        reuse: bool,
        ending: Ending,
        pause: Pause | None = None,
    ) -> None:
        self.name = name
        self.plan = plan
        self.folder = folder
        self.options = options
        self.progress = progress
        self.reuse = reuse
        self.ending: Ending = ending
        self.pause = pause
        self.started = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.started_s = time.monotonic()
        self.skipped: list[Skip] = []
        self.runs: list[CheckRun] = []
        self.env = surroundings.of_machine(options)
        self.error: HarnessError | None = None
        self.live: Live | None = None
        self._failing: tuple[Verdict, ...] = ()
        self._judged = threading.Event()

    def execute(self) -> RunResult:
        """The cluster is taken down beside the judging, which does not need it any more."""
        with ThreadPoolExecutor(max_workers=1) as aside:
            try:
                try:
                    self._work()
                finally:
                    leaving = aside.submit(self._leave)
                result = self._finish()
            finally:
                self._judged.set()
        failed = leaving.result()
        result = self._told_of(failed, result)
        return result if failed or self.ending != "hand on" else dataclasses.replace(result, left=self.plan.run)

    def _work(self) -> None:
        try:
            self._bring_up()
            with self._recording() as recorder:
                self._run_all(recorder)
        except FeatureMissing as missing:
            self._skip_all(missing)
        except HarnessError as error:
            self.error = error
        except KeyboardInterrupt:
            hint = f"harness check {self.folder.path} judges what was recorded" if self.live else None
            self.error = Interrupted("interrupted", hint=hint)

    def _told_of(self, failed: HarnessError | None, result: RunResult) -> RunResult:
        """What failed on the way out stands in the results, unless they already say why we are on it."""
        if failed is None:
            return result
        self.progress(f"the cluster could not be taken down: {failed.message}")
        if self.error is not None:
            return result
        self.error = failed
        return self._finish()

    # --- the cluster

    def _bring_up(self) -> None:
        self.live = self._find_and_deploy() if self.reuse else self._make()
        self._take_note()
        self._say_all(evidence.capturing.start(self.live.cluster, self._captures))

    def _make(self) -> Live:
        return clusters.up(self.plan, self.progress, snapshots=self.options.reuse)

    @property
    def _captures(self) -> dict[str, str]:
        """Networks whose packets are captured, by their names at the engine."""
        wanted = self.options.pcap if self.plan.orchestrator == "swarm" else ()
        names = [name for name in self.plan.topology.networks if "*" in wanted or name in wanted]
        return {name: f"{self.plan.cluster}-{name}" for name in names}

    def _say_all(self, failed: Sequence[str]) -> None:
        for line in failed:
            self.progress(line)

    def _skip_all(self, missing: FeatureMissing) -> None:
        """Nothing was deployed, since the hosts cannot carry it: no check can say anything."""
        self.progress(f"{missing.message}: every check is skipped")
        if missing.hint:
            self.progress(f"what to do: {missing.hint}")
        self.skipped = [Skip(check.id, "", need) for check in self.plan.checks for need in missing.needs]

    def _leave(self) -> HarnessError | None:
        self._save_logs()
        self._judged.wait(JUDGE_WITHIN_S)
        self._collect_evidence()
        try:
            self._take_down()
        except HarnessError as error:
            return error
        return None

    def _find_and_deploy(self) -> Live:
        chosen = provider_of(self.plan.topology)
        cluster = chosen.find(self.plan.cluster)
        self.progress(f"using {cluster.name} again")
        if self.options.reuse:  # whoever kept it did not empty it
            orchestrator(self.plan.orchestrator).delete(cluster, self.plan)
            storage.clear(cluster)
        return clusters.deploy(self.plan, cluster, chosen, self.progress)

    def _take_note(self) -> None:
        """What the live cluster lacks goes into the plan, and so into plan.json: a later judge skips the same."""
        assert self.live is not None
        unmet = self.live.unmet
        self.plan = dataclasses.replace(self.plan, unmet=tuple(demand for demand, _ in unmet))
        self.folder.write_plan(self.plan)
        self.skipped = [skip for check in self.plan.checks for skip in skipped(self.live, check)]
        self.env.update(surroundings.of_cluster(self.live))
        self.folder.write_env(self.env)

    def _save_logs(self) -> None:
        try:
            if self.live is not None:
                self.live.provider.logs(self.live.cluster.name, self.folder.path / "logs")
            elif self.error is not None:
                self.folder.write_logs(self.error.logs)
        except (HarnessError, OSError) as error:
            self.progress(f"the nodes' logs could not be saved: {error}")

    def _collect_evidence(self) -> None:
        """Of a cluster on which something failed. Whatever becomes of it, the verdict stays."""
        broken = self.error is not None and not isinstance(self.error, Interrupted)
        if self.live is None:
            return
        folder = self.folder.path / "evidence"
        try:
            self._say_all(evidence.capturing.save(self.live.cluster, self._captures, folder))
            if self._failing and self.error is None and not self.options.pcap:
                self._recapture(self.live, folder)
            if not (self._failing or broken or self.options.evidence):
                return
            evidence.collect(self.live.cluster, folder, self.progress, budget_s=EVIDENCE_BUDGET_S)
        except Exception as error:  # noqa: BLE001 - evidence is a service: its defects are told, and that is all
            self.progress(f"evidence could not be collected: {type(error).__name__}: {error}")

    def _recapture(self, live: Live, folder: Path) -> None:
        """Before anything else is collected: what failed may not fail for long."""
        check, why = candidate(self.plan, self._failing, self.runs)
        if why:
            self.progress(f"note: {why}")
        if check is None:
            return
        try:
            self._say_all(recapture(live, self.plan, check, folder, self.progress))
        except HarnessError as error:
            self.progress(f"{check.id} could not be asked once more: {error.message}")

    def _take_down(self) -> None:
        """A cluster that is not as it was is not handed on; nor is one that cannot be emptied."""
        if self.ending == "hand on" and (self.live is None or self.error or (self.runs and self.runs[-1].dirty)):
            self.ending = "down"
        if self.live is None and self.reuse and self.ending == "down":
            # handed on to us, and it could not be set up
            clusters.take_down(provider_of(self.plan.topology), self.plan.cluster)
        if self.live is None or self.ending == "keep" or (self.ending != "down" and self._emptied(self.live)):
            return
        self.ending = "down"
        self.progress(f"taking {self.live.cluster.name} down")
        clusters.take_down(self.live.provider, self.live.cluster.name)

    def _emptied(self, live: Live) -> bool:
        """Whether the cluster holds nothing of this run any more. Raises where it was somebody else's before."""
        try:
            live.orchestrator.delete(live.cluster, self.plan)
            storage.down(self.plan, live.cluster)
        except HarnessError as error:
            if self.ending == "give back":
                raise
            self.progress(f"{live.cluster.name} cannot be emptied: {error.message}")
            return False
        return True

    def _require_cluster(self) -> None:
        """What a check left dirty may be more than it: an engine that died took every node along."""
        assert self.live is not None
        if self.live.cluster.name not in {info.name for info in self.live.provider.clusters()}:
            raise EnvironmentBroken(
                f"{self.live.cluster.name} is gone: the engine that held its nodes does not answer any more",
                hint="`harness down --all` removes what is left",
            )

    def _remake(self, left: int) -> None:
        if not left:
            raise EnvironmentBroken(
                f"the cluster was made anew {MAX_REMAKES} times, and checks are left that change it"
            )
        self.progress("making the cluster anew: a check did not restore it")
        assert self.live is not None
        clusters.take_down(self.live.provider, self.live.cluster.name)
        self.live = None
        self.live = self._make()

    # --- the checks

    @contextmanager
    def _recording(self) -> Iterator[Recorder]:
        recorder = Recorder(self.folder.path / LINES)
        try:
            yield recorder
        finally:
            recorder.close()

    def _run_all(self, recorder: Recorder) -> None:
        left_out = {skip.check for skip in self.skipped if not skip.part}
        rest = [check for check in self.plan.checks if check.id not in left_out]
        remakes_left = MAX_REMAKES
        while rest:
            done = self._run_some(rest[:1] if self.pause else rest, recorder)
            self.runs += done
            self._hold(done, recorder)
            rest = rest[len(done) :]
            if done and done[-1].dirty:
                self._require_cluster()
                if rest:
                    self._remake(remakes_left)
                    remakes_left -= 1

    def _hold(self, done: Sequence[CheckRun], recorder: Recorder) -> None:
        """Wait where the check that has just ended did not pass, and somebody wants to look."""
        if self.pause is None or self.live is None or not done:
            return
        recorder.flush()
        check = next(each for each in self.plan.checks if each.id == done[-1].id)
        error = done[-1].error
        if error is not None:
            self.pause(Paused(self.live.cluster.name, check.id, "unknown", stopped_by(error)))
            return
        verdict = checkers.judge(read_history(self.folder.path), self.plan, check)
        if verdict.verdict != "pass":
            self.pause(Paused(self.live.cluster.name, check.id, verdict.verdict, verdict.reason))

    def _run_some(self, checks: Sequence[Check], recorder: Recorder) -> list[CheckRun]:
        assert self.live is not None
        shared = self.live.cluster.shared_clock
        if self.options.stop_on_fail and not shared:
            self.progress("note: --stop-on-fail does nothing here: hosts have clocks of their own")
        with ExitStack() as stack:
            agents = stack.enter_context(agents_of(self.live.cluster.hosts))
            if not shared:
                stack.enter_context(measured_clocks(agents, recorder))
            return run_checks(
                self.live.cluster,
                self.plan,
                self.live.orchestrator,
                faults=faults.REGISTRY,
                agents=agents,
                recorder=recorder,
                progress=self.progress,
                checks=checks,
                revive=partial(clusters.revive, agents, self.live.cluster.hosts),
                watcher=partial(checkers.watch, self.plan) if self.options.stop_on_fail and shared else None,
            )

    # --- the end

    def _note_clocks(self, history: History) -> None:
        """How well the clocks of hosts are known that have their own."""
        notes = surroundings.of_clocks(history)
        if notes:
            self.env["clocks"] = notes
            self.folder.write_env(self.env)

    def _finish(self) -> RunResult:
        recorded = any((self.folder.path / LINES).glob("*.jsonl"))
        history = read_history(self.folder.path) if recorded else History.of([])
        self._note_clocks(history)
        to_parquet(history, self.folder.path / PARQUET)
        stopped = {run.id: stopped_by(run.error) for run in self.runs if run.error is not None}
        ran = {run.id for run in self.runs} | history.coded("check").used()
        plan = dataclasses.replace(self.plan, checks=tuple(c for c in self.plan.checks if c.id in ran))
        verdicts = judge(history, plan, stopped, self.skipped)
        self._failing = tuple(verdict for verdict in verdicts if verdict.verdict == "fail")
        self._judged.set()
        error = self.error.message if self.error else None
        run = Run(
            id=self.name,
            topology=self.plan.topology.name,
            provider=self.plan.provider,
            orchestrator=self.plan.orchestrator,
            seed=self.plan.seed,
            verdict=overall(verdicts, error=error, skipped=self.skipped, no_skip=self.options.no_skip),
            error=error,
            started=self.started,
            duration_s=round(time.monotonic() - self.started_s, 3),
            checks=tuple(verdicts),
            skipped=tuple(self.skipped),
            faults=fault_records(history),
            settings=dict(self.options.overrides),
            series=self.options.series,
            attempt=self.options.attempt,
            tries=self.options.tries,
        )
        write_report(run, self.plan, history, self.env, self.folder)
        kept = self.live.cluster.name if self.live and self.ending in ("keep", "give back") else None
        view = RunView(run, self.plan, history, self.env)
        return RunResult(run, self.folder.path, view, self.error, kept)
