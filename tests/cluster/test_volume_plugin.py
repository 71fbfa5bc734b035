"""The volume plugin for real: services of all nodes by it, by hand, after restarts, and where it must refuse."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.ports import Host
from harness.session import Bench
from tests.cluster_bench import done, live_bench

pytestmark = pytest.mark.cluster

TOPOLOGY = Path(__file__).parent / "topologies" / "volume-plugin.yaml"
WAIT_S = 120.0
TIMEOUT_S = 60.0
STORE = "/harness/stores/pool"
HOOKS = "/var/lib/harness/stores/pool"


@pytest.fixture(scope="module")
def pool(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench(TOPOLOGY, tmp_path_factory.mktemp("plugin")) as made:
        yield made


def until(what: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.5)


def image(host: Host) -> str:
    (found,) = done(host, ["docker", "images", "--no-trunc", "--quiet", "harness/workload"]).split()
    return found


def mount(volume: str) -> str:
    return f"type=volume,source={volume},target=/data,volume-driver=glusterfs"


def create(manager: Host, name: str, script: str) -> None:
    """A service on all nodes, as a person would make it."""
    argv = ["docker", "service", "create", "--quiet", "--detach", "--no-resolve-image", "--mode", "global"]
    done(manager, [*argv, "--name", name, "--mount", mount(name), image(manager), "sh", "-c", script])


def tasks(manager: Host, name: str) -> list[str]:
    """State and error of each task."""
    argv = ["docker", "service", "ps", "--no-trunc", "--format", "{{.CurrentState}} {{.Error}}", name]
    return done(manager, argv).splitlines()


def running(manager: Host, name: str) -> int:
    return sum(line.startswith("Running") for line in tasks(manager, name))


def test_a_topologys_volume_by_the_plugin_is_one_volume_on_all_nodes(pool: Bench) -> None:
    verdict = pool.check("concurrent-append", volume="shared", duration_s=1, rate_per_s=200)
    assert verdict.verdict == "pass", verdict.reason
    observed = {promise.name: promise.observed for promise in verdict.promises}
    assert observed["shared"] == observed["append-loses-nothing"] == "kept"
    made = pool.live.plan.engine_name("shared")
    for host in pool.live.cluster.hosts.values():
        drivers = done(host, ["docker", "volume", "inspect", "--format", "{{.Driver}} {{.Scope}}", made])
        assert drivers.split() == ["glusterfs", "global"]


def test_a_service_that_a_person_makes_shares_its_volume_and_leaves_nothing(pool: Bench) -> None:
    manager, *others = pool.live.cluster.hosts.values()
    create(manager, "byhand", "read -r name </proc/sys/kernel/hostname; echo >/data/$name; sleep 1000")
    until(lambda: running(manager, "byhand") == 3, "three tasks run")
    folder = f"{STORE}/.volumes/byhand"
    for host in (manager, *others):
        until(lambda h=host: len(done(h, ["ls", folder]).split()) == 3, "three files")  # type: ignore[misc]
    done(manager, ["docker", "service", "rm", "byhand"])
    for host in (manager, *others):
        argv = ["docker", "volume", "rm", "--force", "byhand"]
        until(lambda h=host, a=argv: h.run(a, timeout_s=TIMEOUT_S).ok, "no task uses it")  # type: ignore[misc]
    assert done(manager, ["ls", f"{STORE}/.volumes"]).split() == [pool.live.plan.engine_name("shared")]


def test_where_the_mount_is_gone_a_container_is_refused_and_no_directory_made(pool: Bench) -> None:
    host = pool.live.cluster.hosts["n3"]
    start = ["docker", "run", "--rm", "--mount", mount("refused"), image(host), "true"]
    done(host, ["umount", "-l", STORE])
    result = host.run(start, timeout_s=TIMEOUT_S)
    assert not result.ok
    assert f"the store is not mounted at {STORE}" in result.output
    assert done(host, ["ls", "-A", STORE]) == ""
    done(host, ["sh", f"{HOOKS}/mount"])
    done(host, start)
    done(host, ["docker", "volume", "rm", "refused"])


def test_a_node_whose_plugin_is_not_active_gets_no_task_until_it_is(pool: Bench) -> None:
    """The node starts again without it. The scheduler says so, and gives it its task when it has heard of it."""
    hosts = pool.live.cluster.hosts
    without = f"cd {HOOKS}; mv up up.whole; echo 'sh {HOOKS}/servers && sh {HOOKS}/mount' >up"
    done(hosts["n3"], ["sh", "-c", without])
    _start_again(pool, "n3")
    create(hosts["n1"], "late", "sleep 1000")
    until(lambda: running(hosts["n1"], "late") == 2, "two tasks run")
    until(lambda: any("missing plugin" in line for line in tasks(hosts["n1"], "late")), "the scheduler says why")
    done(hosts["n3"], ["mv", f"{HOOKS}/up.whole", f"{HOOKS}/up"])
    done(hosts["n3"], ["sh", f"{HOOKS}/activate"])
    until(lambda: running(hosts["n1"], "late") == 3, "the third task runs")
    done(hosts["n1"], ["docker", "service", "rm", "late"])


def test_a_node_that_starts_again_has_its_plugin_active_by_itself(pool: Bench) -> None:
    _start_again(pool, "n3")
    host = pool.live.cluster.hosts["n3"]
    asked = ["docker", "info", "--format", "{{json .Plugins.Volume}}"]
    until(lambda: '"glusterfs"' in done(host, asked), "the engine has heard of it")
    until(lambda: pool.problems() == [], "the node and its containers are back")


def _start_again(pool: Bench, node: str) -> None:
    lifecycle, host = pool.live.cluster.lifecycle, pool.live.cluster.hosts[node]
    assert lifecycle is not None
    lifecycle.kill(node, timeout_s=TIMEOUT_S)
    lifecycle.start(node, timeout_s=TIMEOUT_S)
    until(lambda: host.run(["docker", "info"], timeout_s=TIMEOUT_S).ok, "its engine answers")
