"""Provider vagrant without a guest: what the Vagrantfile is told, what libvirt's words tell, and what is said."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tarfile
import threading
from pathlib import Path

import pytest

from harness import session
from harness.model.errors import ChannelLost, CommandFailed, EnvironmentBroken, UsageError
from harness.model.places import data_dir
from harness.model.plan import Demand, NodePlan, Plan, cluster_key
from harness.ports import Cluster, Progress, Result
from harness.providers import images, kvm, libvirt, vagrant, vagrant_plan, vagrant_up
from harness.providers.box import RECIPE, Box, packages_for, recipe_hash
from harness.providers.guests import GuestHost, GuestLifecycle, parse_state
from harness.providers.libvirt import Libvirt
from harness.providers.vagrant import VagrantProvider
from harness.session import Options
from harness.transport.process import ProcessChannel
from harness.transport.ssh import Login, SshHost
from tests.planner_topologies import topology

#: Of this session alone: removing a run ends whatever has it in its environment, on the whole machine.
RUN = f"20260102-030405-{os.getppid():06x}"
TEXT = "name: small\ncluster: {provider: vagrant, nodes: {manager: 1, worker: 1}, memory_mb: 768}\n"
BOX = Box(Path("/cache/box/0123456789ab"))


def plan_of(text: str = TEXT) -> Plan:
    nodes = (NodePlan("n1", "manager"), NodePlan("n2", "worker"))
    return Plan(run=RUN, topology=topology(text), provider="vagrant", orchestrator="swarm", seed=1, nodes=nodes)


def rendered(driver: str = "qemu", text: str = TEXT) -> dict[str, object]:
    plan = plan_of(text)
    wire, control = vagrant_plan.subnets(plan, [])
    return vagrant_plan.render(
        plan,
        BOX,
        driver=driver,
        wire=wire,
        control=control,
        serial=Path("/data"),
        since="2026-01-02T03:04:05Z",
        boot_timeout_s=900,
    )


DOMAIN = """
<domain type='{type}'{id}>
  <name>{name}</name>
  <description>{about}</description>
  <devices>
    <interface type='network'>
      <mac address='52:54:00:00:00:01'/><source network='harness-{run}-control'/><target dev='vnet0'/>
    </interface>
    <interface type='network'>
      <mac address='52:54:00:00:00:02'/><source network='harness-{run}-wire'/><target dev='vnet1'/>
    </interface>
    <serial type='file'><source path='/data/n1.log'/></serial>
  </devices>
