"""What is known about one subject: one binary value, little endian, its header first.

Header of 64 bytes, then the sections without gaps:

    0 u8 format version · 1 u8 flags · 2 u8 K · 3 u8 shown entries · 4 u16 d · 6 u16 ring entries
    8 u32 generation · 12 u32 partition · 16 i64 offset · 24 u64 counter      (the guard, bytes 8 to 32)
    32 u64 space id · 40 u32 space epoch · 44 u16 seen entries · 46 u16 duplicate hashes
    48 u64 events · 56 u64 last received_at, ms
    bank f32[K, d] · bank weights f32[K] · ring RING_DTYPE[] · seen SEEN_DTYPE[] · duplicates u64[]
    shown (kernel/shown.py), where byte 3 is not 0: it always was before there was this section

Sections stay packed bytes between two records: applying one touches a few of them, never all fields.

Heartbeats of a player (kernel/ring.py) move their entry of the ring and leave the bank alone: the bank has a
film where its watching began, a bank rebuilt from the ring has it where it was last heard of. While no event
has left the ring, the sum that never decays is the same in both but for rounding; the decayed ones differ by
the entries that moved past others. Without heartbeats and late events a rebuilt bank is equal byte for byte.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.bank import (
    RING_DTYPE,
    FloatArray,
    Space,
    VectorOf,
    WeightOf,
    add_late,
    add_newest,
    bank_rows,
    bank_weights,
    empty_bank,
    rebuild_flat_bank,
)
from services.kernel.event_type import EventType
from services.kernel.position import Position
from services.kernel.ring import RING_BYTES, beat, insert, is_heartbeat, latest_items
from services.kernel.seen import SEEN_BYTES, SEEN_DTYPE, aligned_find, mark_seen
from services.kernel.shown import add_shown, read_shown, shown_bytes, shown_entries, without_shown

FORMAT_VERSION: Final = 1
FLAG_TOMBSTONE: Final = 1
FLAG_WITHHELD: Final = 2  # the subject denied personalisation
HEADER_BYTES: Final = 64
GUARD: Final = slice(8, 32)  # position and counter: what a conditional write compares
DUPLICATES_CAPACITY: Final = 128  # clients keep no more unacknowledged events a subject

SEEN_VIEWED: Final = 1
SEEN_BOUGHT: Final = 2
SEEN_FINISHED: Final = 4
SEEN_DISLIKED: Final = 8
_NOTICED: Final = SEEN_VIEWED | SEEN_BOUGHT | SEEN_FINISHED  # whoever did that did not ignore the item

_HEADER: Final = struct.Struct("<BBBBHHIIqQQIHHQQ")
_GUARD_FIELDS: Final = struct.Struct("<IIqQ")
_U64: Final = struct.Struct("<Q")
_DUPLICATES_MAX_BYTES: Final = DUPLICATES_CAPACITY * 8
_FINGERPRINT_MASK: Final = 0xFFFFFFFF
_PROGRESS: Final = int(EventType.VIDEO_PROGRESS)


class LayoutError(Exception):
    """The bytes are no profile of a known layout version; the profile is rebuilt from nothing."""


class PositionMismatchError(Exception):
    """A record of another log than the one that the profile was built from; nothing may be skipped."""


class Line(NamedTuple):
    """One item of an event: its key, the event's weight for it, its value (NaN: none)."""

    item: int
    weight: float
    value: float


class Change(NamedTuple):
    """What a profile needs of one event. `time_s` is the event's own time, `received_at_ms` ingest's clock.

    `lines` is empty for events that only count (searches, impressions, identify). `reason` is the SEEN_ bit
    that the event sets for its items, 0 for none. `segments` are the row keys of its context's segments.
    `personalization` is what its consent says (None: nothing), `shown` the fingerprints of an impression.
    """

    position: Position
    event_hash: int
    received_at_ms: int
    time_s: int
    type_number: int
    reason: int
    lines: tuple[Line, ...]
    segments: tuple[int, ...] = ()
    personalization: bool | None = None
    shown: tuple[int, ...] = ()


class ProfileRules(NamedTuple):
    """What is the same for all profiles of a batch."""

    space: Space
    vector_of: VectorOf
    weight_of: WeightOf
    ttl_ms: int
    seen_capacity: int


