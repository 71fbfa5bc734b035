"""Images: built once, from the same files, by the way that the engine allows; half-made files are made again."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.places import data_dir
from harness.providers import images
from harness.providers.debian import names_in
from harness.providers.images import Role
from harness.providers.releases import DEFAULT, RELEASES, Release, release_of
from tests.providers_engine import FakeDocker, script

ROLES: list[Role] = ["node", "node-stores", "workload"]
INPUTS = ["Dockerfile", "setup.sh", "entrypoint.sh"]

#: A root with one file, at the path that is given for the tar. `$log` holds the arguments, one a line.
MMDEBSTRAP = """
printf '%s\\n' "$@" >"$log"
for word in "$@"; do case "$word" in *.tar) tar=$word ;; esac; done
mkdir -p "$scratch/usr/lib/harness"
echo made >"$scratch/usr/lib/harness/entrypoint.sh"
tar --create --directory="$scratch" --file="$tar" .
"""


class Machine:
    """A cache, a copy of the recipes, and a PATH, all of the test's own; folders have a blank in their names."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.cache = folder / "the cache"
        self.recipes = folder / "the recipes"
        self.bin = folder / "bin"
        self.log = folder / "mmdebstrap.log"
        shutil.copytree(data_dir("images"), self.recipes)
        scratch = folder / "scratch"
        script(self.bin / "mmdebstrap", f"log='{self.log}' scratch='{scratch}'\n{MMDEBSTRAP}")
        for program in ("sh", "tar", "mkdir", "printf", "timeout"):
            (self.bin / program).symlink_to(str(shutil.which(program)))
        patch.setenv("PATH", str(self.bin))
        patch.setattr(images, "cache_dir", lambda: self.cache)
        patch.setattr(images, "data_dir", lambda _name: self.recipes)
        self.lines: list[str] = []

    @property
    def builds(self) -> int:
        return sum(line.startswith("building the") and " root " in line for line in self.lines)

    def root(self, role: Role = "node") -> Path:
        return images.root_tar(role, self.lines.append)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.fixture
def fake(tmp_path: Path) -> FakeDocker:
    return FakeDocker(tmp_path)


# --- the hash


@pytest.mark.parametrize("role", ROLES)
def test_the_hash_is_the_same_for_the_same_files(machine: Machine, role: Role) -> None:
    first = images.recipe_hash(role)
    assert first == images.recipe_hash(role)
    assert len(first) == 12
    assert images.tag(role) == f"harness/{role}:{first}"


@pytest.mark.parametrize("role", ROLES)
def test_the_hash_changes_with_every_file_that_goes_in(machine: Machine, role: Role) -> None:
    seen = {images.recipe_hash(role)}
    for name in [*INPUTS, f"packages.{role}"]:
        with (machine.recipes / name).open("a") as file:
            file.write("\n# changed\n")
        seen.add(images.recipe_hash(role))
    assert len(seen) == len(INPUTS) + 2


