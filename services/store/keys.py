"""The names of everything in the store. Nobody else spells a key.

`E` is the data epoch. Keys that one script writes together share a hash tag, so that they live on one node.
"""

from __future__ import annotations

from typing import NamedTuple


class AggregateKeys(NamedTuple):
    """One partition's aggregates, on one node."""

    fence: bytes
    trend: bytes
    popular: bytes
    covis: bytes


class CatalogueKeys(NamedTuple):
    """The catalogue, on one node."""

    items: bytes
    keys: bytes
    fence: bytes
    changes: bytes


class Keys:
    """The keys and channels of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.meta = f"{namespace}:meta".encode()
        self.space = f"{namespace}:space".encode()
        self.demo = f"{namespace}:demo".encode()  # how far `freshet setup --demo` has come; of no epoch
        self._channel = f"{namespace}:c:".encode()

    def profile(self, epoch: int, subject: str) -> bytes:
        """A subject's profile. The subject stands as it is."""
        return f"{self.namespace}:e{epoch}:p:{subject}".encode()

    def registry(self, epoch: int, item_key: int) -> bytes:
        """The id of an item that is in no catalogue."""
        return f"{self.namespace}:e{epoch}:i:{item_key:016x}".encode()

    def aggregates(self, epoch: int, partition: int) -> AggregateKeys:
        """Fence, trending, popular and co-visitation of one partition."""
        tag = f"{{{self.namespace}:e{epoch}:a{partition}}}"
        return AggregateKeys(*(f"{tag}:{name}".encode() for name in AggregateKeys._fields))

    def catalogue(self, epoch: int) -> CatalogueKeys:
        """Items by id, ids by key, fences by partition, the stream of changes."""
        tag = f"{{{self.namespace}:e{epoch}:cat}}"
        return CatalogueKeys(*(f"{tag}:{name}".encode() for name in CatalogueKeys._fields))

    def epoch_patterns(self, epoch: int) -> tuple[bytes, bytes]:
        """What SCAN finds an epoch's keys by: those of one key, and those with a hash tag."""
        return f"{self.namespace}:e{epoch}:*".encode(), f"{{{self.namespace}:e{epoch}:*".encode()

    def vectors(self, space_id: int) -> bytes:
        """Vectors of items that came after the release, in one vector space. Of no epoch: written once."""
        return f"{self.namespace}:v:{space_id:016x}".encode()

    def channel(self, subject: str) -> bytes:
        """Where changes of a subject's profile are announced."""
        return self._channel + subject.encode()
