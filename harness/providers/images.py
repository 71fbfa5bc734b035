"""Node and workload images: built once from Debian packages, cached by the hash of what goes in.

With an image registry: the Dockerfile of ci/images over debian:trixie-slim. Without: mmdebstrap and
`docker import`. Both run the same set-up script over the same list of packages. A cached file counts only with its
receipt, written last, so a half-written one is built again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from harness.model.errors import EnvironmentBroken
from harness.model.places import cache_dir, data_dir
from harness.ports import Progress
from harness.providers.cache import alone, is_whole, once
from harness.providers.debian import LEFT_OUT, call, mmdebstrap, names_in
from harness.providers.engine import Engine, docker_errors
from harness.providers.releases import DEFAULT, Release

Role = Literal["node", "node-stores", "node-ssh", "workload"]

SUITE = DEFAULT.suite
BASE_IMAGE = f"debian:{SUITE}-slim"
INSIDE = "/usr/lib/harness"
SCRIPTS = ("setup.sh", "entrypoint.sh")
BUILD_TIMEOUT_S = 900.0
IMPORT_TIMEOUT_S = 180.0
PULL_TIMEOUT_S = 120.0
#: A node needs apt's whole bootstrap (services, alternatives); a workload only unpacked packages: 72 MB, not 103.
VARIANTS: dict[Role, str] = {"node": "apt", "node-stores": "apt", "node-ssh": "apt", "workload": "extract"}
#: When mmdebstrap runs what `setup.sh configure` does: it has no customize hooks where packages are only unpacked.
HOOKS = {"apt": "customize-hook", "extract": "extract-hook"}
#: Nodes with the servers of shared volumes are an image of their own, built when a plan first has stores: runs
#: without them need not wait for another 100 s and 400 MB.
LISTS: dict[Role, tuple[str, ...]] = {
    "node": ("packages.node",),
    "node-stores": ("packages.node", "packages.node-stores"),
    "node-ssh": ("packages.node", "packages.node-ssh"),
    "workload": ("packages.workload",),
}
#: For people, on two quiet cores.
TAKES: dict[Role, str] = {"node": "30 s", "node-stores": "2 min", "node-ssh": "40 s", "workload": "20 s"}


def packages(role: Role, release: Release = DEFAULT) -> list[str]:
    listed = names_in("\n".join((data_dir("images") / name).read_text() for name in LISTS[role]))
    return [name for name in listed if name not in release.absent]


def recipe_hash(role: Role, release: Release = DEFAULT) -> str:
    """12 hexadecimal digits over all that makes the image: files, packages, suite, options, architecture.

    Of other releases than the default the engine's version as well: what their suite had before is not that.
    """
    digest = hashlib.sha256()
    suite, others = (SUITE, ()) if release == DEFAULT else (release.suite, (release.engine, *release.absent))
    for part in (role, suite, VARIANTS[role], HOOKS[VARIANTS[role]], *LEFT_OUT, platform.machine(), *others):
        digest.update(part.encode() + b"\0")
    for name in (*LISTS[role], *SCRIPTS, "Dockerfile"):
        digest.update((data_dir("images") / name).read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def tag(role: Role, release: Release = DEFAULT) -> str:
    return f"harness/{role}:{recipe_hash(role, release)}"


def ensure_image(engine: Engine, role: Role, progress: Progress, release: Release = DEFAULT) -> str:
    """The tag of the image on `engine`, built or imported when it is not there. Raises EnvironmentBroken."""
    name = tag(role, release)
    if is_there(engine, name):
        return name
    if not engine.own and _build(engine, role, progress, release):
        return name
    root = root_tar(role, progress, release)
    progress(f"importing the {role} image")
    changes = [f"LABEL harness.image={role}", 'CMD ["sleep", "infinity"]']
    with docker_errors(f"importing the {role} image"):
        engine.client(IMPORT_TIMEOUT_S).image.import_(root, tag=name, changes=changes)
    return name


def can_be_had(role: Role, release: Release) -> bool:
    """Whether the image is here, or there is something to build it with. Makes nothing, and asks no mirror."""
    return is_cached(role, release) or bool(shutil.which("mmdebstrap") or shutil.which("docker"))


def is_cached(role: Role, release: Release) -> bool:
    return is_whole(cache_dir() / "images" / f"{role}-{recipe_hash(role, release)}.tar")


def is_there(engine: Engine, image: str) -> bool:
    with docker_errors(f"looking for the image {image}"):
        return engine.client(20).image.exists(image)


def image_id(engine: Engine, image: str) -> str:
    """`sha256:` and the digest of its configuration; it is the same wherever `docker save` was loaded."""
    with docker_errors(f"asking for the ID of {image}"):
        return engine.client(20).image.inspect(image).id


def piped(source: Sequence[str], sink: Sequence[str], where: str) -> None:
    """`source | sink`, without holding the bytes of an image here."""
    argv = ["sh", "-c", f"{shlex.join(source)} | {shlex.join(sink)}"]
    call(*argv, timeout_s=IMPORT_TIMEOUT_S, where=where)


def image_archive(engine: Engine, role: Role, progress: Progress) -> Path:
    """`docker save` of the image: loading it gives one image ID on every node, importing on each would not."""
    name = ensure_image(engine, role, progress)
    number = image_id(engine, name).removeprefix("sha256:")[:12]
    path = cache_dir() / "images" / f"{role}-{recipe_hash(role)}-{number}.docker.tar"

    def save(new: Path) -> None:
        with docker_errors(f"saving {name}"):
            engine.client(IMPORT_TIMEOUT_S).image.save(name, output=new)

    return once(path, save, progress)


def plain_archive(role: Role, progress: Progress) -> Path:
    """The image as `docker load` takes it, made without an engine: for nodes that are on none."""
    path = cache_dir() / "images" / f"{role}-{recipe_hash(role)}.plain.tar"
    return once(path, lambda new: write_archive(root_tar(role, progress), tag(role), new), progress)


def write_archive(root: Path, name: str, into: Path) -> None:
    """One layer and its configuration (OCI image specification, config.md; `docker save` names them so)."""
    with root.open("rb") as stream:
        layer = hashlib.file_digest(stream, "sha256").hexdigest()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Cmd": ["sleep", "infinity"],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "harness"}],
    }
    about = json.dumps(config, sort_keys=True).encode()
    number = hashlib.sha256(about).hexdigest()
    manifest = json.dumps([{"Config": f"{number}.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(into, "w") as archive:
        for member, data in ((f"{number}.json", about), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        archive.add(root, "layer.tar")


def root_tar(role: Role, progress: Progress, release: Release = DEFAULT) -> Path:
    """A Debian root for `role` as a tar file in the cache."""
    path = cache_dir() / "images" / f"{role}-{recipe_hash(role, release)}.tar"

    def build(new: Path) -> None:
        of = "" if release == DEFAULT else f" of {release.suite}, with engine {release.engine},"
        progress(f"building the {role} root{of} from Debian's packages (once; about {TAKES[role]})")
        _bootstrap(role, new, release)

    return once(path, build, progress)


def engine_root(progress: Progress) -> Path:
    """The node's root unpacked: what the harness's own engine runs in."""
    path = cache_dir() / "engine" / f"root-{recipe_hash('node')}"
    last = path / INSIDE.lstrip("/") / "entrypoint.sh"
    if not last.exists():
        with alone(path, progress):
            if not last.exists():
                _unpack(root_tar("node", progress), path, progress)
    return path


def _unpack(archive: Path, path: Path, progress: Progress) -> None:
    progress("unpacking the engine's root")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="root-new-") as folder:
        new = Path(folder) / "root"
        new.mkdir()
        target = f"--directory={new}"
        call("tar", "--extract", target, "--numeric-owner", "--exclude=./dev/*", f"--file={archive}")
        shutil.rmtree(path, ignore_errors=True)
        new.rename(path)


# --- by mmdebstrap


def _bootstrap(role: Role, into: Path, release: Release) -> None:
    inside = f'"$1"{INSIDE}'
    files = [shlex.quote(str(data_dir("images") / name)) for name in (*SCRIPTS, *LISTS[role])]
    hooks = [
        f"mkdir -p {inside}",
        f"cp {' '.join(files)} {inside}/",
        f'chroot "$1" sh {INSIDE}/setup.sh configure {role}',
    ]
    mmdebstrap(
        f"--variant={VARIANTS[role]}",
        f"--include={','.join(packages(role, release))}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        *(f"--{HOOKS[VARIANTS[role]]}={hook}" for hook in hooks),
        # a version is wanted, not the newest: a mirror that stands still will do; signatures are checked as ever
        *([] if release == DEFAULT else ['--aptopt=Acquire::Check-Valid-Until "false"']),
        "--format=tar",
        SUITE if release == DEFAULT else release.suite,
        str(into),
        scratch=into.parent,
        timeout_s=BUILD_TIMEOUT_S,
    )


# --- by a Dockerfile


def _build(engine: Engine, role: Role, progress: Progress, release: Release) -> bool:
    """Build over Debian's image where a registry answers; False, said aloud, where none does."""
    base = BASE_IMAGE if release == DEFAULT else f"debian:{release.suite}-slim"
    try:
        with docker_errors(f"pulling {base}"):
            engine.client(PULL_TIMEOUT_S).pull(base, quiet=True)
    except EnvironmentBroken as error:
        progress(f"no image registry answers ({error.message.splitlines()[-1]}): building from Debian's packages")
        return False
    build_image(engine, role, base, progress, release)
    return True


def build_image(engine: Engine, role: Role, base: str, progress: Progress, release: Release = DEFAULT) -> None:
    """Build the Dockerfile of `role` over `base`, which must be on the engine or in a registry that it reaches."""
    progress(f"building the {role} image over {base}")
    name = tag(role, release)
    argv = engine.argv("build", "--quiet", "--force-rm", "--tag", name, "--label", f"harness.image={role}")
    for key, value in {"BASE": base, "ROLE": role}.items():
        argv += ["--build-arg", f"{key}={value}"]
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    with _context(role, release) as context:
        call(*argv, str(context), timeout_s=BUILD_TIMEOUT_S, env=environment)


@contextmanager
def _context(role: Role, release: Release) -> Iterator[Path]:
    """What the Dockerfile copies, without the packages that the suite lacks."""
    if not release.absent:
        yield data_dir("images")
        return
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / "images"
        shutil.copytree(data_dir("images"), context)
        for name in LISTS[role]:
            lines = (context / name).read_text().splitlines()
            (context / name).write_text("".join(f"{line}\n" for line in lines if line not in release.absent))
        yield context
