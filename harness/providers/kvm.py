"""Whether guests run under KVM here, tried with the kernel that they will have. /dev/kvm alone tells nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from harness.model.errors import ChannelLost
from harness.providers.box import Box
from harness.transport.process import ProcessChannel

TRY_TIMEOUT_S = 30.0
#: What the box's initrd says, and then powers off, where it is asked to (ci/box/init).
RUNS = "harness.probe: a guest with this kernel runs"
FAILS = (
    "KVM internal error",
    "emulation failure",
    "Kernel panic",
    "failed to initialize kvm",
    "Could not access KVM",
)


def refusal(box: Box) -> str:
    """Why no guest runs under KVM here; empty where one does."""
    if not Path("/dev/kvm").exists():
        return "there is no /dev/kvm"
    channel = ProcessChannel(_argv(box), where="a first guest")
    try:
        return _listen(channel, time.monotonic() + TRY_TIMEOUT_S)
    finally:
        channel.close()


def _argv(box: Box) -> Sequence[str]:
    machine = [
        "-machine",
        "accel=kvm",
        "-cpu",
        "host",
        "-m",
        "256",
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
    ]
    boot = ["-kernel", str(box.kernel), "-initrd", str(box.initrd), "-serial", "stdio"]
    command = 'exec "$@" 2>&1'
    options = "console=ttyS0 harness.probe panic=-1"
    return ["sh", "-c", command, "sh", "qemu-system-x86_64", *machine, *boot, "-append", options]


def _listen(channel: ProcessChannel, deadline: float) -> str:
    last = "nothing"
    while (left := deadline - time.monotonic()) > 0:
        try:
            line = channel.receive(left)
        except ChannelLost:
            return f"it ended without a word; the last was {last!r}"
        text = (line or b"").decode(errors="replace").strip()
        if RUNS in text:
            return ""
        if any(words in text for words in FAILS):
            return text
        last = text or last
    return f"the kernel was not up within {TRY_TIMEOUT_S:g} s"
