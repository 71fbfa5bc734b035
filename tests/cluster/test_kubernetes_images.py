"""Where a Kubernetes that exists has our image from: a registry, or `kind load image-archive`.

The registry is Debian's docker-registry, unpacked into the cache. Each node has one at its loopback, where its
containerd asks by plain HTTP; what they hold lies in the directory that all nodes share.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import session
from harness.model.places import cache_dir
from harness.ports import Cluster, Host
from harness.providers import images
from harness.providers.debian import cached_program
from harness.providers.docker import DockerProvider
from harness.providers.kind_image import NODE_SUITE, kind_program
from harness.session import Options
from tests.cluster_bench import TIMEOUT_S, done, quiet
from tests.cluster_cli import Ended, only_run, start
from tests.cluster_foreign import Foreign, foreign, may_run

TOPOLOGY = Path(__file__).parent / "topologies" / "two-pods.yaml"
RUN_TIMEOUT_S = 600.0
SHARED = "/harness/shared"
CTR = ("ctr", "--namespace", "k8s.io", "images")
OURS = f"docker.io/{images.tag('workload')}"
HELD, LOADED = "localhost:5000/held:1", "registry.test/loaded:1"
CONFIG = f"""
version: 0.1
storage: {{filesystem: {{rootdirectory: {SHARED}/images}}}}
http: {{addr: "127.0.0.1:5000"}}
"""
#: Ends with the node. It answers once somebody can be connected with.
SERVE = f"""
setsid {SHARED}/registry serve {SHARED}/registry.yml >/tmp/registry.log 2>&1 &
for _ in $(seq 100); do
  if (exec 3<>/dev/tcp/127.0.0.1/5000) 2>/dev/null; then exit 0; fi
  sleep 0.1
done
cat /tmp/registry.log
exit 1
"""


@pytest.fixture(scope="module")
def theirs(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """A cluster of somebody else's whose nodes have nothing of ours: no namespace, no image."""
    options = Options(seed=1)
    plan = session.make_plan(session.topology_of(TOPOLOGY, options), options, run=session.new_run())
    live = session.up(plan, quiet)
    try:
        live.orchestrator.delete(live.cluster, plan)
        _serve(live.cluster)
        _push(live.cluster)
        for host in live.cluster.hosts.values():
            _forget(host, OURS)
        with foreign(live.cluster, tmp_path_factory.mktemp("theirs")) as made:
            yield made
    finally:
        session.down(live.cluster.name)


def _serve(cluster: Cluster) -> None:
    place = cache_dir() / "tests" / f"docker-registry-{NODE_SUITE}"
    place.parent.mkdir(parents=True, exist_ok=True)
    program = cached_program("docker-registry", NODE_SUITE, "usr/bin/docker-registry", place, quiet)
    first = cluster.hosts["n1"]
    put = first.run(
        ["sh", "-c", f"cat >{SHARED}/registry && chmod 755 {SHARED}/registry"],
        timeout_s=TIMEOUT_S,
        stdin=Path(program).read_bytes(),
    )
    assert put.ok, put.output
    done(first, ["sh", "-c", f"cat >{SHARED}/registry.yml"], CONFIG)
    for host in cluster.hosts.values():
        done(host, ["bash", "-c", SERVE])


def _push(cluster: Cluster) -> None:
    first = cluster.hosts["n1"]
    done(first, [*CTR, "tag", OURS, HELD])
    done(first, [*CTR, "push", "--plain-http", HELD])


def _forget(host: Host, image: str) -> None:
    """By all of its names: what none leads to is removed from the disk."""
    rows = [line.split() for line in done(host, [*CTR, "ls"]).splitlines()]
    [digest] = [row[2] for row in rows if row[0] == image]
    done(host, [*CTR, "rm", "--sync", *(row[0] for row in rows if row[2] == digest)])


def run(theirs: Foreign, folder: Path, image: str) -> Ended:
    account = theirs.account("runs", may_run("runs"))
    foreigners = ("--provider", "existing", "--orchestrator", "kubernetes", "--kubeconfig", account)
    words = ("--workload-image", image, "--runs-dir", folder, "--seed", "5")
    return start("run", TOPOLOGY, *foreigners, *words).end(RUN_TIMEOUT_S)


def there(theirs: Foreign, image: str) -> dict[str, bool]:
    hosts = theirs.cluster.hosts
    return {name: image in done(host, [*CTR, "ls", "--quiet"]).split() for name, host in hosts.items()}


def passed(ended: Ended, folder: Path) -> bool:
    results = json.loads((only_run(folder) / "results.json").read_text())
    [check] = results["checks"]
    return (ended.code, results["verdict"], check["wrong"]) == (0, "pass", 0) and check["correct"] > 0


def test_an_image_of_a_registry_is_pulled_by_every_node(theirs: Foreign, tmp_path: Path) -> None:
    assert not any(there(theirs, HELD).values())
    ended = run(theirs, tmp_path, HELD)
    assert passed(ended, tmp_path), ended.told
    assert all(there(theirs, HELD).values())
    for host in theirs.cluster.hosts.values():
        log = done(host, ["cat", "/tmp/registry.log"])
        assert "GET /v2/held/blobs/sha256:" in log, f"{host.name} pulled nothing: {log[-2000:]}"


def test_an_image_that_nobody_has_is_told_and_runs_once_kind_has_loaded_it(
    theirs: Foreign, tmp_path: Path
) -> None:
    without = run(theirs, tmp_path / "without", LOADED)
    assert without.code == 70, without.told
    assert f'"{LOADED}"' in without.stderr
    assert "`kind load image-archive`" in without.stderr
    _load(theirs.cluster, tmp_path / "image.tar")
    assert all(there(theirs, LOADED).values())
    ended = run(theirs, tmp_path / "with", LOADED)
    assert passed(ended, tmp_path / "with"), ended.told


def _load(cluster: Cluster, archive: Path) -> None:
    """As an owner of the cluster would."""
    engine = DockerProvider().own.running()
    assert engine is not None
    subprocess.run(engine.argv("tag", images.tag("workload"), LOADED), check=True, timeout=TIMEOUT_S)
    subprocess.run(engine.argv("save", "--output", str(archive), LOADED), check=True, timeout=TIMEOUT_S)
    subprocess.run(engine.argv("image", "rm", LOADED), check=True, timeout=TIMEOUT_S)
    argv = [kind_program(quiet), "load", "image-archive", str(archive), "--name", cluster.name]
    subprocess.run(argv, check=True, timeout=RUN_TIMEOUT_S, env={**os.environ, "DOCKER_HOST": engine.host})
