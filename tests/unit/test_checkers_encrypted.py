"""encrypted: what a capture holds, and what follows from it."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

import pytest

from harness.checkers import judge
from harness.model.errors import UsageError
from harness.model.history import History, Op
from harness.model.topology import Topology
from harness.model.verdict import Verdict
from harness.ports import Commands
from harness.workloads import REGISTRY
from harness.workloads._capture import count
from tests.checkers_scene import ip_key, look, make_check, make_plan, probe, row
from tests.runner_fakes import make_check as runner_check
from tests.runner_fakes import make_plan as runner_plan
from tests.runner_fakes import make_scene, walk

KIND = "encrypted"
GOOD = {"vni": "4097", "frames": 40, "esp": 40, "vxlan": {}, "text": 0}


def answered(value: str = "ok web.2") -> list[Op]:
    return [probe(KIND, "tcp", "web.1", ip_key("app", "web.2"), value)]


def verdict_on(captures: dict[str, Any], probes: list[Op] | None = None) -> Verdict:
    rows = [*look(KIND), *(answered() if probes is None else probes)]
    for node, found in captures.items():
        rows.append(row("capture", KIND, host=node, at=node, key="app", value=json.dumps({**GOOD, **found})))
    return judge(History.of(rows), make_plan(), make_check(KIND))


def test_esp_alone_on_every_node_that_talked_passes() -> None:
    verdict = verdict_on({"n1": {}, "n2": {}, "n3": {"esp": 0}})
    assert (verdict.verdict, verdict.correct) == ("pass", 6)
    assert verdict.figures == {"n1: packets of ESP": 40, "n2: packets of ESP": 40}


def test_the_networks_own_packets_in_the_clear_fail() -> None:
    verdict = verdict_on({"n1": {}, "n2": {"vxlan": {"4097": 3}}})
    assert verdict.verdict == "fail"
    assert "n2: 3 packets of the network (VNI 4097) in the clear" in verdict.reason


def test_another_networks_packets_in_the_clear_are_not_ours() -> None:
    assert verdict_on({"n1": {"vxlan": {"4096": 9}}, "n2": {}}).verdict == "pass"


def test_text_of_containers_on_the_wire_fails_whatever_carries_it() -> None:
    assert "2 frames with the containers' own text" in verdict_on({"n1": {"text": 2}, "n2": {}}).reason


@pytest.mark.parametrize(
    ("captures", "why"),
    [
        ({"n1": {}}, "n2: what it put on the wire is not known"),
        ({"n1": {}, "n2": {"esp": 0}}, "neither ESP nor VXLAN was seen"),
        ({"n1": {}, "n2": {"vni": ""}}, "does not say by which number"),
    ],
)
def test_what_was_not_seen_is_unknown(captures: dict[str, Any], why: str) -> None:
    verdict = verdict_on(captures)
    assert verdict.verdict == "unknown"
    assert why in verdict.reason


def test_silence_is_not_encryption() -> None:
    verdict = verdict_on({"n1": {}, "n2": {}}, answered("timeout"))
    assert (verdict.verdict, verdict.correct) == ("unknown", 0)
    assert "nothing was answered across nodes" in verdict.reason


def test_a_capture_that_did_not_begin_is_unknown() -> None:
    failed = row("command", KIND, at="n1", key="capture on n1", value="no such device", outcome="fail")
    verdict = verdict_on({"n1": {}, "n2": {}}, [*answered(), failed])
    assert (verdict.verdict, "no such device" in verdict.reason) == ("unknown", True)


# --- captures


def frame(protocol: int, payload: bytes, *, tagged: bool = False) -> bytes:
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, 1, 2) + payload
    return bytes(12) + (b"\x81\x00\x00\x0a" if tagged else b"") + b"\x08\x00" + ip


def vxlan(vni: int, inner: bytes = b"") -> bytes:
    return frame(
        17, struct.pack("!HHHH", 55555, 4789, 16 + len(inner), 0) + struct.pack("!II", 1 << 27, vni << 8) + inner
    )


def pcap(*frames: bytes, order: str = "<") -> bytes:
    head = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return head + b"".join(struct.pack(order + "IIII", 0, 0, len(each), len(each)) + each for each in frames)


@pytest.mark.parametrize("order", ["<", ">"])
def test_esp_vxlan_by_number_and_text_are_counted(order: str) -> None:
    frames = [frame(50, b"x" * 40), vxlan(4097, b"the secret"), vxlan(4096), frame(6, b"tcp"), bytes(60)]
    found = count(pcap(*frames, order=order), b"secret")
    assert found == {
        "frames": 5,
        "esp": 1,
        "vxlan": {"4097": 1, "4096": 1},
        "text": 1,
        "tags": {"": {"0.0.0.1": 1}},
    }


def test_a_tag_does_not_hide_what_is_behind_it() -> None:
    assert count(pcap(frame(50, b"x", tagged=True)), b"secret")["esp"] == 1


def test_a_frame_that_was_cut_short_is_left_out() -> None:
    assert count(pcap(frame(50, b"x"), frame(50, b"y"))[:-3], b"secret")["frames"] == 1


# --- the experiment


def test_captures_stand_around_the_probes_and_are_undone() -> None:
    check = runner_check(KIND, network="app")
    stages = walk(REGISTRY[KIND].stages(check, runner_plan(check), random.Random(1)), make_scene())
    begin, read = (stage for stage in stages if isinstance(stage, Commands))
    assert stages.index(begin) < stages.index(read) - 1
    assert all(command.undo for command in begin.commands)
    assert {command.f for command in read.commands} == {"capture"}


def test_without_an_encrypted_overlay_it_must_be_named() -> None:
    check = runner_check(KIND)
    plain = {"name": "plain", "networks": {"app": {"driver": "overlay"}, "back": {"driver": "overlay"}}}
    plan = runner_plan(check)
    object.__setattr__(plan, "topology", Topology.model_validate(plain))
    with pytest.raises(UsageError, match="it takes one overlay; encrypted ones: none"):
        walk(REGISTRY[KIND].stages(check, plan, random.Random(1)), make_scene())
