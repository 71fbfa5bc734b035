"""`reorder`: packets overtake others, which wait 30 ms, by tc-netem(8).

Without netem a check with it is skipped by that name.
"""

from __future__ import annotations

from harness.faults._netem import Shared, out_of_order

FAULT = Shared("reorder", lambda share: ["delay", "30ms", "reorder", share], out_of_order, "answered out of order")
