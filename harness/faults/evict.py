"""`evict`: the servers of a store end the sessions of the targets' clients and take nothing from them any more.

A node keeps a script `client` of each store whose servers can do so: `evict`, `admit`, and `state`, which prints
`evicted` or `admitted`. CephFS can: its MDS ends the session, and OSDs refuse a client that is on the blocklist
(Ceph documentation, "Ceph file system client eviction"). What an evicted client had not written out is lost;
nothing else may be.
"""

from __future__ import annotations

from harness.faults._scripts import StoreFault, Words

FAULT = StoreFault(
    "evict",
    Words(
        script="client",
        take="evict",
        give="admit",
        holds="evicted",
        absent="no store can evict its clients",
        hint="of the stores, CephFS by ceph-fuse can",
        undone="admitted again the client of",
    ),
)
