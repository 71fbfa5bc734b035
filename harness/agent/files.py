"""Small looks at the files of containers: which mount lies under a path, and what another container left there."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable

from .namespaces import inside, proc_of
from .protocol import Call
from .rows import Row

_MAX_TEXT_BYTES = 1 << 16
_LAYERS = ("lowerdir", "upperdir", "workdir")


def mount(call: Call) -> Row:
    for look in call.params["looks"]:
        call.rows.add(_row(look, "mount", lambda look=look: _mount_value(look)))  # type: ignore[misc]
        if "file" in look:
            call.rows.add(_row(look, "file", lambda look=look: f"{look['file']} {os.uname().release}"))  # type: ignore[misc]
    return {}


def nonce(call: Call) -> Row:
    """Raises OSError where a text could not be put: that others do not see it would say nothing."""
    failed: list[str] = []
    for put in call.params.get("puts") or []:
        try:
            _put(put)
        except OSError as error:
            failed.append(f"{put['at']}: {error}")
    for get in call.params.get("gets") or []:
        call.rows.add(_row(get, "nonce", lambda get=get: _get(get)))  # type: ignore[misc]
    if failed:
        raise OSError("; ".join(failed))
    return {}


def _row(item: Row, f: str, look: Callable[[], str]) -> Row:
    """A look that failed is a row with its errno; a file that is not there is an answer (`absent`)."""
    start_ns = time.monotonic_ns()
    number = 0
    try:
        value = look()
    except OSError as error:
        number = error.errno or errno.EIO
        value = "absent" if f == "nonce" else ""
    return {
        "process": item["process"], "at": item["at"], "f": f, "key": item["key"], "value": value, "errno": number,
        "start_ns": start_ns, "end_ns": time.monotonic_ns(),
        "outcome": "ok" if number in (0, errno.ENOENT) and value else "fail",
    }  # fmt: skip


def _mount_value(look: Row) -> str:
    device = os.stat(inside(look["pid"], look["path"])).st_dev
    with open(f"{proc_of(look['pid'])}/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        fstype, source, options = mount_of(lines, os.path.normpath(look["path"]))
    return f"{device} {fstype} {source} {options}"


def mount_of(lines: Iterable[str], path: str) -> tuple[str, str, str]:
    """(fstype, source, options) of the mount that `path` lies on, from lines of mountinfo (proc(5)).

    Options are those of the mount and those of its file system, each once, joined by commas. The longest mount
    point wins; of equal ones the last, which covers the others. Raises FileNotFoundError.
    """
    best, found = -1, ("", "", "")
    for line in lines:
        fields, _dash, rest = line.rstrip("\n").partition(" - ")
        point = _unescaped(fields.split(" ")[4])
        fstype, source, of_system = [*rest.split(" "), ""][:3]
        if _lies_on(path, point) and len(point) >= best:
            best, found = len(point), (fstype, _unescaped(source), _options(fields.split(" ")[5], of_system))
    if best < 0:
        raise FileNotFoundError(errno.ENOENT, "no mount", path)
    return found


def _options(of_mount: str, of_system: str) -> str:
    """Without the layers of an image, which say nothing and are long. A read-only mount stays so."""
    words = [*of_mount.split(","), *of_system.split(",")]
    told = [word for word in words if word and word.partition("=")[0] not in _LAYERS]
    if "ro" in told:
        told = ["ro", *(word for word in told if word not in ("ro", "rw"))]
    return ",".join(dict.fromkeys(told))


def _lies_on(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _unescaped(text: str) -> str:
    """The kernel writes blank, tab, newline and backslash in octal."""
    for escape, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, plain)
    return text


def _put(put: Row) -> None:
    """Under another name first: a reader sees the whole text or nothing."""
    final = inside(put["pid"], os.path.join(put["path"], put["name"]))
    draft = f"{final}.draft"
    try:
        with open(draft, "w", encoding="utf-8") as file:
            file.write(put["text"])
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, final)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def _get(get: Row) -> str:
    with open(inside(get["pid"], os.path.join(get["path"], get["name"])), "rb") as file:
        return "seen" if file.read(_MAX_TEXT_BYTES) == get["text"].encode() else "absent"
