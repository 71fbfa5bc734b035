"""What an NFS store puts on its nodes: ganesha.conf, mount options by name, scripts that are shell, promises."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.loader import loads
from harness.model.errors import TopologyError
from harness.model.places import SLOWNESS_FILE
from harness.model.plan import Plan
from harness.session import CATALOG
from harness.stores import _nfs
from harness.stores._scripted import WAITS
from tests.planner_topologies import RUN, planned, problem_keys, stack_of

BASE = {
    "name": "files",
    "volumes": {"data": {"driver": "nfs", "store": "pool"}},
    "services": {"web": {"deploy": {"mode": "global"}, "volumes": ["data:/data"]}},
}
THERE = {"managed": False, "address": "192.0.2.7"}


def text(**spec: Any) -> str:
    return yaml.safe_dump({**BASE, "stores": {"pool": {"kind": "nfs", **spec}}})


def plan_of(spec: dict[str, Any] | None = None, **options: Any) -> Plan:
    return planned(text(**(spec or {}), options=options))


def promised(made: Plan, promise: str) -> str:
    return made.volume("data").promises[promise][0]


def refused(**spec: Any) -> list[tuple[str, str]]:
    with pytest.raises(TopologyError) as failed:
        loads(text(**spec), "x.yaml", CATALOG, ())
    return [(problem.key, problem.message) for problem in failed.value.problems]


# --- the server


def test_one_node_serves_and_all_mount() -> None:
    made = plan_of({"nodes": ["n2"]})
    assert made.store("pool").nodes == ("n2",)
    assert {step.node for step in made.prepare if step.phase.endswith(("file system", "server"))} == {"n2"}
    assert {step.node for step in made.prepare if step.phase.endswith("mounts")} == {"n1", "n2", "n3"}
    assert {step.node for step in made.prepare if step.title == "no server here"} == {"n1", "n3"}
    assert plan_of().store("pool").nodes == ("n1",)


def test_the_configuration_has_what_a_container_needs() -> None:
    made = plan_of()
    config = _nfs.render_config(made, made.store("pool"))
    assert config.count("{") == config.count("}")
    assert "allow_set_io_flusher_fail = true;" in config
    assert f"Path = {_nfs.EXPORTS}/pool;\n  Pseudo = /pool;" in config
    assert "Name = VFS;" in config
    assert config.count("Protocols = 4;") == 2
    assert "Enable_NLM = false;" in config
    assert "Enable_UDP = false;" in config
    assert "ln -sf /proc/self/mounts /etc/mtab" in made.document("store-pool.sh").text


def test_version_3_has_a_lock_manager_and_the_same_export() -> None:
    made = plan_of(version=3)
    config = _nfs.render_config(made, made.store("pool"))
    assert config.count("Protocols = 3, 4;") == 2
    assert "Enable_NLM = true;" in config
    assert "mount_path_pseudo = true;" in config
    assert "100003 3" in _nfs.servers_script(made, made.store("pool"))
    assert "rpcbind" in _nfs.mount_script(made, made.store("pool"))
    assert "rpcbind" not in _nfs.mount_script(plan_of(), plan_of().store("pool"))


def test_what_a_server_that_was_killed_must_find_is_called_after_the_run_on_the_nodes_volume() -> None:
    assert _nfs.recovery(plan_of(), "pool") == f"/var/lib/docker/harness/harness-{RUN}-pool.recovery"
    assert _nfs.GRACE_S >= _nfs.LEASE_S


@pytest.mark.parametrize("spec", [{}, THERE], ids=["ours", "there"])
@pytest.mark.parametrize("options", [{}, {"version": "3", "mount_options": "soft,actimeo=3"}], ids=str)
def test_all_scripts_are_shell(spec: dict[str, Any], options: dict[str, Any]) -> None:
    made = plan_of(spec, **options)
    store = made.store("pool")
    scripts = [made.document("store-pool.sh").text, _nfs.mount_script(made, store), _nfs.daemon_script(store)]
    if store.address:
        scripts += [_nfs.leave_script(made, store), _nfs.aside_script(made, store, "mkdir")]
    else:
        scripts += [_nfs.servers_script(made, store), _nfs.down_script(made, store)]
    scripts += [step.argv[2] for step in made.prepare if step.argv[:2] == ("sh", "-c")]
    for script in scripts:
        checked = subprocess.run(
            ["sh", "-n"], input=script, text=True, capture_output=True, timeout=10, check=False
        )
        assert checked.returncode == 0, checked.stderr


# --- the client


@pytest.mark.parametrize(("version", "feature"), [(3, "fs-nfs"), (4.1, "fs-nfs4"), ("4.2", "fs-nfs4")])
def test_the_kernels_client_is_demanded_first_and_of_all_nodes(version: object, feature: str) -> None:
    demands = [demand for demand in plan_of(version=version).demands if demand.wanted_by == "store pool"]
    assert (demands[0].feature, demands[0].nodes) == (feature, ())
    assert {d.nodes for d in demands if d.feature.startswith("package:nfs-ganesha")} == {("n1",)}


def test_a_mount_names_version_options_server_and_export() -> None:
    made = plan_of(version=4.1, mount_options="soft,actimeo=3")
    assert _nfs.mount_argv(made.store("pool"), made.store("pool").mounted_from(RUN), "/mnt") == [
        *("mount", "-t", "nfs", "-o", "vers=4.1,soft,actimeo=3", "n1:/pool", "/mnt")
    ]


def version_on(node: str, folder: Path, **options: Any) -> str:
    """By which version the script mounts the store on a node of that name."""
    made = plan_of({"nodes": ["n2"]}, **options)
    script = _nfs.mount_script(made, made.store("pool")).partition("waits 30 works")[0]
    told = folder / "told"
    fakes = f'uname() {{ echo {node}; }}\ntimeout() {{ echo "$*" >{told}; }}\ngrep() {{ false; }}\n'
    fakes += "pgrep() { true; }\nmkdir() { true; }\n"
    subprocess.run(["sh", "-c", f"{fakes}{script}\nworks"], timeout=10, check=True)
    return told.read_text().partition("vers=")[2].partition(" ")[0]


def test_a_node_that_serves_version_3_has_no_lock_manager_beside_the_servers(tmp_path: Path) -> None:
    assert version_on("n2", tmp_path, version="3", mount_options="hard") == "4.2,hard"
    assert version_on("n1", tmp_path, version="3", mount_options="hard") == "3,hard"
    assert version_on("n2", tmp_path, version="3", mount_options="nolock") == "3,nolock"
    assert version_on("n2", tmp_path, version="4.1") == "4.1"


@pytest.mark.parametrize(("node", "killed"), [("n2", True), ("n1", False)])
def test_a_store_that_goes_takes_no_other_nodes_server_with_it(node: str, killed: bool, tmp_path: Path) -> None:
    """Another store's clients would wait for it, and so would whoever unmounts them."""
    made = plan_of({"nodes": ["n2"]})
    told = tmp_path / "told"
    fakes = f'uname() {{ echo {node}; }}\npkill() {{ echo "$*" >>{told}; }}\npgrep() {{ false; }}\n'
    fakes += "umount() { true; }\nrm() { true; }\n"
    script = _nfs.down_script(made, made.store("pool"))
    subprocess.run(["sh", "-c", fakes + script], timeout=10, check=True)
    assert told.exists() == killed


