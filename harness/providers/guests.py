"""Guests seen from their libvirt: hosts by SSH, the wire by its bridge, freezing and power by virsh."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.model.errors import EnvironmentBroken
from harness.model.plan import cluster_name
from harness.ports import Cluster, NodeState, Result
from harness.providers.box import Box
from harness.providers.libvirt import Libvirt, within
from harness.providers.vagrant_plan import Guest, console_lines, death, last_words, parse_guests, parse_leases
from harness.transport.local import LocalHost
from harness.transport.netns import connect_in
from harness.transport.ssh import Login, Patience, SshHost

#: An emulated guest takes about ten times as long for everything: its deadlines are this many times longer. With
#: six an otherwise busy machine was seen to miss those of feature probes.
SLOWNESS = 12.0
PATIENCE = Patience(connect_s=30.0, greet_s=90.0, lost_after_s=60.0)
_DUMP = 'for domain in $("$@" list --all --name); do "$@" dumpxml "$domain" || true; done'


class GuestHost(SshHost):
    """A guest by SSH. Where it has stopped for good, errors about it end with the last lines of its console."""

    serial: Path | None = None

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> Result:
        with self._last_words():
            return super().run(argv, timeout_s=timeout_s, stdin=stdin)

    def feed(self, argv: Sequence[str], file: Path, *, timeout_s: float) -> Result:
        with self._last_words():
            return super().feed(argv, file, timeout_s=timeout_s)

    @contextlib.contextmanager
    def _last_words(self) -> Iterator[None]:
        try:
            yield
        except EnvironmentBroken as error:
            lines = console(self.serial) if self.serial else []
            if death(lines):
                error.message += "\n" + "\n".join(last_words(self.name, lines))
            raise


def console(path: Path) -> list[str]:
    """The last lines of a serial console; none where it cannot be read."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 8192))
            return console_lines(stream.read().decode(errors="replace"))
    except OSError:
        return []


def guests(libvirt: Libvirt, run: str | None = None) -> list[Guest]:
    """Domains of one run, or of all of ours, also those that do not run."""
    argv = ["sh", "-c", _DUMP, "sh", *libvirt.argv()]
    found = parse_guests(LocalHost("libvirt").run(argv, timeout_s=60.0).stdout)
    return [guest for guest in found if run in (None, guest.run)]


def leases(libvirt: Libvirt, run: str) -> dict[str, str]:
    """MAC to address on the control link."""
    return parse_leases(libvirt.ask("net-dhcp-leases", f"{cluster_name(run)}-control").stdout)


def cluster_of(libvirt: Libvirt, run: str, found: Sequence[Guest], box: Box) -> Cluster:
    """Raises EnvironmentBroken for a guest that never came so far as to have an address."""
    addresses = {**leases(libvirt, run), **{guest.mac: guest.control for guest in found if guest.control}}
    lost = [guest.node for guest in found if guest.mac not in addresses]
    if lost:
        raise EnvironmentBroken(
            f"{cluster_name(run)}: {', '.join(lost)} never asked for an address on the control link",
            hint=f"harness down {cluster_name(run)}",
        )
    hosts = {guest.node: _host(libvirt, guest, addresses[guest.mac], box) for guest in found}
    prefix = tuple(within(libvirt, ()))
    wire = LocalHost("wire", prefix=prefix)
    return Cluster(
        cluster_name(run),
        run,
        "vagrant",
        hosts,
        wire=GuestWire(wire, libvirt, run),
        lifecycle=GuestLifecycle(libvirt, run),
        shared_clock=False,
        woken=found[0].woken,
    )


def _host(libvirt: Libvirt, guest: Guest, address: str, box: Box) -> GuestHost:
    login = Login(address, key=box.key, host_key=box.host_key)
    dial = partial(connect_in, libvirt.netns, address, login.port)
    host = GuestHost(
        guest.node,
        login,
        address=guest.address,
        patience=PATIENCE,
        dial=dial,
        through=within(libvirt, ()),
        slowness=SLOWNESS if guest.emulated else 1.0,
    )
    host.serial = Path(guest.serial) if guest.serial else None
    return host


@dataclass(frozen=True)
class GuestWire:
    """The bridge between guests, in the network namespace of their libvirt."""

    host: LocalHost
    libvirt: Libvirt
    run: str

    def port(self, node: str) -> str:
        """The tap device of `node` on the wire: another one after each start."""
        found = next((guest for guest in guests(self.libvirt, self.run) if guest.node == node), None)
        if found is None or not found.port:
            raise EnvironmentBroken(f"{node} has no interface on the wire: it is off")
        return found.port


@dataclass(frozen=True)
class GuestLifecycle:
    """Freezing stops a guest's processors, killing is the plug."""

    libvirt: Libvirt
    run: str

    def freeze(self, node: str, *, timeout_s: float) -> None:
        if self.state(node, timeout_s=timeout_s) == "running":
            self._virsh("suspend", node, timeout_s)

    def thaw(self, node: str, *, timeout_s: float) -> None:
        if self.state(node, timeout_s=timeout_s) == "frozen":
            self._virsh("resume", node, timeout_s)

    def kill(self, node: str, *, timeout_s: float) -> None:
        if self.state(node, timeout_s=timeout_s) != "off":
            self._virsh("destroy", node, timeout_s)

    def start(self, node: str, *, timeout_s: float) -> None:
        if self.state(node, timeout_s=timeout_s) == "off":
            self._virsh("start", node, timeout_s)

    def state(self, node: str, *, timeout_s: float) -> NodeState:
        return parse_state(self._virsh("domstate", node, timeout_s))

    def _virsh(self, verb: str, node: str, timeout_s: float) -> str:
        return self.libvirt.tell(verb, f"{cluster_name(self.run)}-{node}", timeout_s=timeout_s)


def parse_state(text: str) -> NodeState:
    """From `virsh domstate`; what is neither on nor off can only be waited for, as one that runs."""
    word = text.strip()
    if word in ("shut off", "crashed"):
        return "off"
    return "frozen" if word in ("paused", "pmsuspended") else "running"
