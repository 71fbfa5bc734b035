"""`corrupt`: one bit of a packet is turned, by tc-netem(8).

Without netem a check with it is skipped by that name.
"""

from __future__ import annotations

from harness.faults._netem import Shared, unanswered

FAULT = Shared("corrupt", lambda share: ["corrupt", share], unanswered, "lost to a wrong checksum")
