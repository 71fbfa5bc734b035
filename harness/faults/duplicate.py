"""`duplicate`: packets come twice, by tc-netem(8). Without netem a check with it is skipped by that name."""

from __future__ import annotations

from harness.faults._netem import Shared, doubled

FAULT = Shared("duplicate", lambda share: ["duplicate", share], doubled, "answered twice")
