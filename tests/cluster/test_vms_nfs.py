"""NFS by the kernel's client on guests: locks that two hosts ask for, through a restart of the server and its
grace period, and a server that is silent, before clients that wait for ever and clients that give up.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.model.errors import EnvironmentBroken
from harness.model.topology import Fault
from harness.model.verdict import Verdict
from harness.ports import Daemon, Host
from harness.session import Bench
from harness.session.judging import fault_records
from harness.stores._scripted import hook
from harness.transport import daemons
from harness.transport.recorder import read_history
from tests.cluster_bench import done, listening, live_bench
from tests.cluster_guests import NEED_GUESTS_AND_TIME

CALL_TIMEOUT_S = 20.0
BACK_WITHIN_S = 300.0
TOPOLOGY = Path(__file__).parent / "topologies" / "nfs-servers.yaml"
PATIENT = "/harness/stores/files"
GIVES_UP = (errno.EIO, errno.ETIMEDOUT)
pytestmark = NEED_GUESTS_AND_TIME

#: fcntl(2) locks the file whose path it gets, says so and keeps it.
HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("listening", flush=True)
time.sleep(3600)
"""
#: Whether another can have it: `granted`, or the error's name.
TRY = """
import errno, fcntl, sys
file = open(sys.argv[1], "w")
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("granted")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.fixture(scope="module")
def guests(own_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with live_bench(TOPOLOGY, tmp_path_factory.mktemp("guests")) as made:
        yield made


def server(guests: Bench, store: str) -> Daemon:
    (found,) = daemons.daemons(guests.live.cluster, store, timeout_s=CALL_TIMEOUT_S)
    return found


def restart(guests: Bench, store: str) -> None:
    """As after a crash: nobody is told, and clients are given a grace period."""
    cluster, daemon = guests.live.cluster, server(guests, store)
    daemons.tell(cluster, daemon, "KILL", timeout_s=CALL_TIMEOUT_S)
    daemons.start(cluster, daemon, timeout_s=CALL_TIMEOUT_S)
    done(cluster.hosts[daemon.node], ["sh", hook(store, "servers")])  # returns when it answers


@contextmanager
def silent(guests: Bench, store: str) -> Iterator[None]:
    """The server stands still: connections stay, and nothing is answered."""
    daemon = server(guests, store)
    daemons.tell(guests.live.cluster, daemon, "STOP", timeout_s=CALL_TIMEOUT_S)
    try:
        yield
    finally:
        daemons.tell(guests.live.cluster, daemon, "CONT", timeout_s=CALL_TIMEOUT_S)


def tried(host: Host, path: str) -> str:
    return done(host, ["python3", "-c", TRY, path]).strip()


def promises(verdict: Verdict) -> dict[str, tuple[str, str]]:
    return {each.name: (each.expected, each.observed) for each in verdict.promises}


def test_no_token_under_a_lock_is_given_twice_though_both_hosts_ask_at_once(guests: Bench) -> None:
    """Who asks for a lock that another has is told EIO by this client and server (README, Found so far), which
    leaves its increment indeterminate; who was given the lock had it alone.
    """
    verdict = guests.check("counter", volume="patient", duration_s=20)
    assert set(verdict.operations) == {"n1", "n2"}
    assert no_token_twice(verdict)


def test_tokens_under_a_lock_outlive_the_death_of_the_server(guests: Bench) -> None:
    death = Fault(fault="kill", target="files/ganesha", at_s=10, hold_s=2)
    verdict = guests.check("counter", inject=[death], volume="patient", duration_s=60)
    rows = read_history(guests.folder).only(check=verdict.id)
    assert [(each.name, each.felt, each.healed) for each in fault_records(rows)] == [("kill", True, True)]
    (healed,) = [row for row in rows.only(f="fault").ops() if row.value == "heal"]
    assert any(row.start_ns > healed.end_ns for row in rows.only(f="increment", outcome="ok").ops())
    assert no_token_twice(verdict)


def no_token_twice(verdict: Verdict) -> bool:
    """And none was lost. Tokens need no clock."""
    figures = verdict.figures
    assert figures["increments"] > 0
    return bool(figures["duplicate_tokens"] == 0 and figures["final"] >= figures["increments"])


def test_who_holds_a_lock_has_it_after_the_servers_restart_and_grace(guests: Bench) -> None:
    hosts, path = guests.live.cluster.hosts, f"{PATIENT}/held"
    with listening(hosts["n2"], ["python3", "-c", HOLD, path]):
        assert tried(hosts["n1"], path) == "EAGAIN"
        restart(guests, "files")
        assert tried(hosts["n1"], path) == "EAGAIN", "answered after the grace period: until then nobody is"
    assert tried(hosts["n1"], path) == "granted"


def test_a_hard_mount_of_a_silent_server_is_bounded_and_its_place_told(guests: Bench) -> None:
    with silent(guests, "files"), pytest.raises(EnvironmentBroken) as broken:
        guests.check("durability", volume="patient", duration_s=1)
    for words in ("on n1: ", "on n2: ", "writer.n", "/data"):
        assert words in broken.value.message
    assert comes_back(guests, PATIENT)
    verdict = guests.check("durability", volume="patient", duration_s=5, rate_per_s=20)
    assert verdict.verdict == "pass", verdict.reason
    assert guests.problems() == []


def comes_back(guests: Bench, mount: str) -> bool:
    end = time.monotonic() + BACK_WITHIN_S
    hosts = guests.live.cluster.hosts.values()
    while not all(host.run(["timeout", "60", "ls", mount], timeout_s=CALL_TIMEOUT_S).ok for host in hosts):
        if time.monotonic() > end:
            return False
    return True


def test_errors_of_a_soft_mount_stand_in_the_history_and_break_no_promise(guests: Bench) -> None:
    """It gives up where the server cannot be reached: n1, which is cut off from it."""
    cut = Fault(fault="partition", target="n1", at_s=10, hold_s=40)
    verdict, told = hasty(guests, cut)
    assert told & set(GIVES_UP)
    assert promises(verdict)["fsync-survives-client-kill"][0] == "may"


def test_a_soft_mount_of_version_4_waits_for_a_server_that_stands_still(guests: Bench) -> None:
    """As long as the connection lives, which the server's kernel sees to, the client has no time-out (Linux 6.12:
    net/sunrpc/clnt.c, rpc_check_timeout, RPC_TASK_NO_RETRANS_TIMEOUT).
    """
    _, told = hasty(guests, Fault(fault="pause", target="soft/ganesha", at_s=10, hold_s=30))
    assert not told & set(GIVES_UP)


def hasty(guests: Bench, fault: Fault) -> tuple[Verdict, set[int]]:
    """What was written and synced under `fault`, which passed, and the errors that writers were told."""
    verdict = guests.check(
        "durability", inject=[fault], volume="hasty", duration_s=fault.hold_s + 15, rate_per_s=20
    )
    rows = read_history(guests.folder).only(check=verdict.id)
    assert [(each.name, each.felt, each.healed) for each in fault_records(rows)] == [(fault.fault, True, True)]
    assert verdict.verdict == "pass", verdict.reason
    assert guests.problems() == []
    return verdict, set(rows.only(f="sync")["errno"].tolist())
