"""Rows of a user's file: CSV, TSV, NDJSON or Parquet, gzipped or not, from a path or standard input.

Rows are numbered from 0 in file order, unreadable ones included, so that a row keeps its number from run to
run: event ids and the checkpoint of an import are built on it. Memory is bounded by one row (text) or one
batch (Parquet).
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from services.cli.failure import CommandError

FORMATS = ("csv", "tsv", "ndjson", "parquet")
MAX_LINE_BYTES = 1 << 20  # ingest takes no larger body, so no larger row can ever be accepted
_PARQUET_ROWS = 4096  # rows decoded at once; wide rows of 1 KB stay near 4 MB
_HASH_CHUNK_BYTES = 1 << 20
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class Row(NamedTuple):
    """One row: its number, its values by column, or why it could not be read."""

    number: int
    values: dict[str, Any] | None
    error: str = ""


@dataclass(slots=True)
class RowFile:
    """A file of rows. `done_bytes` of `size_bytes` have been read so far (compressed bytes for gzip)."""

    path: Path
    name: str
    format: str
    gzipped: bool
    delimiter: str
    size_bytes: int
    columns: tuple[str, ...] = ()  # known once the first row is read; empty for NDJSON
    temporary: bool = False  # a copy of standard input
    _raw: IO[bytes] | None = None

    @property
    def done_bytes(self) -> int:
        """How far the reading is, in bytes of the file."""
        return self._raw.tell() if self._raw is not None and not self._raw.closed else 0

    @property
    def can_grow(self) -> bool:
        """Rows may be appended without changing the ones before: plain text, not gzip, not Parquet."""
        return not self.gzipped and self.format != "parquet"

    def content_hash(self) -> str:
        """32 hex digits that name the file's content."""
        return self.prefix_hashes([self.size_bytes])[self.size_bytes]

    def prefix_hashes(self, sizes_bytes: Iterable[int]) -> dict[int, str]:
        """What `content_hash` was or would be when the file had these sizes; sizes beyond its end are absent.

        A shorter size counts only where a line ends, so that a half-written row is never taken for a row.
        """
        digest = hashlib.blake2b(digest_size=16)
        found: dict[int, str] = {}
        with self.path.open("rb") as raw:
            for size in sorted({size for size in sizes_bytes if size <= self.size_bytes}):
                last = b""
                while (left := size - raw.tell()) > 0 and (chunk := raw.read(min(left, _HASH_CHUNK_BYTES))):
                    digest.update(chunk)
                    last = chunk[-1:]
                following = raw.read(1)
                raw.seek(size)
                if size == self.size_bytes or (self.can_grow and (last == b"\n" or following in b"\r\n")):
                    found[size] = digest.hexdigest()
        return found

    def rows(self) -> Iterator[Row]:
        """All rows, in order. Raises CommandError when the file as a whole cannot be read."""
        readers = {"csv": self._csv, "tsv": self._csv, "ndjson": self._ndjson, "parquet": self._parquet}
        with self.path.open("rb") as raw:
            self._raw = raw
            try:
                yield from readers[self.format](raw)
            except (OSError, EOFError) as error:  # gzip raises both for a damaged file
                raise CommandError(f"{self.name}: cannot be read: {error}") from None

    def discard(self) -> None:
        """Remove the copy of standard input, if this is one."""
        if self.temporary:
            self.path.unlink(missing_ok=True)

    def _bytes(self, raw: IO[bytes]) -> IO[bytes]:
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if self.gzipped else raw

    def _csv(self, raw: IO[bytes]) -> Iterator[Row]:
        csv.field_size_limit(MAX_LINE_BYTES)
        # surrogateescape keeps a bad byte inside its own row instead of ending the whole file
        with io.TextIOWrapper(self._bytes(raw), "utf-8-sig", "surrogateescape", newline="") as text:
            yield from self._cells(csv.reader(text, delimiter=self.delimiter))

    def _cells(self, reader: Iterator[list[str]]) -> Iterator[Row]:
        header = _header(reader, self.name)
        self.columns = tuple(header)
        number = 0
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(number, None, f"not CSV: {error}")
            else:
                if not cells:  # csv.reader gives an empty list for an empty line
                    continue
                yield _csv_row(number, header, cells)
            number += 1

    def _ndjson(self, raw: IO[bytes]) -> Iterator[Row]:
        decoder = msgspec.json.Decoder()
        stream = self._bytes(raw)
        number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(MAX_LINE_BYTES)
                yield Row(number, None, f"the line is longer than {MAX_LINE_BYTES} bytes")
            elif not line.strip(b"\xef\xbb\xbf \t\r\n"):
                continue
            else:
                yield _json_row(number, decoder, line.removeprefix(b"\xef\xbb\xbf"))
            number += 1

    def _parquet(self, raw: IO[bytes]) -> Iterator[Row]:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise CommandError("reading Parquet needs pyarrow: pip install pyarrow") from None
        try:
            table = pq.ParquetFile(self._bytes(raw))
            self.columns = tuple(table.schema_arrow.names)
            number = 0
            for batch in table.iter_batches(batch_size=_PARQUET_ROWS):
                for values in batch.to_pylist():
                    yield Row(number, values)
                    number += 1
        except pa.ArrowException as error:
            raise CommandError(f"{self.name}: cannot be read as Parquet: {error}") from None


