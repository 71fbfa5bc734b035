"""What a cluster looked like: tables, logs and captures of every node, bounded, without secrets."""

from harness.evidence import capturing
from harness.evidence.collecting import collect
from harness.evidence.redacting import redact

__all__ = ["capturing", "collect", "redact"]