def test_a_volume_is_a_directory_that_exists_inside_the_mount_only() -> None:
    made = plan_of()
    volume = made.volume("data")
    assert volume.device == "/harness/stores/pool/data"
    assert stack_of(made)["volumes"]["data"]["driver_opts"]["device"] == volume.device
    script = _nfs.mount_script(made, made.store("pool"))
    assert (
        script.index("waits 30 works")
        < script.index("mountpoint -q")
        < script.index("mkdir -p /harness/stores/pool/")
    )


@pytest.mark.parametrize(("version", "fstype"), [("3", "nfs"), ("4.1", "nfs4"), ("4.2", "nfs4")])
def test_what_must_be_mounted_is_known(version: str, fstype: str) -> None:
    made = plan_of(version=version)
    volume = made.volume("data")
    assert volume.fstype == fstype
    assert made.store("pool").mounted_from(RUN).startswith(volume.source)


@pytest.mark.parametrize(
    ("options", "settle_s"),
    [
        ("", 60.0),
        ("noac", 0.0),
        ("actimeo=3", 3.0),
        ("acregmax=5", 60.0),
        ("acregmax=5,acdirmax=7", 7.0),
        ("actimeo=3,acdirmax=9", 9.0),
    ],
)
def test_how_long_a_client_may_go_on_with_its_cache(options: str, settle_s: float) -> None:
    assert plan_of(mount_options=options).volume("data").settle_s == settle_s