@pytest.mark.parametrize(
    ("name", "value"), [("SUITE", "sid"), ("VARIANTS", {"node": "extract"}), ("LEFT_OUT", ("/usr/share/*",))]
)
def test_the_hash_changes_with_what_stands_in_the_code(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    before = images.recipe_hash("node")
    monkeypatch.setattr(images, name, value)
    assert images.recipe_hash("node") != before


def test_a_role_is_not_touched_by_the_packages_of_the_other(machine: Machine) -> None:
    before = images.recipe_hash("node")
    (machine.recipes / "packages.workload").write_text("busybox\n")
    assert images.recipe_hash("node") == before
    assert images.packages("workload") == ["busybox"]


@pytest.mark.parametrize("role", ROLES)
def test_packages_are_names_alone(role: Role) -> None:
    found = images.packages(role)
    assert found == sorted(set(found))
    assert all(name == name.strip() and " " not in name and "#" not in name for name in found)


@pytest.mark.parametrize("release", [each for each in RELEASES if each != DEFAULT])
def test_another_release_is_another_image_with_the_packages_that_it_has(
    machine: Machine, release: Release
) -> None:
    assert images.recipe_hash("node", release) != images.recipe_hash("node")
    assert images.packages("node", release) == sorted(set(images.packages("node")) - release.absent)
    images.root_tar("node", machine.lines.append, release)
    words = machine.log.read_text().splitlines()
    assert f"--include={','.join(images.packages('node', release))}" in words
    assert release.suite in words
    assert "trixie" not in words
    assert any(f"of {release.suite}, with engine {release.engine}" in line for line in machine.lines)


def test_a_suite_that_has_gone_on_is_built_anew(machine: Machine) -> None:
    old = RELEASES[-1]
    assert images.recipe_hash("node", replace(old, engine="99.0")) != images.recipe_hash("node", old)


def test_an_image_can_be_had_where_it_is_or_something_builds_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = RELEASES[0]
    assert images.can_be_had("node", release)
    images.root_tar("node", machine.lines.append, release)
    monkeypatch.setenv("PATH", "/nowhere")
    assert images.can_be_had("node", release)
    assert not images.can_be_had("node", RELEASES[-1])


@pytest.mark.parametrize(
    ("wanted", "engine"),
    [(None, "26.1.5"), ("20.10", "20.10.24"), ("20", "20.10.24"), ("28.5.2", "28.5.2"), ("26.1.5", "26.1.5")],
)
def test_a_version_or_its_beginning_finds_a_release(wanted: str | None, engine: str) -> None:
    found = release_of(wanted)
    assert found is not None
    assert found.engine == engine


@pytest.mark.parametrize("wanted", ["2", "28.5.3", "28.50", "", "20.1", "28.5.2.1"])
def test_what_is_no_beginning_of_a_version_finds_none(wanted: str) -> None:
    assert release_of(wanted) is None


# --- the cache


def test_a_root_is_built_once(machine: Machine) -> None:
    assert machine.root() == machine.root()
    assert machine.builds == 1
    with tarfile.open(machine.root()) as archive:
        assert "./usr/lib/harness/entrypoint.sh" in archive.getnames()


def test_the_recipe_reaches_mmdebstrap_whole_also_from_a_folder_with_a_blank(machine: Machine) -> None:
    machine.root("workload")
    words = machine.log.read_text().splitlines()
    assert f"--include={','.join(images.packages('workload'))}" in words
    assert "--variant=extract" in words
    assert "trixie" in words
    assert any(f"'{machine.recipes}/setup.sh'" in word for word in words)
    assert any(word.endswith("setup.sh configure workload") for word in words)


@pytest.mark.parametrize(
    "damage", ["no receipt", "other size", "receipt is no JSON", "receipt is a list", "no file"]
)
def test_a_half_written_cache_is_built_again(machine: Machine, damage: str) -> None:
    path = machine.root()
    receipt = path.with_name(path.name + ".json")
    match damage:
        case "no receipt":
            receipt.unlink()
        case "other size":
            os.truncate(path, path.stat().st_size - 1)
        case "receipt is no JSON":
            receipt.write_text('{"bytes"')
        case "receipt is a list":
            receipt.write_text("[]")
        case "no file":
            path.unlink()
    assert machine.root() == path
    assert machine.builds == 2
    assert json.loads(receipt.read_text()) == {"bytes": path.stat().st_size}


def test_another_recipe_is_another_file(machine: Machine) -> None:
    first = machine.root()
    (machine.recipes / "setup.sh").write_text("# changed\n")
    assert machine.root() != first
    assert machine.builds == 2


def left_in(folder: Path) -> list[str]:
    """But for locks, which stay."""
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"]


def test_a_build_that_fails_tells_the_command_and_leaves_nothing_behind(machine: Machine) -> None:
    script(machine.bin / "mmdebstrap", "echo 'E: no mirror' >&2; exit 25")
    with pytest.raises(CommandFailed, match="E: no mirror") as failed:
        machine.root()
    assert failed.value.code == 25
    assert left_in(machine.cache / "images") == []


def test_without_mmdebstrap_the_line_that_installs_it_is_named(machine: Machine) -> None:
    (machine.bin / "mmdebstrap").unlink()
    with pytest.raises(EnvironmentBroken, match="mmdebstrap") as missing:
        machine.root()
    assert missing.value.hint == "apt-get install mmdebstrap"
    assert missing.value.exit_code == 70


def test_the_machines_own_mirror_is_used_and_no_security_one(machine: Machine) -> None:
    targets = "echo 'Debian trixie-security http://sec/debian'; echo 'Debian bookworm http://near/debian'"
    script(machine.bin / "apt-get", f"[ \"$1\" = indextargets ] || exit 9; echo 'Other x http://no'; {targets}")
    machine.root()
    assert machine.log.read_text().splitlines()[-1] == "http://near/debian"


def test_without_a_mirror_mmdebstrap_chooses(machine: Machine) -> None:
    script(machine.bin / "apt-get", ":")
    path = machine.root()
    assert machine.log.read_text().splitlines()[-1].endswith(path.name)


# --- the engine's root


def test_the_engines_root_is_unpacked_once_and_a_half_made_one_again(machine: Machine) -> None:
    root = images.engine_root(machine.lines.append)
    inside = root / "usr" / "lib" / "harness" / "entrypoint.sh"
    assert inside.read_text() == "made\n"
    assert images.engine_root(machine.lines.append) == root
    inside.unlink()
    (root / "stale").write_text("of one that was cut short")
    assert images.engine_root(machine.lines.append) == root
    assert inside.exists()
    assert not (root / "stale").exists()
    assert sum(line.startswith("unpacking") for line in machine.lines) == 2
    assert left_in(root.parent) == [root.name]


# --- on an engine


def test_an_image_that_is_there_is_taken(machine: Machine, fake: FakeDocker) -> None:
    fake.change(images={images.tag("node"): "sha256:1"})
    assert images.ensure_image(fake.engine(), "node", machine.lines.append) == images.tag("node")
    assert machine.lines == []


def test_on_our_own_engine_the_root_is_imported_and_no_registry_asked(machine: Machine, fake: FakeDocker) -> None:
    name = images.ensure_image(fake.engine(own=True), "node", machine.lines.append)
    [imported] = fake.calls("image", "import")
    assert imported[-1] == name
    assert "LABEL harness.image=node" in imported
    assert name in fake.state["images"]
    assert fake.calls("image", "pull") == fake.calls("build") == []


def test_on_a_foreign_engine_with_a_registry_the_dockerfile_is_built(machine: Machine, fake: FakeDocker) -> None:
    name = images.ensure_image(fake.engine(own=False), "workload", machine.lines.append)
    [build] = fake.calls("build")
    assert build[-1] == str(machine.recipes)
    assert {"BASE=debian:trixie-slim", "ROLE=workload", name, "harness.image=workload"} <= set(build)
    assert name in fake.state["images"]
    assert fake.calls("image", "import") == []
    assert machine.builds == 0


def test_without_a_registry_it_says_so_and_falls_back(machine: Machine, fake: FakeDocker) -> None:
    fake.fail("image pull", "dial tcp: lookup registry: no such host")
    name = images.ensure_image(fake.engine(own=False), "node", machine.lines.append)
    assert name in fake.state["images"]
    assert fake.calls("build") == []
    assert machine.lines[0].startswith("no image registry answers (dial tcp: lookup registry: no such host)")


def test_another_release_is_built_over_its_own_base_without_what_it_lacks(
    machine: Machine, fake: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    [release] = [each for each in RELEASES if each.absent]
    seen: dict[str, str] = {}

    def call(*argv: str, **_options: object) -> str:
        seen.update(argv=" ".join(argv), listed=(Path(argv[-1]) / "packages.node").read_text())
        return ""

    monkeypatch.setattr(images, "call", call)
    name = images.ensure_image(fake.engine(own=False), "node", machine.lines.append, release)
    assert name == images.tag("node", release)
    assert f"BASE=debian:{release.suite}-slim" in seen["argv"]
    assert set(names_in(seen["listed"])) == set(images.packages("node", release))
    assert release.absent <= set(images.packages("node"))


def test_a_dockerfile_that_does_not_build_is_told_and_not_papered_over(machine: Machine, fake: FakeDocker) -> None:
    fake.fail("build ", "The command '/bin/sh -c sh setup.sh' returned a non-zero code: 100", code=1)
    with pytest.raises(CommandFailed, match="returned a non-zero code: 100"):
        images.ensure_image(fake.engine(own=False), "node", machine.lines.append)
    assert fake.calls("image", "import") == []


def test_an_import_that_fails_is_told_with_what_was_done(machine: Machine, fake: FakeDocker) -> None:
    fake.fail("image import", "no space left on device")
    with pytest.raises(EnvironmentBroken, match=r"importing the node image(.|\n)*no space left"):
        images.ensure_image(fake.engine(), "node", machine.lines.append)


def test_an_archive_is_saved_once_for_each_image_id(machine: Machine, fake: FakeDocker) -> None:
    fake.change(images={images.tag("workload"): "sha256:" + "1" * 64})
    first = images.image_archive(fake.engine(), "workload", machine.lines.append)
    assert images.image_archive(fake.engine(), "workload", machine.lines.append) == first
    assert len(fake.calls("image", "save")) == 1
    fake.change(images={images.tag("workload"): "sha256:" + "2" * 64})
    assert images.image_archive(fake.engine(), "workload", machine.lines.append) != first
    os.truncate(first, 1)
    fake.change(images={images.tag("workload"): "sha256:" + "1" * 64})
    assert images.image_archive(fake.engine(), "workload", machine.lines.append).stat().st_size > 1


def test_a_save_that_fails_leaves_no_archive(machine: Machine, fake: FakeDocker) -> None:
    fake.change(images={images.tag("workload"): "sha256:" + "1" * 64})
    fake.fail("image save", "write: broken pipe")
    with pytest.raises(EnvironmentBroken, match="broken pipe"):
        images.image_archive(fake.engine(), "workload", machine.lines.append)
    assert left_in(machine.cache / "images") == []