def open_rows(argument: str, format_: str | None, delimiter: str | None) -> RowFile:
    """The file behind a command-line argument; `-` is standard input.

    Standard input is copied to a temporary file first: only a content that can be read twice can be named,
    and only what is named can be resumed. Raises CommandError.
    """
    path, name = (_spool(), "standard input") if argument == "-" else (Path(argument), argument)
    try:
        if not path.is_file():
            raise CommandError(
                f"{argument}: no such file" if not path.exists() else f"{argument}: not a file"
            )
        with path.open("rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise CommandError(f"{argument}: {error.strerror}") from None
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = format_ or next((_SUFFIXES[s] for s in reversed(suffixes) if s in _SUFFIXES), None)
    if kind is None:
        raise CommandError(
            f"{name}: the format is not known from the name; say --format {'|'.join(FORMATS)}"
            + (" (a JSON array becomes NDJSON by: jq -c '.[]' FILE)" if ".json" in suffixes else "")
        )
    if delimiter is not None and len(delimiter := delimiter.replace("\\t", "\t")) != 1:
        raise CommandError("--delimiter takes one character (\\t for a tab)")
    return RowFile(
        path,
        name,
        kind,
        gzipped,
        delimiter or ("\t" if kind == "tsv" else ","),
        path.stat().st_size,
        temporary=argument == "-",
    )


def _spool() -> Path:
    with tempfile.NamedTemporaryFile(prefix="freshet-stdin-", delete=False) as spooled:
        shutil.copyfileobj(sys.stdin.buffer, spooled)
    return Path(spooled.name)


def _header(reader: Iterator[list[str]], name: str) -> list[str]:
    try:
        header = [column.strip() for column in next(reader)]
        "".join(header).encode()
    except UnicodeEncodeError as error:
        encoding = "UTF-16" if error.object.startswith(("\udcff\udcfe", "\udcfe\udcff")) else "ISO-8859-1"
        raise CommandError(
            f"{name}: the first line is not UTF-8; convert the file, perhaps by: "
            f"iconv -f {encoding} -t UTF-8 {name}"
        ) from None
    except StopIteration:
        raise CommandError(f"{name}: is empty; the first line must name the columns") from None
    except csv.Error as error:
        raise CommandError(f"{name}: not CSV: {error}") from None
    if len(set(header)) != len(header):
        raise CommandError(f"{name}: the first line must name each column once; it says {', '.join(header)}")
    return header


def _csv_row(number: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) > len(header):
        return Row(number, None, f"{len(cells)} cells under {len(header)} columns")
    values = {column: cell for column, cell in zip(header, cells, strict=False) if cell != ""}
    for column, cell in values.items():
        if not cell.isascii() and any("\udc80" <= character <= "\udcff" for character in cell):
            return Row(number, None, f"{column} is not UTF-8 text; convert the file (iconv -t UTF-8)")
    return Row(number, values)


def _json_row(number: int, decoder: msgspec.json.Decoder[Any], line: bytes) -> Row:
    try:
        values = decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Row(number, None, f"not JSON: {error}")
    if isinstance(values, list):
        return Row(number, None, "a JSON array; a line is one object (jq -c '.[]' FILE makes them)")
    if not isinstance(values, dict):
        return Row(number, None, "not a JSON object")
    return Row(number, values)
