"""A network for pods that a user brings as manifests, instead of what there would be; and one that fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness import session
from harness.model.errors import EnvironmentBroken
from harness.model.places import data_dir
from harness.providers import engine, images, kind_image, kind_wait
from harness.providers.own_engine import OwnEngine
from harness.session import Options
from harness.transport.process import run_process
from tests.cluster_cli import only_run, start
from tests.cluster_traces import Traces

#: Making the node image is not part of it.
RUN_TIMEOUT_S = 900.0
CALL_TIMEOUT_S = 60.0
#: Less than a user waits: nobody will ever answer.
GIVEN_UP_AFTER_S = 45.0
#: Where the node image has the manifest, with the image that it carries.
KEPT_THERE = "/kind/manifests/default-cni.yaml"
#: How the manifest of ci/kind calls what it makes, and where that is.
OWN_NAME, OWN_SPACE = "ame: harness-cni", "namespace: kube-system"
SPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-theirs}\n---\n"
TOPOLOGY = {
    "name": "cni",
    "cluster": {"orchestrator": "kubernetes", "nodes": {"manager": 1, "worker": 1}, "cni": "nets/theirs.yaml"},
    "networks": {"app": {"driver": "overlay"}},
    "services": {"web": {"deploy": {"mode": "global"}, "networks": ["app"]}},
    "checks": [{"connectivity": {}}, {"mtu": {"network": "app"}}],
}


@pytest.fixture(scope="module")
def manifests() -> str:
    """As somebody else would have written them: their own names, in a namespace of their own, as flannel's are.
    The image is one that nodes have, since no registry answers here.
    """
    at = engine.choose(lambda: OwnEngine(images.engine_root).start(print))
    image = kind_image.node_image(at, None, print, role="node")
    if image is None:
        pytest.skip("needs nodes of Debian's (a registry answers, so they are kind's, without this network)")
    argv = at.argv("run", "--rm", "--entrypoint", "sed", image, "-n", r"s/^ *image: //p", KEPT_THERE)
    found = run_process(argv, timeout_s=CALL_TIMEOUT_S, stdin=b"", where="this machine")
    assert found.ok, found.output
    ours = (data_dir("kind") / "node" / "default-cni.yaml").read_text()
    theirs = ours.replace("IMAGE", found.stdout.strip())
    session.down_all(print)  # an engine that reads a file is in the way of who counts what is left
    return SPACE + theirs.replace(OWN_NAME, "ame: theirs").replace(OWN_SPACE, "namespace: kube-theirs")


def written(folder: Path, text: str) -> Path:
    (folder / "nets").mkdir()
    (folder / "nets" / "theirs.yaml").write_text(text)
    file = folder / "cni.yaml"
    file.write_text(yaml.safe_dump(TOPOLOGY))
    return file


def test_pods_reach_each_other_by_the_network_that_the_manifests_make(
    manifests: str, traces: Traces, tmp_path: Path
) -> None:
    file = written(tmp_path, manifests)
    ended = start("run", file, "--runs-dir", tmp_path / "runs").end(RUN_TIMEOUT_S)
    assert ended.code == 0, ended.told
    assert "network for pods (10.244.0.0/16) by theirs.yaml: Namespace kube-theirs" in ended.stderr
    kept = yaml.safe_load((only_run(tmp_path / "runs") / "topology.yaml").read_text())["cluster"]
    assert kept["cni"] == str(tmp_path / "nets" / "theirs.yaml")
    assert len(kept["cni_sha256"]) == 64


@pytest.mark.nightly
def test_one_that_never_gets_ready_is_told_by_its_pods_last_event(
    manifests: str, traces: Traces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind_wait, "READY_TIMEOUT_S", GIVEN_UP_AFTER_S)
    image = next(line for line in manifests.splitlines() if " image: " in line).partition("image: ")[2]
    options = Options(seed=1)
    topology = session.topology_of(written(tmp_path, manifests.replace(image, "nowhere.invalid/net:1")), options)
    plan = session.make_plan(topology, options, run=session.new_run())
    with pytest.raises(EnvironmentBroken) as broken:
        session.up(plan, print)
    assert "node n1 is not Ready" in broken.value.message
    assert "pod theirs-" in broken.value.message
    assert "nowhere.invalid/net:1" in broken.value.message.partition("its last event: ")[2]
    assert any(name.endswith("events.txt") for name in broken.value.logs)
