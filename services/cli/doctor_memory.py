"""Whether the store has room: a full one answers reads, so that nothing else shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.cli.findings import Finding
from services.store.checks import Memory

_WARN_SHARE = 0.9
_MEND = (
    "raise maxmemory (valkey-cli CONFIG SET maxmemory …, and in the server's configuration; never another "
    "policy than noeviction), or make room: `freshet release remove NAME` where releases live in the store, "
    "a shorter FRESHET_PROFILE_TTL_DAYS"
)


def memory_findings(nodes: Iterable[Memory]) -> Iterator[Finding]:
    """What is amiss of each node's memory."""
    for used_bytes, most_bytes in nodes:
        share = used_bytes / most_bytes if most_bytes else 0.0
        if share < _WARN_SHARE:
            continue
        told = f"{used_bytes / 2**20:,.0f} of {most_bytes / 2**20:,.0f} MiB of memory used ({share:.0%})"
        details = {"used_bytes": used_bytes, "maxmemory_bytes": most_bytes}
        if share < 1.0:
            yield Finding("warn", "store", told, _MEND, details)
        else:
            full = f"full: {told}; it refuses writes, and events wait in the log"
            yield Finding("fail", "store", full, _MEND, details)
