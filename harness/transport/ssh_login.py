"""How a host is reached by SSH, and for how long its silence is borne: plain data."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

KNOWN_HOSTS = Path("~/.ssh/known_hosts")


@dataclass(frozen=True)
class Login:
    """Where sshd listens, as whom, by which key, and whom we take for the host.

    `key` is a private key file; None: the keys of ssh-agent(1) and `~/.ssh/id_*`. `host_key` ("ssh-ed25519
    AAAA...") is the only one that is accepted where it is given; else `known_hosts` says, None for the user's
    own. With `accept_new` an unknown host is added to it; one whose key has changed is refused all the same. With
    `sudo` every command runs by `sudo -n`. `jump` is the host through which this one is reached.
    """

    address: str
    user: str = "root"
    port: int = 22
    key: Path | None = None
    host_key: str = ""
    known_hosts: Path | None = None
    accept_new: bool = False
    jump: Login | None = None
    sudo: bool = False

    def __str__(self) -> str:
        return f"{self.user}@{self.address}:{self.port}"

    @property
    def known_hosts_file(self) -> Path:
        return (self.known_hosts or KNOWN_HOSTS).expanduser()

    @property
    def known_as(self) -> str:
        """How known_hosts names it (sshd(8))."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"


@dataclass(frozen=True)
class Patience:
    """Seconds: for a TCP connection; for the banner, the keys and the login, each; and how long nothing may be
    heard of a host until its connection counts as lost.
    """

    connect_s: float = 15.0
    greet_s: float = 30.0
    lost_after_s: float = 10.0


def terminal_argv(login: Login, argv: Sequence[str]) -> list[str]:
    """ssh(1) that runs `argv` on the host with the caller's terminal, under the same rules as ours."""
    words = ["sudo", "-n", "--", *argv] if login.sudo else list(argv)
    return ["ssh", "-t", *_options(login), f"{login.user}@{login.address}", shlex.join(words)]


def _options(login: Login) -> list[str]:
    words = ["-p", str(login.port)]
    words += ["-i", str(login.key.expanduser()), "-o", "IdentitiesOnly=yes"] if login.key else []
    words += ["-o", f"StrictHostKeyChecking={'accept-new' if login.accept_new else 'yes'}"]
    if login.host_key:
        told = f"KnownHostsCommand=/bin/echo {login.known_as} {login.host_key}"
        words += ["-o", "UserKnownHostsFile=none", "-o", told]
    else:
        words += ["-o", f"UserKnownHostsFile={login.known_hosts_file}"]
    if login.jump:
        through = ["ssh", *_options(login.jump), "-W", "%h:%p", f"{login.jump.user}@{login.jump.address}"]
        words += ["-o", f"ProxyCommand={shlex.join(through)}"]
    return words
