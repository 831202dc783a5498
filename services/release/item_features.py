"""From an item's metadata to its vector: hashed features, weighted by rarity, projected into the space.

1. Features are strings with a kind: title and description words, every prefix of every category path, brand,
   tags, half-octave of the price.
2. Each is hashed (blake2b-8). The low 16 bits choose its place in the table of document counts, which gives
   idf = 1 + ln((1 + N) / (1 + n)); the high bits choose one of `dimensions` signed columns.
3. The row has length 1 and is multiplied by the projection f32[dimensions, d] (truncated SVD of all rows).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.kernel.item import Item
from services.kernel.release import ReleaseError

FloatArray = NDArray[np.float32]
CountArray = NDArray[np.uint32]

COUNT_BUCKETS: Final = 1 << 16  # 256 KiB of document counts; shops have tens of thousands of words
DIMENSIONS: Final = 512
# What a feature of each kind weighs beside the others, before rarity.
KIND_WEIGHTS: Final = {"title": 1.0, "category": 1.5, "brand": 0.5, "tag": 1.0, "price": 0.3, "text": 0.3}
# More words than this of one text say nothing new, and bound the work for a hostile description.
TITLE_WORDS_MAX: Final = 48
TEXT_WORDS_MAX: Final = 96
CATEGORIES_MAX: Final = 32
TAGS_MAX: Final = 64
_WORD = re.compile(r"\w+")
_TEXT_CHARS_MAX: Final = 4096


class EncoderConfig(msgspec.Struct, frozen=True):
    """`item_features.json`: how rows are made. `documents` is N of the idf."""

    documents: int
    dimensions: int = DIMENSIONS
    kind_weights: dict[str, float] = msgspec.field(default_factory=lambda: dict(KIND_WEIGHTS))


def features_of(item: Item) -> Iterator[tuple[str, str]]:
    """The features of an item as (kind, text); may repeat."""
    for word in _words(item.title, TITLE_WORDS_MAX):
        yield "title", word
    for path in (item.categories or ())[:CATEGORIES_MAX]:
        prefix = ""
        for part in path:
            prefix = f"{prefix}>{part.strip().lower()}"
            yield "category", prefix
    if item.brand:
        yield "brand", item.brand.strip().lower()
    for tag in (item.tags or ())[:TAGS_MAX]:
        yield "tag", tag.strip().lower()
    if item.price is not None and item.price > 0 and math.isfinite(item.price):
        yield "price", str(round(2 * math.log2(item.price)))
    for word in _words(item.description, TEXT_WORDS_MAX):
        yield "text", word


def _words(text: str | None, limit: int) -> list[str]:
    if not text:
        return []
    words = _WORD.findall(text[:_TEXT_CHARS_MAX].lower())
    return [word for word in words[:limit] if len(word) > 1]


def hashed_features(item: Item) -> dict[int, str]:
    """The distinct features of an item as hash (u64) → kind, in the order they appear.

    A word of the description that stands in the title too counts once, as a word of the title.
    """
    found: dict[int, str] = {}
    for kind, text in features_of(item):
        space = "title" if kind == "text" else kind
        digest = blake2b(f"{space}\n{text}".encode("utf-8", "replace"), digest_size=8).digest()
        found.setdefault(int.from_bytes(digest, "little"), kind)
    return found


class ItemEncoder:
    """The projection of one release. The vector of an item is a function of its metadata and the release
    alone.

    Sums run per item, elementwise and in a fixed order, so that every machine gets the same bits.
    """

    def __init__(self, projection: FloatArray, document_counts: CountArray, config: EncoderConfig) -> None:
        """`projection` f32[dimensions, d], `document_counts` u32[COUNT_BUCKETS]. Raises ReleaseError."""
        if projection.ndim != 2 or projection.shape[0] != config.dimensions:
            raise ReleaseError(
                f"item projection has shape {list(projection.shape)}, expected [{config.dimensions}, d]"
            )
        if document_counts.shape != (COUNT_BUCKETS,):
            raise ReleaseError(
                f"document counts have shape {list(document_counts.shape)}, expected [{COUNT_BUCKETS}]"
            )
        self.config = config
        self.d = int(projection.shape[1])
        self._projection = projection.astype(np.float32, copy=False)
        self._documents = 1 + config.documents
        self._counts = document_counts
        self._rarities: dict[
            int, float
        ] = {}  # of the buckets met so far; a table of all would hold up a start

    @classmethod
    def open(cls, projection: Path, document_counts: Path, config: Path) -> ItemEncoder:
        """Read the three artefacts. Raises ReleaseError."""
        try:
            read = msgspec.json.decode(config.read_bytes(), type=EncoderConfig)
            return cls(np.load(projection), np.load(document_counts), read)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise ReleaseError(f"the item features of the release cannot be read: {error}") from None

    def row(self, item: Item) -> dict[int, float]:
        """The item's features as column → value, length 1; empty where its metadata says nothing."""
        return self.row_of(hashed_features(item))

    def row_of(self, features: dict[int, str]) -> dict[int, float]:
        """`row` of features that are hashed already."""
        dimensions, kinds = self.config.dimensions, self.config.kind_weights
        row: dict[int, float] = {}
        for hashed, kind in features.items():
            value = self._rarity(hashed & 0xFFFF) * kinds.get(kind, 0.0)
            column = (hashed >> 17) % dimensions
            row[column] = row.get(column, 0.0) + (value if hashed >> 16 & 1 else -value)
        length = math.sqrt(math.fsum(value * value for value in row.values()))
        return {column: value / length for column, value in row.items()} if length > 0 else {}

    def _rarity(self, bucket: int) -> float:
        """idf: a logarithm once a bucket, not one a feature."""
        found = self._rarities.get(bucket)
        if found is None:
            found = max(1.0 + math.log(self._documents / (1 + int(self._counts[bucket]))), 0.0)
            self._rarities[bucket] = found
        return found

    def vector(self, item: Item) -> FloatArray | None:
        """f32[d] of length 1, or None for an item whose metadata says nothing."""
        return self.project(self.row(item))

    def project(self, row: dict[int, float]) -> FloatArray | None:
        """The vector of a row, or None where nothing of it lies in the space."""
        if not row:
            return None
        columns = sorted(row)
        values = np.array([row[column] for column in columns], dtype=np.float32)
        # A sum over the first axis adds row by row: no blocking that would depend on the processor.
        vector: FloatArray = np.add.reduce(self._projection[columns] * values[:, None], axis=0)
        length = math.sqrt(math.fsum(value * value for value in vector.tolist()))
        if not length > 1e-6:  # what is left is rounding
            return None
        return np.divide(vector, np.float32(length), dtype=np.float32)


def document_counts(all_features: list[dict[int, str]]) -> CountArray:
    """How many items have a feature in each bucket, u32[COUNT_BUCKETS]."""
    counts = np.zeros(COUNT_BUCKETS, dtype=np.uint32)
    for features in all_features:
        counts[list({hashed & 0xFFFF for hashed in features})] += 1
    return counts
