"""Snapshots without a guest: the head of a memory, names in XML, the folder in the cache, a libvirt of files."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import Unreachable
from harness.model.plan import NodePlan, Plan
from harness.ports import Cluster, Result, TakesSnapshots
from harness.providers import libvirt, snapshot_xml, snapshots, vagrant, vagrant_plan, waking
from harness.providers.box import recipe_hash
from harness.providers.guests import GuestHost
from harness.providers.libvirt import Libvirt
from harness.providers.save_image import Head, NotAnImage, read_head, write_head
from harness.providers.snapshot_xml import Naming
from harness.providers.snapshots import Snapshot
from harness.providers.vagrant import VagrantProvider
from harness.transport.ssh import Login
from tests.planner_topologies import topology

#: Of this session alone, and not those of test_providers_vagrant.py, which may run beside: what a run's removal
#: ends is looked for on the whole machine.
OLD, NEW = (f"20260102-0304{number}-{os.getppid():06x}" for number in ("15", "16"))
TEXT = "name: small\ncluster: {provider: vagrant, nodes: {manager: 1, worker: 1}, memory_mb: 768}\n"
UUID = "11111111-2222-3333-4444-555555555555"
DOMAIN = """<domain type='qemu'>
  <name>harness-{run}-{node}</name><uuid>{uuid}</uuid>
  <description>{about}</description>
  <os><kernel>/cache/box/vmlinuz</kernel></os>
  <devices>
    <disk type='file' device='disk'>
      <source file='/pool/harness-{run}-{node}.img'/>
      <backingStore type='file'><source file='/pool/box.img'/></backingStore>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:00:01:0{number}'/><source network='harness-{run}-control' portid='p' bridge='virbr1'/>
    </interface>
    <interface type='network'>
      <mac address='52:54:00:00:02:0{number}'/><source network='harness-{run}-wire'/>
    </interface>
    <serial type='file'><source path='/data/{run}/{node}.log'/></serial>
    <console type='file'><source path='/data/{run}/{node}.log'/></console>
  </devices>
</domain>"""
NETWORK = """<network connections='2'>
  <name>harness-{run}-{which}</name><uuid>{uuid}</uuid>
  <bridge name='virbr1' stp='on'/><mac address='52:54:00:99:00:01'/>
  <ip address='10.21{number}.7.1' netmask='255.255.255.0'>
    <dhcp><range start='10.212.7.1' end='10.212.7.254'/></dhcp>
  </ip>
