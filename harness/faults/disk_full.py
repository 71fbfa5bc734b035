"""`disk-full`: on the targets nothing is left of the room behind any store, and is there again after healing.

A node keeps a script `disk` of each store that has room there: `fill` takes all of it, `free` gives it back,
`state` prints `full` or `free`, and nothing where another node has the room (CephFS's is one for all nodes).
"""

from __future__ import annotations

from harness.faults._scripts import StoreFault, Words

FAULT = StoreFault(
    "disk-full",
    Words(
        script="disk",
        take="fill",
        give="free",
        holds="full",
        absent="no store has its room",
        hint="target nodes that the store names, or `all`",
        undone="gave back the room of",
    ),
)
