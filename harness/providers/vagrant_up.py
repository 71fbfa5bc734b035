"""One `vagrant up`, followed by what vagrant and the machines' consoles say."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from harness.model.errors import ChannelLost, CommandFailed, EnvironmentBroken
from harness.model.places import data_dir, vms_dir
from harness.ports import Progress
from harness.providers.guests import console
from harness.providers.libvirt import Libvirt, within
from harness.providers.vagrant_plan import RUN_VARIABLE, death, last_words
from harness.transport.process import ProcessChannel

#: From the first line of `vagrant up` to SSH on the last guest.
UP_TIMEOUT_S = {"kvm": 300.0, "qemu": 900.0}
SAY_EVERY_S = 20.0


class Up:
    """One `vagrant up`: bounded, listened to, and ended early where a guest's console says that it is dead, or
    where somebody says `stop`.
    """

    def __init__(
        self,
        chosen: Libvirt,
        run: str,
        folder: Path,
        timeout_s: float,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self.chosen = chosen
        self.run_name = run
        self.folder = folder
        self.timeout_s = timeout_s
        self.progress = progress
        self.stop = stop
        self.said: list[str] = []

    def run(self) -> None:
        """Raises EnvironmentBroken, with the last lines of the consoles."""
        self._heed_stop()
        channel = ProcessChannel(self._argv(), where="vagrant up", env=self._environment())
        try:
            self._follow(channel)
        finally:
            channel.close()
            (self.folder / "up.log").write_text("\n".join(self.said) + "\n")

    def _argv(self) -> list[str]:
        script = '"$@" 2>&1; echo "harness: vagrant ended with $?"'
        return ["sh", "-c", script, "sh", *within(self.chosen, ["vagrant", "up", "--no-tty", "--no-color"])]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            RUN_VARIABLE: self.run_name,
            "HARNESS_VAGRANT_PLAN": str(self.folder / "plan.json"),
            "VAGRANT_HOME": str(vms_dir() / "vagrant"),
            "VAGRANT_CWD": str(data_dir("vagrant")),
            "VAGRANT_DOTFILE_PATH": str(self.folder / "vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        }

    def _follow(self, channel: ProcessChannel) -> None:
        deadline, next_word = time.monotonic() + self.timeout_s, time.monotonic() + SAY_EVERY_S
        while time.monotonic() < deadline:
            self._heed_stop()
            code = self._listen(channel)
            if code == 0:
                return
            if code is not None:
                raise CommandFailed(["vagrant", "up"], code, "\n".join([*self.said[-15:], *self._last_words()]))
            for node, lines in self._consoles().items():
                if why := death(lines):
                    raise self._broken(f"{node} will not come up: {why}")
            if time.monotonic() > next_word:
                next_word += SAY_EVERY_S
                self.progress("; ".join(self._at()) or "no machine has said anything yet")
        raise self._broken(f"the machines were not up within {self.timeout_s:g} s")

    def _heed_stop(self) -> None:
        if self.stop.is_set():
            raise self._broken("stopped before the machines were up")

    def _listen(self, channel: ProcessChannel) -> int | None:
        """One line of vagrant's; its code when that was the last."""
        try:
            line = channel.receive(2.0)
        except ChannelLost as error:
            raise self._broken("vagrant went away") from error
        if line is None:
            return None
        text = line.decode(errors="replace").rpartition("\r")[2].strip()
        before, _, code = text.partition("harness: vagrant ended with ")
        if not before and code:
            return int(code)
        self.said.append(text)
        return None

    def _consoles(self) -> dict[str, list[str]]:
        return {path.stem: console(path) for path in sorted(self.folder.glob("n*.log"))}

    def _at(self) -> Iterator[str]:
        for node, lines in self._consoles().items():
            yield f"{node}: {lines[-1][:70]}" if lines else f"{node}: not a word yet"

    def _last_words(self) -> list[str]:
        return [line for node, lines in self._consoles().items() for line in last_words(node, lines)]

    def _broken(self, message: str) -> EnvironmentBroken:
        words = "\n".join(self._last_words()) or "no machine has said anything on its console"
        return EnvironmentBroken(f"{message}; the end of the consoles:\n{words}")