</domain>
"""


def domain(name: str, about: object = None, *, kind: str = "qemu", number: str = " id='1'") -> str:
    text = json.dumps(about).replace('"', "&quot;") if about is not None else "by hand"
    return DOMAIN.format(name=name, about=text, run=RUN, type=kind, id=number)


# --- what the Vagrantfile is told


def test_machines_are_called_after_the_run_and_know_their_place_on_the_wire() -> None:
    told = json.loads(json.dumps(rendered()))
    assert told["prefix"] == f"harness-{RUN}-"
    assert (told["wire"]["name"], told["control"]["name"]) == (f"harness-{RUN}-wire", f"harness-{RUN}-control")
    assert [machine["name"] for machine in told["machines"]] == ["n1", "n2"]
    first, second = (machine["address"].rpartition(".") for machine in told["machines"])
    assert (first[0], first[2], second[2]) == (second[0], "10", "11")
    assert told["machines"][1]["serial"] == "/data/n2.log"


def test_memory_and_processors_are_the_topologys_or_follow_the_emulator() -> None:
    assert (rendered()["memory_mb"], rendered()["cpus"]) == (768, 1)
    plain = TEXT.replace(", memory_mb: 768", "")
    assert (rendered("kvm", plain)["memory_mb"], rendered("kvm", plain)["cpus"]) == (1024, 2)
    assert rendered(text=TEXT.replace("memory_mb", "cpus: 3, memory_mb"))["cpus"] == 3


def test_the_box_brings_what_it_is_booted_with() -> None:
    box = rendered()["box"]
    assert isinstance(box, dict)
    assert box["url"] == "file:///cache/box/0123456789ab/harness.box"
    assert box["kernel"].startswith("/cache/box/0123456789ab/")
    assert box["key"] == "/cache/box/0123456789ab/key"


def test_subnets_avoid_what_is_routed_and_what_the_topology_has() -> None:
    first, control = vagrant_plan.subnets(plan_of(), [])
    again, _ = vagrant_plan.subnets(plan_of(), [str(control)])
    assert again != first
    network = f"networks: {{app: {{driver: overlay, ipam: {{config: [{{subnet: {first}}}]}}}}}}\n"
    assert vagrant_plan.subnets(plan_of(TEXT + network), [])[0] != first


def test_no_subnet_left_is_told() -> None:
    with pytest.raises(EnvironmentBroken, match=r"no subnet of 10\.213\.0\.0/16"):
        vagrant_plan.subnets(plan_of(), ["10.212.0.0/15"])


# --- what libvirt's words tell


def test_a_domains_description_and_devices_tell_what_it_is() -> None:
    machine = rendered()["machines"]
    assert isinstance(machine, list)
    about = json.loads(machine[0]["description"])
    [guest] = vagrant_plan.parse_guests(domain(f"harness-{RUN}-n1", about))
    assert (guest.run, guest.node, guest.running, guest.emulated) == (RUN, "n1", True, True)
    assert guest.key == cluster_key(plan_of().topology)
    assert (guest.topology, guest.since, guest.address) == ("small", "2026-01-02T03:04:05Z", about["address"])
    assert (guest.mac, guest.port, guest.serial) == ("52:54:00:00:00:01", "vnet1", "/data/n1.log")


def test_guests_are_in_the_order_of_their_nodes_and_only_ours() -> None:
    texts = [domain(f"harness-{RUN}-{node}") for node in ("n10", "n2", "n1")]
    found = vagrant_plan.parse_guests("".join([*texts, domain("somebody-elses"), domain("harness-by-hand-n1")]))
    assert [guest.node for guest in found] == ["n1", "n2", "n10"]


def test_a_guest_that_is_off_and_was_made_by_kvm() -> None:
    [guest] = vagrant_plan.parse_guests(domain(f"harness-{RUN}-n1", kind="kvm", number=""))
    assert (guest.running, guest.emulated, guest.key) == (False, False, "")


def test_leases_map_macs_to_addresses() -> None:
    text = " 2026-11-26 17:30:00   52:54:00:aa:bb:cc   ipv4   10.212.1.62/24   n1   01:52:54:00:aa:bb:cc\n"
    assert vagrant_plan.parse_leases(text) == {"52:54:00:aa:bb:cc": "10.212.1.62"}


@pytest.mark.parametrize(
    ("name", "run"), [(f"harness-{RUN}-n1", RUN), (f"harness-{RUN}", RUN), ("harness-by-hand", None), ("n1", None)]
)
def test_names_are_labels(name: str, run: str | None) -> None:
    assert vagrant_plan.run_of(name) == run


@pytest.mark.parametrize(
    ("text", "state"),
    [("running\n", "running"), ("paused\n", "frozen"), ("shut off\n", "off"), ("crashed", "off")],
)
def test_states_of_domains(text: str, state: str) -> None:
    assert parse_state(text) == state


# --- consoles


def test_a_console_is_read_without_its_escapes() -> None:
    text = "\x1b[K[  \x1b[0;31m*\x1b[0m] Job docker.service\r\n\n\x1b[M next\r\n"
    assert vagrant_plan.console_lines(text) == ["[  *] Job docker.service", "next"]


@pytest.mark.parametrize(
    "line",
    [
        "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs",
        "initrd: there is no root on /dev/vda; the block devices are: ram0",
    ],
)
def test_a_dead_guest_says_so(line: str) -> None:
    assert (vagrant_plan.death(["fine", line]) or "alive") in line
    assert vagrant_plan.death(["fine", "Kernel panic averted"]) is None


def test_of_a_guest_that_panicked_what_came_before_is_shown() -> None:
    panic = "[    4.6] Kernel panic - not syncing: sysrq triggered crash"
    lines = ["long ago", *(f"line {number}" for number in range(7)), panic, *(f"R{n}: 0" for n in range(20))]
    lines.append("---[ end Kernel panic - not syncing: sysrq triggered crash ]---")
    assert vagrant_plan.last_words("n1", lines) == [f"n1 | {line}" for line in lines[1:9]]
    assert vagrant_plan.last_words("n1", lines[:5]) == [f"n1 | {line}" for line in lines[:5]]
    assert vagrant_plan.last_words("n1", []) == []


def up(folder: Path, script: str, timeout_s: float, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    """`vagrant up` as a shell script."""
    monkeypatch.setattr(vagrant_up.Up, "_argv", lambda _self: ["sh", "-c", script])
    monkeypatch.setattr(vagrant_up, "SAY_EVERY_S", 0.0)
    vagrant_up.Up(Libvirt(), RUN, folder, timeout_s, said.append, threading.Event()).run()


def test_up_follows_vagrant_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"env | grep ^{vagrant_plan.RUN_VARIABLE}; echo 'harness: vagrant ended with 0'"
    up(tmp_path, script, 30, monkeypatch, [])
    assert (tmp_path / "up.log").read_text() == f"{vagrant_plan.RUN_VARIABLE}={RUN}\n"


def test_up_that_fails_shows_vagrants_words_and_the_consoles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "n1.log").write_text("starting docker\n")
    with pytest.raises(CommandFailed, match=r"(?s)box is corrupt.*n1 \| starting docker"):
        up(tmp_path, "echo the box is corrupt; echo 'harness: vagrant ended with 7'", 30, monkeypatch, [])


def test_a_guest_that_panics_ends_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "n2.log").write_text("all is well\nKernel panic - not syncing: no init\n")
    with pytest.raises(EnvironmentBroken, match=r"(?s)n2 will not come up: Kernel panic.*n2 \| all is well"):
        up(tmp_path, "sleep 600", 500, monkeypatch, [])


def test_up_says_where_machines_are_and_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "n1.log").write_text("Job docker.service/start running\n")
    said: list[str] = []
    with pytest.raises(EnvironmentBroken, match=r"not up within 0\.5 s"):
        up(tmp_path, "sleep 600", 0.5, monkeypatch, said)
    assert said == ["n1: Job docker.service/start running"]


def test_ctrl_c_ends_vagrant_and_removes_what_it_made(virsh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for guests that may take minutes to come up."""
    folder = virsh / "consoles"
    folder.mkdir()
    waiting = threading.get_ident()

    def make(
        _self: VagrantProvider, chosen: Libvirt, plan: Plan, progress: Progress, stop: threading.Event
    ) -> Cluster:
        fill(virsh)
        signal.pthread_kill(waiting, signal.SIGINT)
        vagrant_up.Up(chosen, plan.run, folder, 3000.0, progress, stop).run()
        raise AssertionError("vagrant came to its end")

    monkeypatch.setattr(vagrant_up.Up, "_argv", lambda _self: ["sh", "-c", "exec sleep 3000"])
    monkeypatch.setattr(VagrantProvider, "_make", make)
    monkeypatch.setattr(libvirt, "choose", lambda _start: Libvirt())
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        VagrantProvider().up(plan_of(), said.append)
    assert VagrantProvider().clusters() == []
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if f"HARNESS_RUN={RUN}".encode() in environ_of(pid)]
    assert said == [f"harness-{RUN} did not come up: removing what was made"]


