"""The box of guests: built once from Debian's packages by ci/box/build.sh, cached by the hash of what goes in.

A folder of the cache, `box/HASH`, has all of it or is not there: it is built beside its place and renamed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.model.places import cache_dir, data_dir
from harness.ports import Progress
from harness.providers import images
from harness.providers.debian import mirror
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


def recipe_hash() -> str:
    """12 hexadecimal digits over all that makes the box."""
    digest = hashlib.sha256(f"{platform.machine()}\0{images.tag('workload')}\0".encode())
    for name in RECIPE:
        digest.update((data_dir("box") / name).read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def built(name: str = "") -> Box | None:
    """The box of that hash, or that of the recipe as it is now; None where the cache does not have it."""
    folder = cache_dir() / "box" / (name or recipe_hash())
    return Box(folder) if folder.is_dir() else None


def ensure(progress: Progress) -> Box:
    """The box, built where it is not there. Raises EnvironmentBroken, CommandFailed."""
    found = built()
    if found is not None:
        return found
    _refuse_missing()
    image = images.plain_archive("workload", progress)
    progress("building the box of guests from Debian's packages (once; about 2 min on two quiet cores)")
    place = cache_dir() / "box"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix="new-", ignore_cleanup_errors=True) as folder:
        new = Path(folder) / "box"
        argv = ["bash", str(data_dir("box") / "build.sh"), str(new), str(image), *mirror()]
        result = run_process(argv, timeout_s=BUILD_TIMEOUT_S, stdin=b"", where="this machine")
        if not result.ok:
            raise CommandFailed(argv, result.code, result.output)
        target = place / recipe_hash()
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
