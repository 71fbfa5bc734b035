"""What kind needs: its program, and a node image. Where no registry answers, the image is built from Debian's
packages by the recipe in ci/kind, once, cached by the hash of what goes in.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
from pathlib import Path
from typing import Literal

from harness.model.errors import EnvironmentBroken, HarnessError
from harness.model.places import cache_dir, data_dir
from harness.ports import Progress
from harness.providers.cache import is_whole, once
from harness.providers.debian import LEFT_OUT, cached_program, call, mirror, mmdebstrap, names_in
from harness.providers.engine import Engine, docker_errors
from harness.providers.images import BASE_IMAGE, IMPORT_TIMEOUT_S, PULL_TIMEOUT_S, is_there

#: bookworm is the last Debian with all of Kubernetes, trixie the last with a containerd that it can speak to.
SOURCE_SUITE, NODE_SUITE = "bookworm", "trixie"
#: What the recipe makes.
OWN_VERSION = "1.20.2"
UPSTREAM = "kindest/node"
HOME = "https://kind.sigs.k8s.io"
#: The first kind whose configuration knows labels and patches of a node's own.
OLDEST_KIND = (0, 20)
KIND_PULL_TIMEOUT_S = 600.0
BUILD_TIMEOUT_S = 3600.0
ROOT_TIMEOUT_S = 900.0
INSIDE = "/usr/lib/harness/kind"
#: Nodes with the servers of shared volumes are an image of their own, as those of Swarm are (images.py).
Role = Literal["node", "node-stores"]
#: For people, on two quiet cores.
TAKES: dict[Role, str] = {"node": "1 min", "node-stores": "3 min"}
#: What becomes of a tar file when an image is made of it.
CHANGES = (
    "LABEL harness.image=kind",
    "ENV container=docker",
    'ENTRYPOINT ["/usr/local/bin/entrypoint"]',
)


# --- the program


def kind_program(progress: Progress) -> str:
    """The path of kind: from PATH where it is new enough, else Debian's, unpacked into the cache."""
    found = shutil.which("kind")
    if found and _version_of(found) >= OLDEST_KIND:
        return found
    return cached_program("kind", NODE_SUITE, "usr/bin/kind", _program_path(), progress, HOME)


def outlook() -> tuple[bool, str]:
    """Whether there is a kind to be had here, and what the first cluster will wait for. Makes nothing."""
    found = shutil.which("kind")
    builds = shutil.which("mmdebstrap") is not None
    image = "the node image is cached" if is_whole(_node_path()) else "the first node image is built, in minutes"
    if found and _version_of(found) >= OLDEST_KIND:
        return True, f"{'.'.join(map(str, _version_of(found)))} in PATH; {image}, unless a registry answers"
    if is_whole(_program_path()):
        return True, f"Debian's, cached; {image}"
    why = f"Debian's is fetched; {image}" if builds else "none in PATH, and no mmdebstrap to fetch Debian's"
    return builds, why


def _version_of(program: str) -> tuple[int, ...]:
    """`kind version 0.27.0` as (0, 27, 0); empty where it does not say."""
    try:
        told = call(program, "--version", timeout_s=10)
    except HarnessError:
        return ()
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", told)
    return tuple(map(int, found.groups())) if found else ()


# --- the image


def node_image(engine: Engine, wanted: str | None, progress: Progress, *, role: Role = "node") -> str | None:
    """The node image on `engine`; None leaves the choice to kind.

    `wanted` is a version of Kubernetes or an image. Where a registry answers it is kind's own images, else ours:
    raises EnvironmentBroken where that is not what is wanted. Servers of stores are in ours only, so that is what
    nodes with stores are made of where nothing is wanted.
    """
    if wanted is not None and wanted.lstrip("v") != OWN_VERSION:
        return _upstream(engine, wanted, progress)
    name = tag(role)
    if is_there(engine, name):
        return name
    if wanted is None and role == "node" and not engine.own and _registry_answers(engine, progress):
        return None
    _import(engine, name, role, progress)
    return name


def _upstream(engine: Engine, wanted: str, progress: Progress) -> str:
    name = wanted if "/" in wanted or ":" in wanted else f"{UPSTREAM}:v{wanted.lstrip('v')}"
    if is_there(engine, name):
        return name
    progress(f"pulling {name}")
    try:
        with docker_errors(f"pulling {name}"):
            engine.client(KIND_PULL_TIMEOUT_S).pull(name, quiet=True)
    except EnvironmentBroken as error:
        hint = f"without a registry there is Kubernetes {OWN_VERSION} only: leave cluster.engine out"
        raise EnvironmentBroken(f"the node image cannot be had: {error.message}", hint=hint) from error
    return name


def _registry_answers(engine: Engine, progress: Progress) -> bool:
    """By pulling a small image, within a bound."""
    try:
        with docker_errors(f"pulling {BASE_IMAGE}"):
            engine.client(PULL_TIMEOUT_S).pull(BASE_IMAGE, quiet=True)
    except EnvironmentBroken as error:
        told = error.message.splitlines()[-1]
        progress(f"no image registry answers ({told}): Kubernetes {OWN_VERSION} from Debian's packages")
        return False
    return True


