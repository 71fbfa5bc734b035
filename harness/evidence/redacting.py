"""Takes secrets out of text that is made to be shown: join tokens, keys, passwords."""

from __future__ import annotations

import re

REDACTED = "[redacted]"
_SECRETS = (
    # Swarm: join tokens and the key that unlocks managers
    (re.compile(r"\b(SWMTKN|SWMKEY)-[0-9]+-[A-Za-z0-9+/=-]+"), rf"\1-{REDACTED}"),
    # ip xfrm state: algorithms with their keys
    (re.compile(r"\b((?:aead|auth(?:-trunc)?|enc|comp)\s+\S+\s+)0x[0-9a-fA-F]+"), rf"\1{REDACTED}"),
    (
        re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----)", re.S),
        rf"\1{REDACTED}\2",
    ),
    # ceph.keyring; anything that is called a secret: `key = ...`, `"Password": "..."`, `secret=...`
    (re.compile(r"(?mi)^(\s*key\s*=\s*)\S+"), rf"\1{REDACTED}"),
    (
        re.compile(
            r"(?i)(\b[\w-]*(?:password|passwd|secret|token|api[_-]?key)\b\"?\s*[=:]\s*\"?)(?!\[redacted)[^\s\",;]+"
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(?i)(\w+://[^/\s:@]+:)[^/\s@]+(@)"), rf"\1{REDACTED}\2"),
)


def redact(text: str) -> str:
    """Idempotent. What only looks like a secret may go as well."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