</network>"""


def domain(node: str, run: str = OLD) -> str:
    about = {"run": run, "node": node, "address": f"10.213.7.1{node[1:]}", "box": recipe_hash()}
    text = json.dumps(about).replace('"', "&quot;")
    return DOMAIN.format(run=run, node=node, uuid=UUID, about=text, number=node[1:])


def network(which: str, run: str = OLD) -> str:
    return NETWORK.format(run=run, which=which, uuid=UUID, number=2 if which == "control" else 3)


# --- the head of a memory


@pytest.mark.parametrize("cookie", [b"", b"<cookie/>"])
def test_a_head_is_read_as_it_was_written_and_the_memory_stands_behind_it(cookie: bytes) -> None:
    head = Head("<domain>\u00e4</domain>", cookie, ran=1, packed=0, unused=b"u" * 56)
    stream = io.BytesIO()
    write_head(head, stream)
    stream.write(b"memory")
    stream.seek(0)
    assert read_head(stream) == head
    assert stream.read() == b"memory"


def test_another_description_of_any_length_takes_the_place_of_the_first() -> None:
    head = Head("<domain/>", b"<cookie/>", ran=0, packed=3, unused=bytes(56))
    stream = io.BytesIO()
    write_head(replace(head, xml="<domain>" + "x" * 5000 + "</domain>"), stream)
    stream.seek(0)
    found = read_head(stream)
    assert (len(found.xml), found.cookie, found.packed) == (5017, b"<cookie/>", 3)


def test_what_is_no_head_is_refused() -> None:
    whole = io.BytesIO()
    write_head(Head("<domain/>", b"", 0, 0, bytes(56)), whole)
    good = whole.getvalue()
    later = good[:16] + (3).to_bytes(4, "little") + good[20:]
    half_saved = b"LibvirtQemudPart" + good[16:]
    for text in (b"", good[:40], good[:-3], later, half_saved):
        with pytest.raises(NotAnImage):
            read_head(io.BytesIO(text))


# --- names


def test_a_machine_is_called_after_the_new_run_everywhere() -> None:
    says = {"run": NEW, "snapshot": "abc"}
    text = snapshot_xml.machine(domain("n1"), Naming(NEW, "new-uuid", says, "/data/new/n1.log"))
    assert OLD not in text
    assert UUID not in text
    root = ET.fromstring(text)
    assert (root.findtext("name"), root.findtext("uuid")) == (f"harness-{NEW}-n1", "new-uuid")
    assert json.loads(root.findtext("description", "")) == says
    assert snapshot_xml.disk_of(text) == f"/pool/harness-{NEW}-n1.img"
    assert [each.get("path") for each in root.iterfind("devices/*/source[@path]")] == ["/data/new/n1.log"] * 2
    assert (root.find("devices/disk/backingStore"), root.findtext("os/kernel")) == (None, "/cache/box/vmlinuz")
    assert snapshot_xml.mac_of(text, "control") == "52:54:00:00:01:01"
    assert "virbr1" not in text


def test_a_network_keeps_its_subnet_and_its_mac_and_gives_the_same_addresses_again() -> None:
    text = snapshot_xml.network(network("control"), NEW, {"52:54:00:00:01:01": "10.212.7.9"})
    root = ET.fromstring(text)
    bridge, mac, host = root.find("bridge"), root.find("mac"), root.find("ip/dhcp/host")
    assert root.findtext("name") == f"harness-{NEW}-control"
    assert (root.find("uuid"), root.get("connections")) == (None, None)
    assert bridge is not None
    assert bridge.attrib == {"stp": "off"}
    assert mac is not None
    assert mac.get("address") == "52:54:00:99:00:01"
    assert host is not None
    assert host.attrib == {"mac": "52:54:00:00:01:01", "ip": "10.212.7.9"}
    assert snapshot_xml.subnet_of(text) == "10.212.7.0/24"


# --- the folder


def plan_of(run: str = OLD, text: str = TEXT) -> Plan:
    nodes = (NodePlan("n1", "manager"), NodePlan("n2", "worker"))
    return Plan(run=run, topology=topology(text), provider="vagrant", orchestrator="swarm", seed=1, nodes=nodes)


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (TEXT.replace("768", "769"), {}),
        (TEXT.replace("memory_mb", "cpus: 2, memory_mb"), {}),
        (TEXT.replace("memory_mb", "heartbeat_s: 7, memory_mb"), {}),
        (TEXT, {"box": "another"}),
        (TEXT, {"driver": "kvm"}),
        (TEXT, {"versions": "QEMU 9"}),
    ],
)
def test_what_makes_machines_different_gives_another_snapshot(text: str, more: dict[str, str]) -> None:
    usual = {"box": "one", "driver": "qemu", "versions": "QEMU 7"}
    assert snapshots.name_of(snapshots.facts(plan_of(text=text), **{**usual, **more})) != snapshots.name_of(
        snapshots.facts(plan_of(), **usual)
    )


def test_what_is_deployed_on_machines_does_not() -> None:
    more = "networks: {app: {driver: overlay}}\n"
    names = {snapshots.name_of(snapshots.facts(plan_of(NEW, TEXT + text))) for text in ("", more)}
    assert len(names) == 1


def made(place: Path, name: str, age_s: float = 60.0) -> Snapshot:
    folder = place / name
    folder.mkdir(parents=True)
    (folder / "n1.memory").write_bytes(b"memory")
    at = time.time() - age_s
    snapshot = Snapshot(
        folder, "then", at, "10.213.7.0/24", "10.212.7.0/24", {"n1": "10.212.7.9"}, {}, snapshots.sizes(folder)
    )
    snapshots.write_receipt(snapshot)
    return snapshot


def test_a_snapshot_is_read_as_it_was_written(tmp_path: Path) -> None:
    snapshot = made(tmp_path, "a")
    assert snapshots.read(tmp_path / "a") == snapshot
    assert snapshot.flaw() == ""


def test_a_snapshot_that_is_not_whole_says_what_is_missing(tmp_path: Path) -> None:
    snapshot = made(tmp_path, "a")
    (tmp_path / "a" / "n1.memory").write_bytes(b"mem")
    assert snapshot.flaw() == "n1.memory has 3 bytes, not 6"
    (tmp_path / "a" / "n1.memory").unlink()
    assert snapshot.flaw() == "n1.memory is gone"
    for text in ("", "[]", '{"format": 0}', '{"format": 1, "disks": {"n1": 7}}'):
        (tmp_path / "a" / snapshots.RECEIPT).write_text(text)
        assert snapshots.read(tmp_path / "a") is None


def test_few_are_kept_none_that_is_old_or_broken_and_what_is_used_in_any_case(tmp_path: Path) -> None:
    for number in range(5):
        made(tmp_path, f"good{number}", age_s=60.0 * (number + 1))
    made(tmp_path, "old", age_s=snapshots.OLD_AFTER_S + 60)
    made(tmp_path, "of-the-future", age_s=-3600)
    (made(tmp_path, "torn").folder / "n1.memory").write_bytes(b"")
    (tmp_path / "half").mkdir()
    (tmp_path / ".doomed").mkdir()
    assert "old" in snapshots.prune(tmp_path, {"good4"})
    assert {path.name for path in tmp_path.iterdir()} == {"good0", "good1", "good2", "good4"}


def test_a_snapshot_whose_addresses_are_taken_is_left_alone(tmp_path: Path) -> None:
    snapshot = made(tmp_path, "a")
    assert waking.in_the_way(snapshot, ["10.60.0.0/16", "fd00::/64", "10.214.0.0/16"]) == ""
    assert waking.in_the_way(snapshot, ["10.60.0.0/16", "10.212.0.0/16"]) == "10.212.0.0/16"


# --- taken and woken, on a libvirt of files

#: virsh over files; it saves what stands in `saved`, and keeps what it was told to restore.
VIRSH = r"""
dir=$VIRSH_DIR; shift 3; verb=$1; shift
echo "$verb $*" >>"$dir/calls"
name() { sed -n 's:.*<name>\([^<]*\)</name>.*:\1:p' "$1" | head -n 1; }
case $verb in
version) echo "QEMU 7" ;;
list) ls "$dir/domains" ;;
dumpxml) cat "$dir/domains/$1" ;;
define) cp "$1" "$dir/domains/$(name "$1")" ;;
undefine) rm -f "$dir/domains/$1" ;;
save) cp "$dir/saved/${1##*-}" "$2" ;;
restore) [ ! -e "$dir/tired" ] || { echo "error: it does not wake" >&2; exit 1; }; cp "$1" "$dir/restored/" ;;
net-list) ls "$dir/networks" ;;
net-dumpxml) cat "$dir/networks/$1" ;;
net-define) cp "$1" "$dir/networks/$(name "$1")" ;;
net-undefine) rm -f "$dir/networks/$1" ;;
net-dhcp-leases) cat "$dir/leases" ;;
vol-list) ls "$dir/volumes" | sed 's/$/ some-path/' ;;
vol-create) cp "$2" "$dir/volumes/$(name "$2")" ;;
vol-delete) rm -f "$dir/volumes/$1" ;;
esac
"""
QEMU_IMG = """echo '{"virtual-size": 1024, "full-backing-filename": "'"$VIRSH_DIR"'/box.img"}'"""
LEASES = "2026-11-26 17:30:00 52:54:00:00:01:0{0} ipv4 10.212.7.2{0}/24 n{0} 01:52\n"


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two machines of the run OLD, in the harness's own libvirt."""
    for kind in ("domains", "networks", "volumes", "bin", "saved", "restored"):
        (tmp_path / kind).mkdir()
    for name, text in (("virsh", VIRSH), ("qemu-img", QEMU_IMG), ("ip", "")):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}")
        program.chmod(0o755)
    monkeypatch.setenv("VIRSH_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_STATE", "unit-test-of-nothing")
    box = tmp_path / "cache" / "harness" / "box" / recipe_hash()
    box.mkdir(parents=True)
    (box / "host_key.pub").write_text("ssh-ed25519 AAAA host\n")
    (tmp_path / "box.img").write_text("box")
    (tmp_path / "leases").write_text("".join(LEASES.format(number) for number in (1, 2)))
    fill(tmp_path)
    own = Libvirt(prefix=("env",))
    monkeypatch.setattr(libvirt, "choose", lambda _start: own)
    monkeypatch.setattr(libvirt, "system_libvirt", lambda: None)
    monkeypatch.setattr(libvirt.OwnLibvirt, "running", lambda _self: own)
    monkeypatch.setattr(libvirt.OwnLibvirt, "stop_if_unused", lambda _self, _used: False)
    monkeypatch.setattr(vagrant, "remove_tables_on", lambda _wire, _run: [])
    monkeypatch.setattr(vagrant, "_prepare", lambda _host, _cluster: None)
    monkeypatch.setattr(waking, "greet", lambda _host: None)
    return tmp_path