def environ_of(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


# --- KVM is tried


def first_guest(monkeypatch: pytest.MonkeyPatch, script: str) -> str:
    monkeypatch.setattr(kvm, "_argv", lambda _box: ["sh", "-c", script])
    monkeypatch.setattr(Path, "exists", lambda _self: True)
    return kvm.refusal(BOX)


def test_a_guest_that_runs_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert first_guest(monkeypatch, f"echo; echo '{kvm.RUNS}'") == ""


def test_a_guest_that_is_only_interpreted_is_refused_in_kvms_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert first_guest(monkeypatch, "echo KVM internal error. Suberror: 1; sleep 60").startswith("KVM internal")


def test_a_guest_that_ends_early_or_stays_silent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "'hello'" in first_guest(monkeypatch, "echo hello")
    monkeypatch.setattr(kvm, "TRY_TIMEOUT_S", 0.2)
    assert "was not up within 0.2 s" in first_guest(monkeypatch, "sleep 60")


# --- a guest that stops


def lost(console: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What an error says of a guest that does not answer."""

    def silent(*_: object, **__: object) -> Result:
        raise ChannelLost("n1 has not been heard of for 60 s")

    monkeypatch.setattr(SshHost, "run", silent)
    host = GuestHost("n1", Login("192.0.2.1"))
    host.serial = folder / "n1.log"
    host.serial.write_text(console)
    with pytest.raises(ChannelLost) as caught:
        host.run(["true"], timeout_s=5)
    return caught.value.message


def test_what_is_asked_of_a_guest_that_panicked_ends_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = lost("login:\r\nKernel panic - not syncing: sysrq triggered crash\r\nCPU: 0\r\n", tmp_path, monkeypatch)
    assert told.startswith("n1 has not been heard of for 60 s\n")
    assert "n1 | Kernel panic - not syncing: sysrq triggered crash" in told
    assert lost("login:\r\n", tmp_path, monkeypatch) == "n1 has not been heard of for 60 s"


# --- what is missing


def test_missing_programs_are_named_with_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("vagrant", "virsh") else "/bin/x")
    with pytest.raises(EnvironmentBroken) as refused:
        libvirt.refuse_missing(own=True)
    assert "apt-get install --no-install-recommends libvirt-clients vagrant vagrant-libvirt" in str(
        refused.value.hint
    )


def test_without_root_and_without_a_libvirt_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentBroken, match="no libvirt answers"):
        libvirt.OwnLibvirt().start(lambda _line: None)


def test_the_recipe_is_whole_and_its_hash_follows_it() -> None:
    assert len(recipe_hash()) == 12
    assert set(RECIPE) == {path.name for path in Path("ci/box").iterdir()}


def test_what_few_topologies_ask_for_is_in_a_box_of_its_own() -> None:
    """Ceph is large, and every `up` with the plain box would pay for it."""
    asked = [
        Demand(name, "store pool") for name in ("package:ceph-mon", "fs-ceph", "package:fio", "package:ceph-mds")
    ]
    assert packages_for(asked) == ["ceph-mds", "ceph-mon"]
    assert packages_for([]) == []
    assert len({recipe_hash(), recipe_hash(["ceph-mds"]), recipe_hash(["ceph-mds", "ceph-mon"])}) == 3


@pytest.mark.parametrize("name", ["full-kernel", "power-loss", "clock-skew", "volume-nfs"])
def test_what_nfs_needs_is_in_the_plain_box(name: str) -> None:
    """A second box of nearly the same packages costs minutes and 330 MB."""
    options = Options(seed=1, provider="vagrant")
    asked = session.make_plan(
        session.topology_of(data_dir("topologies") / f"{name}.yaml", options), options, run=RUN
    )
    assert packages_for(asked.demands) == []


# --- a libvirt in name only


#: virsh over files: domains, networks and volumes by name.
VIRSH = """
dir=$VIRSH_DIR; shift 3; verb=$1; shift
echo "$verb $*" >>"$dir/calls"
case $verb in
list) ls "$dir/domains" ;;
dumpxml) cat "$dir/domains/$1" ;;
undefine) rm -f "$dir/domains/$1" ;;
net-list) ls "$dir/networks" ;;
net-undefine) rm -f "$dir/networks/$1" ;;
vol-list) ls "$dir/volumes" | sed 's/$/ some-path/' ;;
vol-delete) rm -f "$dir/volumes/$1" ;;
domstate) cat "$dir/state" ;;
suspend) echo paused >"$dir/state" ;;
resume | start) echo running >"$dir/state" ;;
destroy) [ ! -e "$dir/state" ] || echo shut off >"$dir/state" ;;
esac
"""


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that a fake virsh reads; it is the machine's own libvirt."""
    for kind in ("domains", "networks", "volumes", "bin"):
        (tmp_path / kind).mkdir()
    program = tmp_path / "bin" / "virsh"
    program.write_text(f"#!/bin/sh\n{VIRSH}")
    program.chmod(0o755)
    monkeypatch.setenv("VIRSH_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_STATE", "unit-test-of-nothing")
    monkeypatch.setattr(libvirt, "system_libvirt", Libvirt)
    monkeypatch.setattr(vagrant, "remove_tables_on", lambda _wire, _run: [])
    return tmp_path