def _import(engine: Engine, name: str, role: Role, progress: Progress) -> None:
    root = node_root(role, progress)
    progress("importing the Kubernetes node image")
    with docker_errors("importing the Kubernetes node image"):
        engine.client(IMPORT_TIMEOUT_S).image.import_(root, tag=name, changes=list(CHANGES))


def tag(role: Role = "node") -> str:
    return f"harness/kind{role.removeprefix('node')}:{node_hash(role)}"


def node_root(role: Role, progress: Progress) -> Path:
    """The node's root as a tar file in the cache, with the control plane's images in it."""

    def build(new: Path) -> None:
        compiled = binaries(progress)
        progress(f"building the Kubernetes {role}'s root from Debian's packages (once; about {TAKES[role]})")
        _bootstrap_node(role, compiled, new)

    return once(_node_path(role), build, progress)


def binaries(progress: Progress) -> Path:
    """Kubernetes, compiled, as a tar file in the cache."""

    def compile_(new: Path) -> None:
        progress(f"compiling Kubernetes {OWN_VERSION} from Debian's source (once; about 5 min on two quiet cores)")
        _compile(new)

    return once(cache_dir() / "kind" / f"kubernetes-{binaries_hash()}.tar", compile_, progress)


def _site() -> str:
    """Where Debian's source is. Raises EnvironmentBroken where apt names no mirror."""
    for site in mirror():
        return site
    raise EnvironmentBroken(
        "no registry answers, and Kubernetes cannot be compiled: this machine's apt names no mirror of Debian",
        hint="say `cluster: {engine: IMAGE}` with a node image of kind's that this engine has",
    )


def _compile(into: Path) -> None:
    """In a root of its own, which is gone afterwards: nothing needs to be installed here but mmdebstrap."""
    site = _site()
    out = into.with_name("out")
    out.mkdir()
    mmdebstrap(
        "--variant=apt",
        f"--include={','.join(names_in((data_dir('kind') / 'packages.build').read_text()))}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        *_recipe_hooks(),
        f'--customize-hook=chroot "$1" nice -n 5 sh {INSIDE}/build.sh /build /out',
        f"--customize-hook=sync-out /out {shlex.quote(str(out))}",
        "--format=null",
        SOURCE_SUITE,
        "/dev/null",
        sources=[f"{kind} {site} {SOURCE_SUITE} main" for kind in ("deb", "deb-src")],
        scratch=into.parent,
        timeout_s=BUILD_TIMEOUT_S,
    )
    call("tar", "--create", f"--file={into}", f"--directory={out}", ".")


def _bootstrap_node(role: Role, compiled: Path, into: Path) -> None:
    packages = dict.fromkeys(name for file in _lists(role) for name in names_in(file.read_text()))
    mmdebstrap(
        "--variant=apt",
        f"--include={','.join(packages)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        *_recipe_hooks(),
        '--customize-hook=mkdir -p "$1"/out',
        f"--customize-hook=tar-in {shlex.quote(str(compiled))} /out",
        f'--customize-hook=chroot "$1" sh {INSIDE}/setup.sh /out',
        "--format=tar",
        NODE_SUITE,
        str(into),
        scratch=into.parent,
        timeout_s=ROOT_TIMEOUT_S,
    )


def _recipe_hooks() -> list[str]:
    recipe = shlex.quote(str(data_dir("kind")))
    return [
        f'--customize-hook=mkdir -p "$1"{INSIDE}',
        f"--customize-hook=sync-in {recipe} {INSIDE}",
    ]


def _lists(role: Role) -> list[Path]:
    """Of packages. Stores need what they need on Swarm's nodes, and what those have anyway."""
    plain = data_dir("kind") / "packages.node"
    stores = [data_dir("kind") / "packages.node-stores", data_dir("images") / "packages.node-stores"]
    return [plain, *(stores if role == "node-stores" else ())]


# --- hashes


def _program_path() -> Path:
    return cache_dir() / "kind" / f"kind-{_digest(NODE_SUITE, platform.machine())}"


def _node_path(role: Role = "node") -> Path:
    return cache_dir() / "kind" / f"{role}-{node_hash(role)}.tar"


def binaries_hash() -> str:
    """12 hexadecimal digits over all that makes the binaries."""
    files = [data_dir("kind") / "build.sh", data_dir("kind") / "packages.build", *_go_files()]
    return _digest(SOURCE_SUITE, platform.machine(), *(_named(file) for file in files))


def node_hash(role: Role = "node") -> str:
    """12 hexadecimal digits over all that makes the image, the binaries included."""
    files = [data_dir("kind") / "setup.sh", *_lists(role)]
    files += sorted(path for path in (data_dir("kind") / "node").iterdir() if path.is_file())
    return _digest(binaries_hash(), NODE_SUITE, *LEFT_OUT, *CHANGES, *(_named(file) for file in files))


def _go_files() -> list[Path]:
    return sorted(path for path in (data_dir("kind") / "cmd").rglob("*.go") if path.is_file())


def _named(file: Path) -> str:
    return f"{os.path.relpath(file, data_dir('kind'))}\0{file.read_text()}"


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:12]
