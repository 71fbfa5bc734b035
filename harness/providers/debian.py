"""Roots of Debian by mmdebstrap, from the mirror that this machine's apt uses."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.model.errors import CommandFailed, EnvironmentBroken
from harness.ports import Progress
from harness.providers.cache import once
from harness.transport.process import run_process

UNPACK_TIMEOUT_S = 900.0
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def mmdebstrap(*arguments: str, sources: Sequence[str] = (), scratch: Path, timeout_s: float) -> None:
    """Run mmdebstrap with `arguments`, which end with suite and target. `sources` are whole lines for apt; without
    any it is the mirror. `scratch` is a folder that goes away with whoever was cut short, and mounts end with
    their namespace: mmdebstrap itself cannot tidy up then. Raises EnvironmentBroken where there is no mmdebstrap.
    """
    if shutil.which("mmdebstrap") is None:
        raise EnvironmentBroken(
            "mmdebstrap, which makes of Debian's packages what no registry is asked for, is missing",
            hint="apt-get install mmdebstrap",
        )
    words = ["mmdebstrap", *arguments, *(sources or mirror())]
    if os.geteuid() != 0:  # it works as other users then, who may not enter a cache of ours
        call(*words, timeout_s=timeout_s)
        return
    apart = ["unshare", "--mount", "--propagation", "private"] if shutil.which("unshare") else []
    call(*apart, *words, timeout_s=timeout_s, env={**os.environ, "TMPDIR": str(scratch)})


def cached_program(package: str, suite: str, path: str, into: Path, progress: Progress, home: str = "") -> str:
    """`into`, a program of the cache: the file `path` of a package, unpacked once. Raises EnvironmentBroken, whose
    hint names `home`, where else it can be had.
    """
    name = Path(path).name

    def fetch(new: Path) -> None:
        progress(f"fetching {name} from Debian's packages (once)")
        try:
            unpack_program(package, suite, path, new)
        except EnvironmentBroken as error:
            hint = f"install {name}{f' ({home})' if home else ''} into PATH, or: {error.hint or 'see above'}"
            raise EnvironmentBroken(f"there is no {name} in PATH, and {error.message}", hint=hint) from error
        new.chmod(0o755)

    return str(once(into, fetch, progress))


def unpack_program(package: str, suite: str, path: str, into: Path) -> None:
    """One file of a package, without installing it. Raises EnvironmentBroken where there is no mmdebstrap."""
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        root = Path(folder) / "root.tar"
        mmdebstrap(
            "--variant=extract",
            f"--include={package}",
            "--format=tar",
            suite,
            str(root),
            scratch=Path(folder),
            timeout_s=UNPACK_TIMEOUT_S,
        )
        with tarfile.open(root) as archive:
            program = archive.extractfile(f"./{path}")
            assert program is not None
            with program, into.open("wb") as file:
                shutil.copyfileobj(program, file)


def mirror() -> list[str]:
    """The mirror that this machine's apt uses for Debian; none where it uses none: mmdebstrap's default then."""
    if shutil.which("apt-get") is None:
        return []
    sites = call("apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)").splitlines()
    found = [line.split() for line in sites if line.startswith("Debian ")]
    plain = [uri for _origin, codename, uri in found if re.fullmatch(r"[a-z]+", codename)]
    return plain[:1]


def names_in(text: str) -> list[str]:
    """Packages of a list: one a line, `#` for remarks; sorted, each once."""
    lines = (line.strip() for line in text.splitlines())
    return sorted({line for line in lines if line and not line.startswith("#")})


def call(
    *argv: str, timeout_s: float = 60.0, env: dict[str, str] | None = None, where: str = "this machine"
) -> str:
    """The standard output of a program of this machine. `where` is what messages name."""
    result = run_process(argv, timeout_s=timeout_s, stdin=b"", where=where, env=env)
    if not result.ok:
        raise CommandFailed(argv, result.code, result.output, where=where)
    return result.stdout