def fill(folder: Path, run: str = RUN) -> None:
    about = {
        "run": run,
        "topology": "small",
        "key": "k",
        "since": "2026-01-02T03:04:05Z",
        "address": "10.213.1.10",
    }
    for node in ("n1", "n2"):
        (folder / "domains" / f"harness-{run}-{node}").write_text(domain(f"harness-{run}-{node}", about))
        (folder / "volumes" / f"harness-{run}-{node}.img").touch()
    for network in ("wire", "control"):
        (folder / "networks" / f"harness-{run}-{network}").touch()
    (folder / "networks" / "default").touch()
    (folder / "volumes" / "harness-0123456789ab_vagrant_box_image_0_box.img").touch()


def test_clusters_are_told_from_names_and_descriptions(virsh: Path) -> None:
    fill(virsh)
    [info] = VagrantProvider().clusters()
    assert (info.run, info.provider, info.nodes, info.topology) == (RUN, "vagrant", 2, "small")
    assert (info.key, info.since) == ("k", "2026-01-02T03:04:05Z")


def test_a_run_that_got_no_further_than_its_networks_is_told_and_removed(virsh: Path) -> None:
    (virsh / "networks" / f"harness-{RUN}-control").touch()
    assert [(info.run, info.nodes) for info in VagrantProvider().clusters()] == [(RUN, 0)]
    assert VagrantProvider().down(RUN) == [f"network harness-{RUN}-control"]
    assert VagrantProvider().clusters() == []