class Profile:
    """A subject's state. Changed in place by `apply` and `delete`; `encode` gives the stored bytes."""

    __slots__ = (
        "_duplicates",
        "_flat",
        "_ring",
        "_seen",
        "_shown",
        "counter",
        "d",
        "events",
        "k",
        "position",
        "received_at_ms",
        "space_epoch",
        "space_id",
        "tombstone",
        "withheld",
    )

    position: Position | None  # of the last record applied; None: nothing ever was
    counter: int  # records that moved the profile, duplicates too
    events: int
    received_at_ms: int
    tombstone: bool
    withheld: bool  # the subject denied personalisation: position, counter, duplicates and no more
    space_id: int
    space_epoch: int
    k: int
    d: int
    _flat: FloatArray
    _ring: bytes
    _seen: bytes
    _duplicates: bytes
    _shown: bytes

    def __init__(self, space: Space) -> None:
        self.position = None
        self.counter = 0
        self.events = 0
        self.received_at_ms = 0
        self.tombstone = self.withheld = False
        self._clear(space)

    @classmethod
    def empty(cls, space: Space) -> Profile:
        """A subject nobody has heard of: no position, nothing in any section."""
        return cls(space)

    @classmethod
    def decode(cls, data: bytes) -> Profile:
        """Read stored bytes. Raises LayoutError for an unknown version or a length that does not add up."""
        if len(data) < HEADER_BYTES or data[0] != FORMAT_VERSION:
            raise LayoutError(f"profile layout {data[0] if data else 'of no bytes'}, known: {FORMAT_VERSION}")
        self = cls.__new__(cls)
        fields = _HEADER.unpack_from(data)
        flags, self.k, self.d, ring = fields[1], fields[2], fields[4], fields[5]
        generation, partition, offset, self.counter = fields[6:10]
        self.space_id, self.space_epoch, seen, duplicates, self.events, self.received_at_ms = fields[10:]
        self.tombstone, self.withheld = bool(flags & FLAG_TOMBSTONE), bool(flags & FLAG_WITHHELD)
        self.position = Position(generation, partition, offset) if self.counter else None
        numbers = self.k * self.d + self.k
        ring_at = HEADER_BYTES + 4 * numbers
        seen_at = ring_at + ring * RING_BYTES
        duplicates_at = seen_at + seen * SEEN_BYTES
        shown_at = duplicates_at + duplicates * 8
        size = shown_at + shown_bytes(fields[3]) if fields[3] else shown_at
        if len(data) != size:
            raise LayoutError(f"profile of {len(data)} bytes, its header says {size}")
        self._flat = np.frombuffer(data, np.float32, numbers, HEADER_BYTES).copy()
        self._ring = data[ring_at:seen_at]
        self._seen = data[seen_at:duplicates_at]
        self._duplicates = data[duplicates_at:shown_at]
        self._shown = data[shown_at:]
        return self

    def encode(self) -> bytes:
        """The bytes to store. A tombstone is its header alone."""
        position = self.position or Position(0, 0, 0)
        header = _HEADER.pack(
            FORMAT_VERSION,
            FLAG_TOMBSTONE if self.tombstone else FLAG_WITHHELD if self.withheld else 0,
            *(
                self.k,
                shown_entries(self._shown) if self._shown else 0,
                self.d,
                len(self._ring) // RING_BYTES,
            ),
            *(*position, self.counter, self.space_id, self.space_epoch),
            *(len(self._seen) // SEEN_BYTES, len(self._duplicates) // 8, self.events, self.received_at_ms),
        )
        sections = self._ring, self._seen, self._duplicates, self._shown
        return b"".join((header, self._flat.tobytes(), *sections))

    @property
    def guard(self) -> bytes:
        """Bytes GUARD of the encoding (position and counter), or nothing while the profile is empty."""
        return _GUARD_FIELDS.pack(*self.position, self.counter) if self.position else b""

    @property
    def bank(self) -> FloatArray:
        """S, a view, f32[K, d]."""
        return bank_rows(self._flat, self.k, self.d)

    @property
    def bank_weight(self) -> FloatArray:
        """W, a view, f32[K]."""
        return bank_weights(self._flat, self.k, self.d)

    @property
    def ring(self) -> NDArray[Any]:
        """Recent events, RING_DTYPE[≤ 128], oldest first, read-only."""
        return np.frombuffer(self._ring, RING_DTYPE)

    @property
    def seen(self) -> NDArray[Any]:
        """Items that a scenario may hide, SEEN_DTYPE[≤ capacity], oldest day first, read-only.

        An entry an item and reason; one that an older version wrote may hold several reasons.
        """
        return np.frombuffer(self._seen, SEEN_DTYPE)

    @property
    def shown(self) -> NDArray[Any]:
        """Items shown in the session of the newest impression and left alone since, SHOWN_DTYPE[≤ 128].

        Oldest first, read-only. Whether that session still lasts is for the reader's clock to say.
        """
        return read_shown(self._shown)

    @property
    def duplicates(self) -> NDArray[np.uint64]:
        """Hashes of the last event ids applied, u64[≤ 128], oldest first, read-only."""
        return np.frombuffer(self._duplicates, np.dtype("<u8"))

    def in_space(self, space: Space) -> bool:
        """Whether the bank stands in `space`; if not, `rebuild_bank` gives the one that does."""
        return self.space_id == space.space_id and self.d == space.d and self.k == space.k

    def expired(self, now_ms: int, ttl_ms: int) -> bool:
        """Whether the subject is forgotten at `now_ms`: nothing came for longer than the TTL."""
        return now_ms - self.received_at_ms > ttl_ms

    def is_new(self, position: Position) -> bool:
        """Whether a record at `position` is above what is applied.

        Raises PositionMismatchError where the two cannot be compared: a smaller generation than the stored
        one, or another partition in the same generation.
        """
        own = self.position
        if own is None or position.generation > own.generation:
            return True
        if position.generation < own.generation or position.partition != own.partition:
            raise PositionMismatchError(
                f"a record at {position} for a profile at {own}: the log is not the one that built the store"
            )
        return position.offset > own.offset

    def apply(self, change: Change, rules: ProfileRules) -> bool:
        """Apply one event that `is_new`. False: a duplicate, which moved position and counter only.

        1. A gap longer than the TTL empties the sections.
        2. A known event id moves position and counter, nothing else.
        3. While the subject denies personalisation nothing is kept; a word that allows it begins anew.
        4. A new vector space rebuilds the bank. Each line takes its place in time in ring and bank, and marks
           its item as seen; an impression marks its items as shown.
        """
        # 1.
        if self.tombstone or (self.counter and self.expired(change.received_at_ms, rules.ttl_ms)):
            self.tombstone = self.withheld = False
            self.events = 0
            self.received_at_ms = 0
            self._clear(rules.space)
        self.position = change.position
        self.counter += 1
        # 2.
        hashed = _U64.pack(change.event_hash)
        if aligned_find(self._duplicates, hashed, 8) >= 0:
            return False
        self._duplicates = (self._duplicates + hashed)[-_DUPLICATES_MAX_BYTES:]
        self.received_at_ms = max(self.received_at_ms, change.received_at_ms)  # a refusal lives on, too
        # 3.
        if self.withheld or change.personalization is False:
            self.withheld = not change.personalization
            self.events = 0
            self._clear(None if self.withheld else rules.space, self._duplicates)
            if self.withheld:
                return True
        # 4.
        self.events += 1
        if change.lines:
            if self.space_id != rules.space.space_id or self.space_epoch != rules.space.epoch:
                self._enter(rules)
            for line in change.lines:
                self._apply_line(line, change, rules)
        if change.shown:
            self._shown = add_shown(self._shown, change.shown, change.time_s)
        return True

    def withholds(self, change: Change, ttl_ms: int) -> bool:
        """Whether `apply` would keep nothing of the change because its subject denies personalisation."""
        if change.personalization is None:
            return self.withheld and not self.expired(change.received_at_ms, ttl_ms)
        return not change.personalization

    def is_heartbeat(self, change: Change, item: int) -> bool:
        """Whether a line only says that a film still runs, so that it weighs nothing (kernel/ring.py)."""
        return change.type_number == _PROGRESS and is_heartbeat(self._ring, item, change.time_s)

    def delete(self, position: Position, received_at_ms: int) -> None:
        """Apply the deletion of the user: a tombstone, its header alone, keeps position and counter."""
        self.position = position
        self.counter += 1
        self.events = 0
        self.received_at_ms = received_at_ms
        self.tombstone, self.withheld = True, False
        self._clear(None)

    def latest_items(self, time_s: int, window_s: int, weight_of: WeightOf, limit: int) -> list[int]:
        """Up to `limit` latest distinct items within `window_s` of `time_s`, newest first.

        Events that `weight_of` gives nothing or less do not count.
        """
        return latest_items(self._ring, time_s, window_s, weight_of, limit)

    def _clear(self, space: Space | None, duplicates: bytes = b"") -> None:
        self.k = space.k if space else 0
        self.d = space.d if space else 0
        self.space_id = space.space_id if space else 0
        if space is not None:  # a tombstone keeps its epoch: nobody may write an older one over it
            self.space_epoch = space.epoch
        self._flat = empty_bank(space) if space else np.zeros(0, dtype=np.float32)
        self._ring = self._seen = self._shown = b""
        self._duplicates = duplicates

    def _enter(self, rules: ProfileRules) -> None:
        space = rules.space
        if not self.in_space(space):
            self._flat = rebuild_flat_bank(self.ring, rules.vector_of, rules.weight_of, space)
        self.k, self.d = space.k, space.d
        self.space_id, self.space_epoch = space.space_id, space.epoch

    def _apply_line(self, line: Line, change: Change, rules: ProfileRules) -> None:
        number, time_s = change.type_number, change.time_s
        ring = beat(self._ring, line.item, time_s, line.value) if number == _PROGRESS else None
        if ring is None:
            ring, newer = insert(self._ring, line.item, time_s, line.value, number)
            vector = rules.vector_of(line.item) if line.weight else None
            if newer:
                add_late(self._flat, rules.space, vector, line.weight, newer)
            else:
                add_newest(self._flat, rules.space, vector, line.weight)
        elif ring is self._ring:
            return  # a late heartbeat: what is newer is known
        self._ring = ring
        reason, mark = change.reason, line.item & _FINGERPRINT_MASK
        if reason:
            self._seen = mark_seen(self._seen, mark, time_s // 86_400, reason, rules.seen_capacity)
        if self._shown and reason & _NOTICED:
            self._shown = without_shown(self._shown, mark, time_s)
