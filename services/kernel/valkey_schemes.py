"""How URLs of Valkey and Redis may begin, wherever a setting takes one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# What may be written, and what the client library calls it.
CLIENT_SCHEMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "valkey": "redis",
        "redis": "redis",
        "valkeys": "rediss",
        "rediss": "rediss",
        "unix": "unix",
        "valkey+unix": "unix",
        "redis+unix": "unix",
    }
)
CLUSTER_SUFFIX: Final = "+cluster"  # where clusters are taken: valkey+cluster://
