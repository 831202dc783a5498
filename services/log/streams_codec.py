"""How a record stands in a stream: msgpack [time ms, [key, value or nil, [[header, value]…]]].

The server puts the time before what `pack` made; `READ` glues records together, `unpack` takes them apart.
"""

from __future__ import annotations

import struct

import msgspec

from services.kernel.position import Position
from services.log.protocol import Draft, Record

_Body = tuple[bytes, bytes | None, tuple[tuple[str, bytes], ...]]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[tuple[int, _Body]])
_ARRAY_32 = 0xDD


def pack(draft: Draft) -> bytes:
    """The draft as the append script takes it."""
    return _encoder.encode((draft.key, draft.value, draft.headers))


def unpack(generation: int, partition: int, first: int, count: int, glued: bytes) -> list[Record]:
    """`count` records glued together, the first at offset `first`. Raises ValueError for other bytes."""
    rows = _decoder.decode(struct.pack(">BI", _ARRAY_32, count) + glued)
    return [
        Record(Position(generation, partition, offset), body[0], body[1], body[2], time_ms)
        for offset, (time_ms, body) in enumerate(rows, first)
    ]
