"""Host paths that a container is not given unnoticed."""

from __future__ import annotations

import pytest

from harness.loader.sensitive import sensitivity
from tests.loader_catalog import problems, read


@pytest.mark.parametrize(
    "path",
    [
        "/", "//", "/etc", "/etc/", "/etc/passwd", "/srv/../etc", "/var/run/docker.sock", "/run/docker.sock",
        "/var/run", "/run", "/var", "/proc", "/proc/sys/kernel", "/sys", "/root", "/root/.ssh", "/boot", "/dev",
        "/dev/sda", "/./etc/./shadow",
    ],
)  # fmt: skip
def test_sensitive_paths_have_a_reason(path: str) -> None:
    assert sensitivity(path)


@pytest.mark.parametrize(
    "path",
    ["/srv", "/etcetera", "/home/me", "/harness/shared/data", "/devices", "/opt/etc", "/var/lib/data"],
)
def test_others_have_none(path: str) -> None:
    assert sensitivity(path) == ""


BIND = """name: x
services:
  a:
    node: n1
    volumes:
      - /etc:/host/etc
volumes:
  v: {driver: local, driver_opts: {type: none, o: "bind,ro", device: /root}}
"""


def test_a_bind_of_one_is_refused_with_its_line_and_reason() -> None:
    found = {problem.key: problem for problem in problems(BIND)}
    assert found["services.a.volumes[0]"].line == 6
    assert "accounts, keys" in found["services.a.volumes[0]"].message
    assert "allow_sensitive: true" in found["services.a.volumes[0]"].message
    assert found["volumes.v.driver_opts.device"].line == 8


def test_a_topology_may_say_that_it_is_meant() -> None:
    assert read(f"{BIND}allow_sensitive: true\n").allow_sensitive
