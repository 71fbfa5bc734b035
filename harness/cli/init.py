"""The verb `init`: a topology to begin with, or one from a Compose file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from harness import loader, session
from harness.cli.output import errors
from harness.model.errors import EXIT_PASS, TopologyError, UsageError

STARTER = """\
# A topology to begin with: `harness validate {file}`, `harness doctor {file}`, `harness run {file}`.
# Editors complete it with the schema that `harness schema > topology.schema.json` writes.
name: {name}
cluster:
  provider: docker                     # hosts are containers with an engine of their own
  orchestrator: swarm
  nodes: {{manager: 1, worker: 2}}       # called n1, n2, n3
networks:
  app: {{driver: overlay, attachable: true}}
volumes:
  data:                                # one directory that all nodes share
    driver: local
    driver_opts: {{type: none, o: bind, device: /harness/shared/data}}
services:
  web:                                 # without an image: the harness's own
    deploy: {{mode: replicated, replicas: 3}}
    networks: [app]
  edge:
    deploy: {{mode: global}}             # one on each node
    networks: [app]
    volumes: ["data:/data"]
checks:
  - connectivity: {{}}
  - dns: {{}}
  - concurrent-append: {{volume: data, duration_s: 3}}
"""


def init(
    compose: Annotated[Path | None, typer.Option("--from", metavar="COMPOSE", help="A Compose file.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; default: NAME.yaml.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> int:
    """Write a topology: one to begin with, or what a Compose file says, with an account of what was left out."""
    if compose is None:
        file = output or Path("topology.yaml")
        _write(file, STARTER.format(file=file, name=_stem(file)), force=force)
        return EXIT_PASS
    converted = _converted(compose)
    file = output or Path(f"{converted.topology['name']}.yaml")
    text = f"# From {compose.name}, by `harness init`.\n" + yaml.safe_dump(converted.topology, sort_keys=False)
    for entry in converted.entries:
        errors.print(str(entry), markup=False, style=None if entry.verb == "taken" else "yellow")
    _refuse_invalid(text, file)
    _write(file, text, force=force)
    return EXIT_PASS


def _stem(path: Path) -> str:
    """A name from a file's or folder's."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in path.stem.lower()).strip("-")
    return plain[:31] if plain[:1].isalpha() else "topology"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{path}: cannot be read: {why}", hint="--from names a Compose file") from error


def _converted(path: Path) -> loader.Converted:
    """Raises UsageError, naming the file."""
    try:
        return loader.from_compose(_read(path), _stem(path.resolve().parent))
    except UsageError as error:
        hint = (
            error.hint or "--from names a Compose file; without it `harness init` writes a topology to begin with"
        )
        raise UsageError(f"{path}: {error.message.removeprefix(f'{path}: ')}", hint=hint) from error


def _refuse_invalid(text: str, file: Path) -> None:
    """What was taken may still be no topology, as two subnets that overlap: nothing is written then."""
    try:
        loader.loads(text, str(file), session.CATALOG)
    except TopologyError as error:
        problems = "; ".join(f"{problem.key}: {problem.message}" for problem in error.problems)
        raise UsageError(
            f"what the Compose file says is no topology: {problems}", hint="mend the Compose file, or cut it down"
        ) from error


def _write(file: Path, text: str, *, force: bool) -> None:
    if file.exists() and not force:
        raise UsageError(f"{file} is there already", hint="--force writes over it; --output names another one")
    try:
        file.write_text(text)
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be written: {error.strerror}", hint="--output names another one"
        ) from error
    errors.print(f"{file}: written; `harness validate {file}`, `harness doctor {file}`, `harness run {file}`")