def fill(folder: Path) -> None:
    for node in ("n1", "n2"):
        text = domain(node).replace("/pool", str(folder / "volumes"))
        (folder / "domains" / f"harness-{OLD}-{node}").write_text(text)
        (folder / "volumes" / f"harness-{OLD}-{node}.img").write_text(f"disk of {node}")
        with (folder / "saved" / node).open("wb") as stream:
            write_head(Head(text, b"<cookie/>", 0, 0, bytes(56)), stream)
            stream.write(f"memory of {node}".encode() * 1000)
    for which in ("wire", "control"):
        (folder / "networks" / f"harness-{OLD}-{which}").write_text(network(which))


def taken(said: list[str]) -> Cluster:
    vms = vagrant._folder(OLD)
    vms.mkdir(parents=True, exist_ok=True)
    provider = VagrantProvider()
    return provider.take_snapshot(provider.find(OLD), plan_of(), said.append)


def the_snapshot(folder: Path) -> Path:
    [found] = (folder / "cache" / "harness").glob("vms*/snapshots/*/")
    return found


def names(folder: Path) -> set[str]:
    return {path.name for kind in ("domains", "networks", "volumes") for path in (folder / kind).iterdir()}


def all_of(run: str) -> set[str]:
    ends = ("n1", "n2", "n1.img", "n2.img", "wire", "control")
    return {f"harness-{run}-{end}" for end in ends}


