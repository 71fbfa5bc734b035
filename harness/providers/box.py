"""The box of guests: built once from Debian's packages by ci/box/build.sh, cached by the hash of what goes in.

A folder of the cache, `box/HASH`, has all of it or is not there: it is built beside its place and renamed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.features.catalog import PACKAGE
from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.places import cache_dir, data_dir
from harness.model.plan import Demand
from harness.ports import Progress
from harness.providers import debian, images
from harness.providers.cache import alone
from harness.transport.process import run_process

BUILD_TIMEOUT_S = 1200.0
#: What makes a guest; the rest of the folder does not.
RECIPE = ("build.sh", "init", "packages.box", "preload.sh", "setup.sh")
PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "cpio": "cpio",
    "xz": "xz-utils",
    "tar": "tar",
}


@dataclass(frozen=True)
class Box:
    """What a guest is made of and entered by. `host_key` is the public key that all of them answer with."""

    folder: Path

    @property
    def name(self) -> str:
        return f"harness-{self.folder.name}"

    @property
    def url(self) -> str:
        return f"file://{self.folder / 'harness.box'}"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def host_key(self) -> str:
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])


def recipe_hash(more: Sequence[str] = ()) -> str:
    """12 hexadecimal digits over all that makes the box with the packages `more` beside its own."""
    digest = hashlib.sha256(f"{platform.machine()}\0{images.tag('workload')}\0".encode())
    for name in RECIPE:
        digest.update((data_dir("box") / name).read_bytes() + b"\0")
    for package in more:
        digest.update(package.encode() + b"\0")
    return digest.hexdigest()[:12]


def packages_for(demands: Iterable[Demand]) -> list[str]:
    """Packages of Debian that are asked for and that the box does not have by itself: a box of its own has them.

    What few topologies need and what is large, such as Ceph, costs all others nothing.
    """
    own = debian.names_in((data_dir("box") / "packages.box").read_text())
    asked = {each.feature.removeprefix(PACKAGE) for each in demands if each.feature.startswith(PACKAGE)}
    return sorted(asked - set(own))


def built(name: str) -> Box | None:
    """The box of that hash; None where the cache does not have it."""
    folder = cache_dir() / "box" / name
    return Box(folder) if folder.is_dir() else None


def ensure(progress: Progress, more: Sequence[str] = ()) -> Box:
    """The box, with the packages `more` beside its own, built where it is not there. Raises EnvironmentBroken,
    CommandFailed.
    """
    name = recipe_hash(more)
    found = built(name)
    if found is not None:
        return found
    _refuse_missing()
    with alone(cache_dir() / "box" / name, progress):
        return built(name) or _build(name, more, progress)


def _build(name: str, more: Sequence[str], progress: Progress) -> Box:
    image = images.plain_archive("workload", progress)
    with_more = f" with {', '.join(more)}" if more else ""
    progress(f"building the box of guests{with_more} from Debian's packages (once; minutes on two quiet cores)")
    place = cache_dir() / "box"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix="new-", ignore_cleanup_errors=True) as folder:
        new = Path(folder) / "box"
        argv = ["bash", str(data_dir("box") / "build.sh"), str(new), str(image), "".join(debian.mirror()), *more]
        result = run_process(argv, timeout_s=BUILD_TIMEOUT_S, stdin=b"", where="this machine")
        if not result.ok:
            raise CommandFailed(argv, result.code, result.output)
        target = place / name
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)
    return Box(target)


def _refuse_missing() -> None:
    if os.geteuid() != 0:
        raise EnvironmentBroken("building the box of guests needs root", hint="run `make box` as root once")
    absent = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if absent:
        hint = f"apt-get install --no-install-recommends {' '.join(absent)}   (or: make vm-system)"
        raise EnvironmentBroken(f"building the box needs what is not installed: {', '.join(absent)}", hint=hint)