def test_down_removes_what_bears_the_name_and_nothing_else(virsh: Path) -> None:
    other = "20260102-030405-fedcba"
    fill(virsh)
    fill(virsh, other)
    removed = VagrantProvider().down(f"harness-{RUN}")
    assert len(removed) == 6
    assert {info.run for info in VagrantProvider().clusters()} == {other}
    assert (virsh / "networks" / "default").exists()
    assert len(list((virsh / "volumes").iterdir())) == 3  # two disks of the other run, and the box
    assert VagrantProvider().down(RUN) == []


def test_a_name_that_is_not_there_names_those_that_are(virsh: Path) -> None:
    fill(virsh)
    with pytest.raises(UsageError) as refused:
        VagrantProvider().find("harness-nobody")
    assert RUN in str(refused.value.hint)


def test_the_lifecycle_asks_before_it_acts(virsh: Path) -> None:
    life = GuestLifecycle(Libvirt(), RUN)
    (virsh / "state").write_text("running\n")
    life.freeze("n1", timeout_s=20)
    life.freeze("n1", timeout_s=20)
    assert life.state("n1", timeout_s=20) == "frozen"
    life.thaw("n1", timeout_s=20)
    life.kill("n1", timeout_s=20)
    life.kill("n1", timeout_s=20)
    assert life.state("n1", timeout_s=20) == "off"
    life.start("n1", timeout_s=20)
    verbs = [line.split()[0] for line in (virsh / "calls").read_text().splitlines()]
    assert [verb for verb in verbs if verb != "domstate"] == ["suspend", "resume", "destroy", "start"]


def test_what_a_killed_harness_left_making_machines_is_ended() -> None:
    run = "20260102-030405-00dead"
    maker = ProcessChannel(["sleep", "600"], where="a maker", env={vagrant_plan.RUN_VARIABLE: run})
    vagrant._end_makers(run)
    with pytest.raises(ChannelLost):
        maker.receive(30)
    maker.close()


# --- an image without an engine


def test_an_archive_has_one_layer_and_says_its_hash(tmp_path: Path) -> None:
    root = tmp_path / "root.tar"
    with tarfile.open(root, "w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"hi"))
    images.write_archive(root, "harness/workload:1", tmp_path / "image.tar")
    with tarfile.open(tmp_path / "image.tar") as archive:
        [manifest] = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        config = json.load(archive.extractfile(manifest["Config"]) or io.BytesIO())
        layer = archive.extractfile(manifest["Layers"][0])
        assert layer is not None
        assert layer.read() == root.read_bytes()
    assert manifest["RepoTags"] == ["harness/workload:1"]
    assert len(config["rootfs"]["diff_ids"]) == 1