def test_it_takes_snapshots() -> None:
    assert isinstance(VagrantProvider(), TakesSnapshots)


def test_a_cluster_goes_on_under_its_own_names_after_a_snapshot(virsh: Path) -> None:
    said: list[str] = []
    cluster = taken(said)
    assert names(virsh) == all_of(OLD)
    assert (sorted(cluster.hosts), bool(cluster.woken)) == (["n1", "n2"], True)
    folder = the_snapshot(virsh)
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "n2.qcow2").read_text() == "disk of n2"
    assert said[0] == f"taking a snapshot of harness-{OLD}, for the next start with --reuse"


def test_all_stand_still_before_one_is_saved_and_none_goes_on_before_all_are_there(virsh: Path) -> None:
    taken([])
    verbs = [line.split()[0] for line in (virsh / "calls").read_text().splitlines()]
    order = [verb for verb in verbs if verb in ("suspend", "save", "restore", "resume")]
    assert order == [verb for verb in ("suspend", "save", "restore", "resume") for _ in range(2)]


def test_a_further_run_is_woken_under_its_own_names_with_the_same_memory(virsh: Path) -> None:
    taken([])
    VagrantProvider().down(OLD)
    assert names(virsh) == set()
    cluster = VagrantProvider().wake(plan_of(NEW), lambda _line: None)
    assert cluster is not None
    assert (cluster.run, names(virsh)) == (NEW, all_of(NEW))
    host = cluster.hosts["n2"]
    assert isinstance(host, GuestHost)
    assert (host.address, host.login.address) == ("10.213.7.12", "10.212.7.22")
    with (virsh / "restored" / "n2.saved").open("rb") as stream:
        head = read_head(stream)
        assert stream.read() == b"memory of n2" * 1000
    assert (OLD in head.xml, NEW in head.xml, head.cookie) == (False, True, b"<cookie/>")
    assert str(the_snapshot(virsh) / "n2.qcow2") in (virsh / "volumes" / f"harness-{NEW}-n2.img").read_text()
    [info] = VagrantProvider().clusters()
    assert (info.topology, info.run) == ("small", NEW)
    assert not list(vagrant._folder(NEW).glob("*.saved"))


def test_without_a_snapshot_of_their_like_machines_are_not_woken(virsh: Path) -> None:
    assert VagrantProvider().wake(plan_of(NEW), print) is None
    taken([])
    other = plan_of(NEW, TEXT.replace("768", "1536"))
    assert VagrantProvider().wake(other, print) is None


def break_memory(folder: Path) -> None:
    (next(the_snapshot(folder).glob("n1.memory*"))).write_bytes(b"torn")


def break_box(folder: Path) -> None:
    (folder / "box.img").write_text("another box")


def break_restoring(folder: Path) -> None:
    (folder / "tired").touch()


BREAKS = [
    (break_memory, "n1.memory"),
    (break_box, "which is another one now"),
    (break_restoring, "it does not wake"),
]


