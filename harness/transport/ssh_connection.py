"""One SSH connection to one host: who it is is checked, who we are is shown, and its silence is noticed."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import socket
import threading
from collections.abc import Callable

import paramiko

from harness.model.errors import EnvironmentBroken, Unreachable
from harness.transport.ssh_login import Login, Patience

#: Opens a TCP connection within so many seconds. Raises OSError.
Dial = Callable[[float], socket.socket]

#: How often a host is asked whether it is still there.
PULSE_S = 2.0
#: sshd allows 10 sessions a connection (MaxSessions, sshd_config(5)); two are left to whoever looks in by hand.
MAX_SESSIONS = 8
_ASK = "keepalive@openssh.com"

# paramiko tells a lost connection to standard error where nobody listens; ours is told by whoever waits for it
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Connection:
    """A live connection. Raises Unreachable where the host cannot be reached, is not the one that is known by
    that name, or does not let us in. Once lost it stays lost, and `lost` says why.
    """

    def __init__(self, name: str, login: Login, patience: Patience, dial: Dial | None) -> None:
        self.name = name
        self.sessions = threading.BoundedSemaphore(MAX_SESSIONS)
        self._patience = patience
        self._jump = None if login.jump is None else Connection(f"{name}'s jump host", login.jump, patience, dial)
        self._lost = ""
        self._closing = threading.Event()
        self._client = paramiko.SSHClient()
        try:
            self._transport = self._connect(login, None if self._jump else dial)
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._pulse, name=f"ssh-pulse-{name}", daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._transport.is_active() and not self._lost

    @property
    def lost(self) -> str:
        """Why it is lost, for people; empty while it lives."""
        if self._lost or self._transport.is_active():
            return self._lost
        return str(self._transport.get_exception() or "the connection ended")

    def open_session(self, timeout_s: float) -> paramiko.Channel:
        """Raises SSHException, OSError, EOFError; nothing was asked of the host then."""
        return self._transport.open_session(timeout=timeout_s)

    def close(self) -> None:
        """Idempotent."""
        self._closing.set()
        self._client.close()
        if self._jump is not None:
            self._jump.close()

    # --- connecting

    def _connect(self, login: Login, dial: Dial | None) -> paramiko.Transport:
        pkey = _private_key(login)
        _prepare_host_keys(self._client, login)
        sock = self._socket(login, dial)
        try:
            self._client.connect(
                login.address,
                login.port,
                login.user,
                pkey=pkey,
                sock=sock,
                timeout=self._patience.greet_s,
                banner_timeout=self._patience.greet_s,
                auth_timeout=self._patience.greet_s,
                allow_agent=pkey is None,
                look_for_keys=pkey is None,
            )
        except EnvironmentBroken:
            raise
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise _refused(self.name, login, error) from error
        transport = self._client.get_transport()
        assert transport is not None
        return transport

    def _socket(self, login: Login, dial: Dial | None) -> socket.socket | paramiko.Channel:
        try:
            if self._jump is not None:
                target = (login.address, login.port)
                return self._jump._transport.open_channel(
                    "direct-tcpip", target, ("127.0.0.1", 0), timeout=self._patience.connect_s
                )
            opened = (dial or _dial(login))(self._patience.connect_s)
        except (OSError, paramiko.SSHException) as error:
            raise Unreachable(
                f"{self.name} cannot be reached ({login}{_by(login)}): {_words(error)}",
                hint="is its address right, does sshd run there, and does a firewall let us through?",
            ) from error
        _bear_silence(opened, self._patience.lost_after_s)
        return opened

    # --- silence

    def _pulse(self) -> None:
        """Ask the host again and again; one that is silent for too long is given up, and all who wait are told."""
        while not self._closing.wait(PULSE_S) and self._transport.is_active():
            patience = threading.Timer(self._patience.lost_after_s, self._give_up)
            patience.daemon = True
            patience.start()
            with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
                self._transport.global_request(_ASK, wait=True)
            patience.cancel()

    def _give_up(self) -> None:
        self._lost = f"nothing was heard of it for {self._patience.lost_after_s:g} s"
        self._transport.close()


def _dial(login: Login) -> Dial:
    return lambda timeout_s: socket.create_connection((login.address, login.port), timeout_s)


def _bear_silence(opened: socket.socket, lost_after_s: float) -> None:
    """Let the kernel end a connection whose bytes nobody acknowledges (tcp(7)), also while we write."""
    if opened.family in (socket.AF_INET, socket.AF_INET6):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(lost_after_s * 1000))


# --- who we are


def _private_key(login: Login) -> paramiko.PKey | None:
    """Raises Unreachable where the file is no key that can be used without a question."""
    if login.key is None:
        return None
    path = login.key.expanduser()
    try:
        return paramiko.PKey.from_path(path)
    except (paramiko.PasswordRequiredException, TypeError) as error:  # the latter by cryptography
        hint = f"ssh-add {path}, and name no key: those of ssh-agent are tried then"
        raise Unreachable(f"the key {path} is locked by a passphrase", hint=hint) from error
    except OSError as error:
        raise Unreachable(f"the key {path} cannot be read: {error.strerror}") from error
    except Exception as error:  # ValueError, UnknownKeyType and others, by the format
        raise Unreachable(
            f"{path} is not a private key that can be used: {type(error).__name__}",
            hint="name the private key, not its .pub file; `ssh-keygen -t ed25519` makes one",
        ) from error


# --- who the host is


def _prepare_host_keys(client: paramiko.SSHClient, login: Login) -> None:
    """Raises Unreachable where a host key that was given is none."""
    if login.host_key:
        entry = _host_key_entry(login)
        client.get_host_keys().add(login.known_as, entry.get_name(), entry)
    elif login.known_hosts_file.exists():
        client.load_system_host_keys(str(login.known_hosts_file))
    client.set_missing_host_key_policy(_AcceptNew(login) if login.accept_new else _Refuse(login))


def _host_key_entry(login: Login) -> paramiko.PKey:
    entry = None
    with contextlib.suppress(paramiko.SSHException):
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{login.known_as} {login.host_key}")
    if entry is None or entry.key is None:
        raise Unreachable(
            f"the host key that was given for {login.address} is none",
            hint="it looks like `ssh-ed25519 AAAA...`; `ssh-keyscan` prints it",
        )
    key: paramiko.PKey = entry.key
    return key


class _Refuse(paramiko.MissingHostKeyPolicy):
    def __init__(self, login: Login) -> None:
        self.login = login

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        file = self.login.known_hosts_file
        raise Unreachable(
            f"the host key of {hostname} is not known: {key.get_name()} {key.fingerprint}",
            hint="compare it with `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` on that host, and add it "
            f"to {file} (ssh-keyscan -p {self.login.port} {self.login.address} >> {file}), or ask for "
            "`host_keys: accept-new`",
        )


class _AcceptNew(paramiko.MissingHostKeyPolicy):
    """Adds a line to known_hosts, beside whoever does the same; nothing else in the file is touched."""

    def __init__(self, login: Login) -> None:
        self.login = login

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        file = self.login.known_hosts_file
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with file.open("a") as lines:
                fcntl.flock(lines, fcntl.LOCK_EX)
                lines.write(f"{hostname} {key.get_name()} {key.get_base64()}\n")
        except OSError as error:
            raise Unreachable(f"{file} cannot take the new key of {hostname}: {error.strerror}") from error


# --- what went wrong, for people


def _refused(name: str, login: Login, error: BaseException) -> Unreachable:
    if isinstance(error, paramiko.BadHostKeyException):
        return Unreachable(
            f"{name} ({login}) shows another host key than the one that is known: {error.key.get_name()} "
            f"{error.key.fingerprint}, not {error.expected_key.fingerprint}",
            hint=f"somebody may answer in its place; if it was made anew: ssh-keygen -R '{login.known_as}'"
            + ("" if login.host_key else f" -f {login.known_hosts_file}"),
        )
    if isinstance(error, paramiko.AuthenticationException):
        tried = f"the key {login.key}" if login.key else "every key of ssh-agent and ~/.ssh"
        return Unreachable(
            f"{name} does not let us in ({login}): it refuses {tried}",
            hint=f"is the public key in {login.user}'s ~/.ssh/authorized_keys there?",
        )
    if "No authentication methods" in str(error):
        return Unreachable(f"{name} does not let us in ({login}): there is no key to show", hint="name a key")
    return Unreachable(f"{name} answers, but not as sshd does ({login}{_by(login)}): {_words(error)}")


def _by(login: Login) -> str:
    return f" by {login.jump}" if login.jump else ""


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
