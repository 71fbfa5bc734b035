"""Makers of hosts: `docker` (container nodes on one engine)."""