@pytest.mark.parametrize(("spoil", "why"), BREAKS)
def test_one_that_does_not_wake_is_gone_and_so_is_what_was_made_of_it(virsh: Path, spoil: Any, why: str) -> None:
    taken([])
    VagrantProvider().down(OLD)
    place = the_snapshot(virsh)
    spoil(virsh)
    said: list[str] = []
    assert VagrantProvider().wake(plan_of(NEW), said.append) is None
    assert why in said[-1]
    assert "it is made anew" in said[-1]
    assert (names(virsh), place.exists()) == (set(), False)


def test_while_its_addresses_are_in_use_it_sleeps_on(virsh: Path) -> None:
    taken([])
    VagrantProvider().down(OLD)
    (virsh / "bin" / "ip").write_text("#!/bin/sh\necho 10.213.7.0/24 dev virbr9\n")
    said: list[str] = []
    assert VagrantProvider().wake(plan_of(NEW), said.append) is None
    assert "10.213.7.0/24 overlaps its addresses" in said[-1]
    assert (names(virsh), the_snapshot(virsh).exists()) == (set(), True)


def test_one_that_other_machines_stand_on_is_left_to_them(virsh: Path) -> None:
    taken([])
    (virsh / "tired").touch()
    assert VagrantProvider().wake(plan_of(NEW), print) is None
    assert the_snapshot(virsh).exists()
    assert names(virsh) == all_of(OLD)


def test_of_two_that_take_one_at_a_time_the_first_one_stays(virsh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken([])
    place = the_snapshot(virsh)
    (place / "first").touch()
    fill(virsh)
    monkeypatch.setattr(VagrantProvider, "_why_not", lambda *_: "")
    taken([])
    assert (place / "first").exists()


def test_where_none_can_be_taken_the_machines_are_made_anew(virsh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (virsh / "saved" / "n2").write_bytes(b"LibvirtQemudPart")
    anew = Cluster("anew", OLD, "vagrant", {})
    monkeypatch.setattr(VagrantProvider, "up", lambda _self, _plan, _progress: anew)
    said: list[str] = []
    assert taken(said) is anew
    assert said[-1].startswith("no snapshot could be taken (what libvirt saved cannot be read")
    assert names(virsh) == set()


def test_without_room_none_is_taken_and_the_cluster_stays_as_it_is(
    virsh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000 * 2**20})
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    said: list[str] = []
    assert taken(said).woken == ""
    assert "it needs 3072 MiB" in said[-1]
    assert "save" not in (virsh / "calls").read_text()


def test_an_interrupted_waking_leaves_nothing(virsh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken([])
    VagrantProvider().down(OLD)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waking, "wake", interrupt)
    with pytest.raises(KeyboardInterrupt):
        VagrantProvider().wake(plan_of(NEW), print)
    assert (names(virsh), the_snapshot(virsh).exists()) == (set(), True)


def test_what_a_killed_harness_left_half_taken_goes_with_its_run(
    virsh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_snapshot: Snapshot) -> None:
        raise SystemExit

    monkeypatch.setattr(snapshots, "write_receipt", die)
    with pytest.raises(SystemExit):
        taken([])
    assert (vagrant._folder(OLD) / "snapshot").is_dir()
    VagrantProvider().down(OLD)
    assert (names(virsh), vagrant._folder(OLD).exists()) == (set(), False)
    assert not list((virsh / "cache" / "harness").glob("vms*/snapshots/*/"))


def test_a_guest_that_was_woken_says_from_what() -> None:
    text = snapshot_xml.machine(domain("n1"), Naming(NEW, "u", {"snapshot": "abc", "woken": "then"}, "/x"))
    [guest] = vagrant_plan.parse_guests(text)
    assert (guest.snapshot, guest.woken, guest.run) == ("abc", "then", NEW)


def test_a_machine_that_does_not_hear_yet_is_asked_again_and_its_clock_is_set_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[list[str]] = []

    def answer(_host: GuestHost, argv: list[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        asked.append(argv)
        if len(asked) < 3:
            raise Unreachable("No route to host")
        return Result(0, "", "")

    monkeypatch.setattr(GuestHost, "run", answer)
    before = time.time()
    waking.greet(GuestHost("n1", Login("192.0.2.1")))
    assert [argv[0] for argv in asked] == ["true", "true", "true", "sh"]
    assert before <= float(asked[-1][-1]) <= time.time()


def test_a_machine_that_never_hears_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> Result:
        raise Unreachable("No route to host")

    monkeypatch.setattr(GuestHost, "run", silent)
    monkeypatch.setattr(waking, "ANSWER_TIMEOUT_S", 0.0)
    with pytest.raises(Unreachable):
        waking.greet(GuestHost("n1", Login("192.0.2.1")))
