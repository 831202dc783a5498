"""Rows of files of other systems, at any fsspec URL: CSV, TSV, NDJSON (gzipped or not) and Parquet.

Memory is bounded by one row (text) or one batch (Parquet).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from services.trainer.archive_place import ArchiveError, ArchivePlace

MAX_LINE_BYTES: Final = 1 << 20  # ingest takes no larger body, so no larger row can be an event
_PARQUET_ROWS: Final = 4096  # rows decoded at once; wide rows of 1 KB stay near 4 MB
_GZIP_MAGIC: Final = b"\x1f\x8b"
_SUFFIXES: Final = {
    ".csv": "csv", ".tsv": "tsv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet",
    ".pq": "parquet",
}  # fmt: skip


class FileRow(NamedTuple):
    """One row, counted from 1: its values by column, or why it could not be read."""

    number: int
    values: dict[str, Any] | None
    error: str = ""


def format_of(name: str) -> str | None:
    """csv, tsv, ndjson or parquet by the suffix (before .gz); None for anything else."""
    bare = name.lower().removesuffix(".gz")
    return next((kind for suffix, kind in _SUFFIXES.items() if bare.endswith(suffix)), None)


def rows_of(place: ArchivePlace, name: str) -> Iterator[FileRow]:
    """All rows of one file, in order; empty cells are left out. Raises ArchiveError for a file that cannot
    be read as a whole.
    """
    shown = f"{place.url}/{name}".rstrip("/")
    kind = format_of(name or place.url)
    try:
        with place.open(name) as raw:
            if kind == "parquet":
                yield from _parquet(raw)
                return
            gzipped = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if gzipped else raw
            yield from (
                _ndjson(stream) if kind == "ndjson" else _csv(stream, "\t" if kind == "tsv" else ",", shown)
            )
    except (OSError, EOFError, pa.ArrowException) as error:  # gzip raises the first two for a damaged file
        raise ArchiveError(f"{shown}: cannot be read: {error}") from None


def _csv(stream: IO[bytes], delimiter: str, shown: str) -> Iterator[FileRow]:
    csv.field_size_limit(MAX_LINE_BYTES)
    # surrogateescape keeps a bad byte inside its own row instead of ending the whole file
    with io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter)
        header = [column.strip() for column in next(reader, [])]
        if not header or len(set(header)) != len(header):
            raise ArchiveError(f"{shown}: the first line must name each column once")
        number = 0
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                yield FileRow(number, None, f"not CSV: {error}")
                continue
            if not cells:  # csv.reader gives an empty list for an empty line
                continue
            number += 1
            if len(cells) > len(header):
                yield FileRow(number, None, f"{len(cells)} cells under {len(header)} columns")
                continue
            values = {column: cell for column, cell in zip(header, cells, strict=False) if cell != ""}
            yield FileRow(number, values)


def _ndjson(stream: IO[bytes]) -> Iterator[FileRow]:
    decode = msgspec.json.Decoder().decode
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE_BYTES)
            number += 1
            yield FileRow(number, None, f"the line is longer than {MAX_LINE_BYTES} bytes")
            continue
        line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        number += 1
        try:
            values = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield FileRow(number, None, f"not JSON: {error}")
            continue
        if isinstance(values, dict):
            yield FileRow(number, values)
        else:
            yield FileRow(number, None, "not a JSON object; a line is one (jq -c '.[]' FILE makes them)")


def _parquet(raw: IO[bytes]) -> Iterator[FileRow]:
    number = 0
    for batch in pq.ParquetFile(raw).iter_batches(batch_size=_PARQUET_ROWS):
        for values in batch.to_pylist():
            number += 1
            yield FileRow(number, values)
