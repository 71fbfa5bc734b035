"""Manifests of a network for pods: read before anything is made, meant from the topology, known by digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main
from harness.model.errors import UsageError
from harness.model.plan import cluster_key
from harness.model.topology import Topology
from harness.providers import kind_cni
from harness.session import Options, topology_of

OBJECT = "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: net, namespace: kube-flannel}}\n"
TEXT = "name: x\ncluster: {orchestrator: kubernetes, cni: nets/flannel.yaml}\n"


def written(folder: Path, manifests: str = OBJECT, text: str = TEXT) -> Path:
    (folder / "nets").mkdir(exist_ok=True)
    (folder / "nets" / "flannel.yaml").write_text(manifests)
    file = folder / "x.yaml"
    file.write_text(text)
    return file


def read(file: Path) -> Topology:
    return topology_of(file, Options())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"flannel\.yaml is empty"),
        ("---\n# nothing\n", r"flannel\.yaml is empty"),
        ("a: b: c\n", r"flannel\.yaml:1:5: mapping values are not allowed here"),
        (f"{OBJECT}---\nkind: Pod\n", r"flannel\.yaml: document 2 is no object of Kubernetes"),
        ("- 1\n", r"flannel\.yaml: document 1 is no object of Kubernetes"),
        ("{apiVersion: v1, kind: Pod, metadata: nonsense}\n", r"flannel\.yaml: document 1 .*: metadata"),
    ],
)
def test_what_is_no_manifest_is_told_with_its_file_before_anything_is_made(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(UsageError, match=rf"cluster\.cni: {tmp_path}/nets/{told}"):
        read(written(tmp_path, text))


def test_a_file_that_is_not_there_is_64(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    (tmp_path / "nets" / "flannel.yaml").unlink()
    assert main(["validate", str(file)]) == 64
    told = capsys.readouterr().err.replace("\n", "")
    assert "cluster.cni" in told
    assert "No such file or directory" in told


def test_it_is_meant_from_the_topology_and_known_by_its_digest_also_where_a_run_is_done_again(
    tmp_path: Path,
) -> None:
    first = read(written(tmp_path)).cluster
    assert first.cni == str(tmp_path / "nets" / "flannel.yaml")
    again = tmp_path / "again.yaml"
    again.write_text(
        f"name: x\ncluster: {{orchestrator: kubernetes, cni: {first.cni}, cni_sha256: {first.cni_sha256}}}\n"
    )
    assert read(again).cluster == first
    written(tmp_path, OBJECT.replace("net,", "other,"))
    with pytest.raises(UsageError, match=r"cluster\.cni_sha256: .*flannel\.yaml .* it has changed"):
        read(again)


def test_from_the_command_line_it_is_meant_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, text="name: x\ncluster: {orchestrator: kubernetes}\n")
    monkeypatch.chdir(tmp_path / "nets")
    told = topology_of(tmp_path / "x.yaml", Options(settings=(("cluster.cni", "flannel.yaml"),)))
    assert told.cluster.cni == str(tmp_path / "nets" / "flannel.yaml")


def test_a_cluster_with_another_network_for_pods_is_not_used_again(tmp_path: Path) -> None:
    keys = {cluster_key(read(written(tmp_path, text))) for text in (OBJECT, OBJECT.replace("net,", "other,"))}
    without = written(tmp_path, text="name: x\ncluster: {orchestrator: kubernetes}\n")
    assert len(keys | {cluster_key(read(without))}) == 3


@pytest.mark.parametrize("cluster", ["{provider: docker", "{provider: existing, orchestrator: kubernetes"])
def test_only_kind_makes_a_cluster_without_one(
    tmp_path: Path, cluster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"name: x\ncluster: {cluster}, cni: nets/flannel.yaml}}\n"
    assert main(["validate", str(written(tmp_path, text=text))]) == 64
    assert "only provider kind makes a cluster without a network for pods" in capsys.readouterr().err.replace(
        "\n", " "
    )


def test_objects_are_called_as_people_ask_for_them(tmp_path: Path) -> None:
    written(tmp_path, f"{OBJECT}---\n---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: kube-flannel}}}}\n")
    found = kind_cni.read(tmp_path / "nets" / "flannel.yaml")
    assert found.objects == ("DaemonSet kube-flannel/net", "Namespace kube-flannel")
