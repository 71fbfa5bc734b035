"""The agent: sent to a host as one zip, it works in the namespaces of that host's containers.

Modules of this package import the standard library and each other, relatively, and run on Python 3.9 and later.
docs/agent.md is its language, docs/history.md the meaning of the rows that it answers with.
"""
