"""The Dockerfile, built for real: over an imported root that has every package, since no registry is needed so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.model.errors import CommandFailed
from harness.providers import images
from harness.providers.docker import DockerProvider
from harness.providers.engine import Engine

CALL_TIMEOUT_S = 60.0


def say(_line: str) -> None:
    pass


@pytest.fixture
def engine() -> Iterator[Engine]:
    provider = DockerProvider()
    yield provider.own.start(say)
    provider.tidy()


@pytest.fixture
def built(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The node image by its Dockerfile, under a name of the test's own; removed afterwards."""
    base = images.ensure_image(engine, "node", say)
    monkeypatch.setattr(images, "tag", lambda role, _release=None: f"harness/{role}:by-dockerfile")
    images.build_image(engine, "node", base, say)
    yield images.tag("node")
    engine.client(CALL_TIMEOUT_S).image.remove(images.tag("node"), force=True)


def in_image(engine: Engine, image: str, script: str) -> str:
    client = engine.client(CALL_TIMEOUT_S)
    return str(client.container.run(image, ["sh", "-c", script], remove=True, networks=["none"], pull="never"))


def test_the_dockerfile_makes_the_same_root_as_mmdebstrap(engine: Engine, built: str) -> None:
    config = engine.client(CALL_TIMEOUT_S).image.inspect(built).config
    assert (config.labels or {}).get("harness.image") == "node"
    assert config.cmd == ["sleep", "infinity"]
    found = in_image(engine, built, f"cd {images.INSIDE} && ls && test -x entrypoint.sh && which dockerd tini")
    assert {"entrypoint.sh", "setup.sh", "packages.node", "/usr/bin/tini", "/usr/sbin/dockerd"} <= set(
        found.split()
    )


def test_a_role_that_the_recipe_does_not_know_does_not_build(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = images.ensure_image(engine, "node", say)
    monkeypatch.setattr(images, "tag", lambda _role, _release=None: "harness/nonsense:by-dockerfile")
    with pytest.raises(CommandFailed, match="ended with"):
        images.build_image(engine, "nonsense", base, say)  # type: ignore[arg-type]
    assert not engine.client(CALL_TIMEOUT_S).image.exists("harness/nonsense:by-dockerfile")
