"""Keys of faults' own stand flat beside target and times; each fault's model holds them."""

from __future__ import annotations

import pytest

from harness import loader
from harness.model.errors import TopologyError
from harness.model.topology import Fault, Topology
from harness.session import CATALOG

TEXT = """name: struck
networks:
  app: {{driver: overlay, attachable: true}}
services:
  web: {{deploy: {{mode: global}}, networks: [app]}}
checks:
  - recovery:
      faults:
        - {{{fault}}}
"""


def load(fault: str) -> Topology:
    return loader.loads(TEXT.format(fault=fault), "x.yaml", CATALOG)


def fault_of(fault: str) -> Fault:
    return load(fault).checks[0].faults[0]


def test_keys_are_filled_in_with_defaults() -> None:
    assert fault_of("fault: rate, target: n2").params == {"mbit": 10.0}
    assert fault_of("fault: rate, mbit: 3, hold_s: 1").params == {"mbit": 3.0}
    assert fault_of("fault: pause").params == {}


def test_what_is_written_out_is_read_back_the_same() -> None:
    topology = load("fault: block-port, target: n2, port: 7946, protocol: udp, at_s: 2")
    assert loader.loads(loader.dump(topology), "x.yaml", CATALOG) == topology


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("fault: rate, mbits: 3", "x.yaml:9:25: checks[0].recovery.faults[0].mbits: unknown key 'mbits'"),
        ("fault: rate, mbit: lots", "faults[0].mbit: "),
        ("fault: pause, mbit: 3", "unknown key 'mbit'"),
        ("fault: pause, params: {}", "unknown key 'params'"),
        ("fault: rate, hold: 3", "(did you mean 'hold_s'?)"),
        ("target: n2", "faults[0].fault"),
    ],
)
def test_what_a_fault_does_not_know_is_refused_with_its_place(fault: str, told: str) -> None:
    with pytest.raises(TopologyError) as refused:
        load(fault)
    assert told in str(refused.value)
    assert len(refused.value.problems) == 1