@pytest.mark.parametrize(
    ("options", "promise", "expected"),
    [
        ({}, "close-to-open", "holds"),
        ({"mount_options": "nocto"}, "close-to-open", "may"),
        ({"mount_options": "soft"}, "close-to-open", "may"),
        ({"mount_options": "hard,noac"}, "read-after-write", "may"),
        ({}, "append-loses-nothing", "may"),
        ({}, "lock-exclusion", "holds"),
        ({"version": "3"}, "lock-exclusion", "unproven"),
        ({"version": 4.1}, "lock-exclusion", "holds"),
        ({"version": 3, "mount_options": "nolock"}, "lock-exclusion", "may"),
        ({}, "new-name-visible", "may"),
        ({"mount_options": "lookupcache=none"}, "new-name-visible", "holds"),
        ({"mount_options": "soft"}, "no-space-surfaces", "may"),
        ({}, "shared", "holds"),
    ],
)
def test_options_decide_what_is_promised(options: dict[str, Any], promise: str, expected: str) -> None:
    assert promised(plan_of(**options), promise) == expected


# --- a server that exists


def test_a_server_that_exists_is_mounted_and_none_is_made() -> None:
    made = plan_of(THERE, path="/srv/share")
    store = made.store("pool")
    assert (store.nodes, store.address, store.served_by) == ((), "192.0.2.7", "192.0.2.7")
    assert not [step for step in made.prepare if "ganesha" in " ".join(step.argv)]
    assert not [demand for demand in made.demands if "ganesha" in demand.feature or demand.feature == "loop"]
    assert "ganesha" not in _nfs.mount_script(made, store)
    assert store.mounted_from(RUN) == f"192.0.2.7:/srv/share/harness-{RUN}-pool"
    assert store.mounted_from(RUN).startswith(made.volume("data").source)


def test_each_run_has_a_directory_of_its_own_there_and_removes_no_other() -> None:
    made = plan_of(THERE, path="/srv/share")
    (making,) = [step for step in made.prepare if step.title == "make the run's directory"]
    own = f"harness-{RUN}-pool"
    assert f"mkdir -p -m 1777 {own}" in making.argv[2]
    assert '192.0.2.7:/srv/share "$aside"' in making.argv[2]
    leaving = _nfs.leave_script(made, made.store("pool"))
    assert f'&& cd "$aside" && timeout -k 2 20 rm -rf {own}\n' in leaving
    assert leaving.count("rm -rf") == 1


@pytest.mark.parametrize(
    ("address", "path", "wanted", "whole"),
    [
        ("nas", "", "nas:/pool/harness-r1-pool", "nas:/pool"),
        ("nas", "/", "nas:/harness-r1-pool", "nas:/"),
        ("fd00::7", "/srv", "[fd00::7]:/srv/harness-r1-pool", "[fd00::7]:/srv"),
    ],
)
def test_sources_of_servers_that_exist(address: str, path: str, wanted: str, whole: str) -> None:
    made = plan_of({"managed": False, "address": address}, path=path)
    assert made.store("pool").mounted_from(RUN) == wanted
    assert f' {whole} "$aside"' in _nfs.aside_script(made, made.store("pool"), "mkdir")
    assert wanted.startswith(made.volume("data").source)


# --- what is refused


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"version": "2"}, "options.version", "'3', '4.1' or '4.2'"),
        ({"version": True}, "options.version", "'3', '4.1' or '4.2'"),
        ({"mount_options": "hrad"}, "options.mount_options", "'hrad' is no option of nfs(5)"),
        ({"mount_options": "vers=3"}, "options.mount_options", "`version` says"),
        ({"mount_options": "addr=192.0.2.1"}, "options.mount_options", "managed: false"),
        ({"mount_options": "actimeo=soon"}, "options.mount_options", "takes a number: actimeo=3"),
        ({"mount_options": "actimeo"}, "options.mount_options", "takes a number"),
        ({"mount_options": "noac=1"}, "options.mount_options", "stands alone"),
        ({"mount_options": "lookupcache=some"}, "options.mount_options", "one of all|none|pos|positive"),
        ({"mount_options": "hard; reboot"}, "options.mount_options", "no option"),
        ({"mount_options": "bg"}, "options.mount_options", "no option"),
        ({"size": "10M"}, "options.size", "at least 300M"),
        ({"path": "/srv"}, "options.path", "managed: false"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(options: dict[str, Any], key: str, words: str) -> None:
    ((found, message),) = refused(options=options)
    assert found == f"stores.pool.{key}"
    assert words in message


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"nodes": ["n1", "n2"]}, "nodes"),
        ({"address": "192.0.2.7"}, "address"),
        ({"managed": False}, "address"),
        ({"managed": False, "address": "a; reboot"}, "address"),
        ({**THERE, "nodes": ["n1"]}, "nodes"),
        ({**THERE, "options": {"size": "1G"}}, "options.size"),
        ({**THERE, "options": {"path": "srv"}}, "options.path"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(spec: dict[str, Any], key: str) -> None:
    assert problem_keys(text(**spec)) == [f"stores.pool.{key}"]


def test_a_node_has_one_server() -> None:
    stores: dict[str, Any] = {"pool": {"kind": "nfs"}, "more": {"kind": "nfs", "nodes": ["n1"]}}
    assert problem_keys(yaml.safe_dump({**BASE, "stores": stores}, sort_keys=False)) == ["stores.more.nodes"]
    stores["more"] = {"kind": "nfs", "nodes": ["n2"]}
    assert problem_keys(yaml.safe_dump({**BASE, "stores": stores}, sort_keys=False)) == []


@pytest.mark.parametrize("kind", ["nfs", "nfs4"])
def test_the_local_drivers_nfs_is_refused_with_its_line_and_what_to_write_instead(kind: str) -> None:
    with pytest.raises(TopologyError) as failed:
        loads(
            "name: x\n"
            "volumes:\n"
            "  data:\n"
            "    driver_opts:\n"
            f"      type: {kind}\n"
            '      o: "addr=192.0.2.7,vers=4.2"\n'
            '      device: ":/srv"\n',
            "x.yaml",
            CATALOG,
            (),
        )
    (problem,) = failed.value.problems
    assert (problem.line, problem.key) == (5, "volumes.data.driver_opts.type")
    assert "driver: nfs" in problem.message
    assert "managed: false" in problem.message


def test_a_volume_of_the_store_has_no_options_of_its_own() -> None:
    spec: dict[str, Any] = {**BASE, "stores": {"pool": {"kind": "nfs"}}}
    spec["volumes"] = {"data": {"driver": "nfs", "store": "pool", "driver_opts": {"o": "noac"}}}
    assert problem_keys(yaml.safe_dump(spec)) == ["volumes.data.driver_opts.o"]


@pytest.mark.parametrize("mounts", [True, False])
def test_what_is_made_there_is_made_inside_the_mount_or_not_at_all(tmp_path: Path, mounts: bool) -> None:
    """Programs of that name stand in for mount and umount: the script is run."""
    (tmp_path / "share").mkdir()
    for name in ("mount", "umount"):
        program = tmp_path / name
        done = 'rmdir "$6" && ln -s "$SHARE" "$6"' if name == "mount" else 'rm "$1" && mkdir "$1"'
        program.write_text(f"#!/bin/sh\n{done if mounts or name == 'umount' else 'exit 32'}\n")
        program.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SHARE": str(tmp_path / "share"),
        "TMPDIR": str(tmp_path),
    }
    made = plan_of(THERE)
    own = tmp_path / "share" / f"harness-{RUN}-pool"
    scripts = {
        "mkdir": _nfs.aside_script(made, made.store("pool"), "mkdir -p -m 1777"),
        "leave": _nfs.leave_script(made, made.store("pool")).replace("= n1 ]", f"= {os.uname().nodename} ]"),
    }
    ended = {}
    for name, script in scripts.items():
        ended[name] = subprocess.run(
            ["sh"], input=script, text=True, capture_output=True, env=environment, timeout=30, check=False
        )
        assert own.exists() == (mounts and name == "mkdir"), ended[name].stderr
    assert (ended["mkdir"].returncode == 0) == mounts
    assert ended["leave"].returncode == 0
    assert ("could not be removed" in ended["leave"].stderr) == (not mounts)


@pytest.mark.parametrize(("told", "slow"), [(None, "1"), ("12", "12")])
def test_scripts_wait_longer_on_a_node_that_says_that_it_is_slow(
    tmp_path: Path, told: str | None, slow: str
) -> None:
    file = tmp_path / "slowness"
    if told:
        file.write_text(f"{told}\n")
    script = WAITS.replace(SLOWNESS_FILE, str(file)) + "waits 30 true && echo $slow"
    ended = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True)
    assert ended.stdout == f"{slow}\n"
