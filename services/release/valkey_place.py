"""Releases in Valkey or Redis, for deployments without an object store: files as values of bounded size.

`FRESHET_RELEASE_URL=valkey://host:6379/0?prefix=freshet`, with the schemes of `FRESHET_STORE_URL`. Keys,
below `{prefix}:release:`, each on its own (a cluster spreads them):

    folders            SET of the folders right below the root
    files:{folder}     SET of the files of a folder, by their whole names
    file:{name}        header (magic, size u64, chunk bytes u32), then the file's first chunk
    chunk:{name}:{n}   its chunk n, from 1 on

1. Write: what lists the file, then chunks from 1 on, then `file:`; a file that has a header is whole.
2. Read: the header, then the chunks, as many in one round trip as the byte bound allows.
3. Remove a folder: the headers first, so nobody begins to read it; then chunks, those of a write or removal
   that was killed too; then what lists them.
"""

from __future__ import annotations

import re
import struct
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from services.kernel.release import MANIFEST_FILE, ReleaseError
from services.kernel.valkey_schemes import CLIENT_SCHEMES, CLUSTER_SUFFIX
from services.release.place import SMALL_FILE_MAX_BYTES, ReleaseUrlError, shown_url

# One value. Larger ones are fetched no faster, smaller ones cost more round trips (make bench-release-fetch).
CHUNK_BYTES: Final = 256 << 10
# One round trip: what the server copies before it turns to another client, and what both sides hold.
TRIP_BYTES: Final = 2 << 20
_SCAN_COMMANDS: Final = 500  # commands of a few bytes in one round trip
_HEADER: Final = struct.Struct(">4sQI")
_MAGIC: Final = b"frl1"
_FILE_MAX_BYTES: Final = 64 << 30  # a header that says more is none of ours
_CONNECT_TIMEOUT_S: Final = 2.0
_READ_TIMEOUT_S: Final = 10.0  # for one round trip; a server that is that late is not there
_PREFIX: Final = re.compile(r"^[A-Za-z0-9._:-]{1,64}$")
_POOL_OPTIONS: Final = ("max_connections", "timeout", "retry_on_timeout")  # of a pool that is not used here

Command = tuple[Any, ...]


def is_valkey_url(url: str) -> bool:
    """Whether the URL names a Valkey or Redis server."""
    return url.partition("://")[0].lower().removesuffix(CLUSTER_SUFFIX) in CLIENT_SCHEMES


class ValkeyPlace:
    """A tree of files in the keys below a prefix. Connects on first use; for many threads."""

    def __init__(self, url: str) -> None:
        """Raises ReleaseUrlError, never with the password in it."""
        self.url = shown_url(url)
        self._is_cluster, self._options, prefix = _parsed(url, self.url)
        self._base = f"{prefix}:release:"
        self._client: Any = None
        self._connecting = threading.Lock()

    def read(self, name: str) -> bytes | None:
        """See Place."""
        first = self._call([("GET", self._file(name))], name)[0]
        if first is None:
            return None
        data = b"".join(self._pieces(name, first, SMALL_FILE_MAX_BYTES + 1))
        return data[: SMALL_FILE_MAX_BYTES + 1]

    def write(self, name: str, data: bytes) -> None:
        """See Place."""
        self._store(name, len(data), (data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)))

    def folders(self) -> list[str]:
        """See Place."""
        return sorted(name.decode() for name in self._call([("SMEMBERS", self._folders())], "")[0])

    def fetch(self, name: str, target: Path) -> None:
        """See Place."""
        first = self._call([("GET", self._file(name))], name)[0]
        if first is None:
            raise ReleaseError(f"{self.url} has no {name}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for piece in self._pieces(name, first, _FILE_MAX_BYTES):
                    file.write(piece)
        except OSError as error:
            raise ReleaseError(f"{target} cannot be written: {error.strerror}") from error

    def put(self, source: Path, name: str) -> None:
        """See Place."""
        try:
            with source.open("rb") as file:
                size = source.stat().st_size
                self._store(name, size, iter(lambda: file.read(CHUNK_BYTES), b""))
        except OSError as error:
            raise ReleaseError(f"{source} cannot be read: {error.strerror}") from error

    def remove(self, folder: str) -> None:
        """See Place."""
        names = [name.decode() for name in self._call([("SMEMBERS", self._files(folder))], folder)[0]]
        names.sort(key=lambda name: name != f"{folder}/{MANIFEST_FILE}")  # from here on it is incomplete
        for name in names:
            chunks = self._chunks_of(name)
            self._call([("UNLINK", self._file(name))], name)
            self._unlink(name, range(1, chunks))
            # Chunks that no header counts: who wrote or removed them was killed.
            first = max(1, chunks)
            while self._unlink(name, range(first, first + _SCAN_COMMANDS)):
                first += _SCAN_COMMANDS
        self._call([("UNLINK", self._files(folder)), ("SREM", self._folders(), folder)], folder)

    def _store(self, name: str, size: int, pieces: Iterator[bytes]) -> None:
        """Steps of a write."""
        before = self._chunks_of(name)
        folder, slash, _ = name.partition("/")
        if slash:
            listing = [("SADD", self._folders(), folder), ("SADD", self._files(folder), name)]
            self._call(listing, name)
        first = next(pieces, b"")
        trip: list[Command] = []
        number, held = 1, len(first)
        for piece in pieces:
            trip.append(("SET", self._chunk(name, number), piece))
            number, held = number + 1, held + len(piece)
            if len(trip) * CHUNK_BYTES >= TRIP_BYTES:
                self._call(trip, name)
                trip = []
        self._call(trip, name)
        if held != size:
            raise ReleaseError(f"{name} changed while it was being copied to {self.url}")
        self._call([("SET", self._file(name), _HEADER.pack(_MAGIC, size, CHUNK_BYTES) + first)], name)
        self._unlink(name, range(number, before))

    def _pieces(self, name: str, first: bytes, wanted_bytes: int) -> Iterator[bytes | memoryview]:
        """A file's content, from the value of its `file:` key on, at least `wanted_bytes` where it has so
        many. Raises ReleaseError."""
        size, chunk_bytes = self._header(name, first)
        data = memoryview(first)[_HEADER.size :]
        got = len(data)
        yield data
        per_trip = max(1, TRIP_BYTES // chunk_bytes)
        number = 1
        while got < min(size, wanted_bytes):
            left = -(-(size - got) // chunk_bytes)
            numbers = range(number, number + min(per_trip, left))
            for chunk in self._call([("GET", self._chunk(name, at)) for at in numbers], name):
                expected = min(chunk_bytes, size - got)
                if chunk is None or len(chunk) != expected:
                    raise ReleaseError(
                        f"{name} at {self.url} is incomplete: a chunk of it is "
                        f"{'gone' if chunk is None else 'cut'}. Was it removed meanwhile, or evicted "
                        "(maxmemory-policy must be noeviction)? Publish the release again"
                    )
                got += expected
                yield chunk
            number = numbers.stop
        if got < min(size, wanted_bytes) or got > size:
            raise ReleaseError(f"{name} at {self.url} has {got} bytes, its header says {size}")

    def _header(self, name: str, value: bytes) -> tuple[int, int]:
        """(size, chunk bytes) of a file. Raises ReleaseError."""
        if len(value) >= _HEADER.size:
            magic, size, chunk_bytes = _HEADER.unpack_from(value)
            if magic == _MAGIC and chunk_bytes and size <= _FILE_MAX_BYTES:
                return size, chunk_bytes
        raise ReleaseError(f"{name} at {self.url} was not written by this version of Freshet")

    def _chunks_of(self, name: str) -> int:
        """How many chunks a file has, its first one included; 0 without a file."""
        value = self._call([("GETRANGE", self._file(name), 0, _HEADER.size - 1)], name)[0]
        if not value:
            return 0
        size, chunk_bytes = self._header(name, value)
        return max(1, -(-size // chunk_bytes))

    def _unlink(self, name: str, numbers: Sequence[int]) -> int:
        """Remove chunks, the last ones first: what a kill leaves is found from the first on. How many there
        were.
        """
        found = 0
        for first in reversed(range(0, len(numbers), _SCAN_COMMANDS)):
            some = numbers[first : first + _SCAN_COMMANDS]
            found += sum(self._call([("UNLINK", self._chunk(name, at)) for at in some], name))
        return found

    def _folders(self) -> str:
        return f"{self._base}folders"

    def _files(self, folder: str) -> str:
        return f"{self._base}files:{folder}"

    def _file(self, name: str) -> str:
        return f"{self._base}file:{name}"

    def _chunk(self, name: str, number: int) -> str:
        return f"{self._base}chunk:{name}:{number}"

    def _call(self, commands: Iterable[Command], name: str) -> list[Any]:
        """One round trip (one a node). Every command here may run twice. Raises ReleaseError."""
        commands = list(commands)
        if not commands:
            return []
        from redis.exceptions import RedisError

        try:
            client = self._connected()
            if len(commands) == 1:
                return [client.execute_command(*commands[0])]
            pipeline = client.pipeline(transaction=False) if not self._is_cluster else client.pipeline()
            for command in commands:
                pipeline.execute_command(*command)
            # Errors as replies: the library would put the command into the text, with a piece of the file.
            replies = list(pipeline.execute(raise_on_error=False))
        except (RedisError, OSError) as error:
            raise self._failed(error, name) from error
        for reply in replies:
            if isinstance(reply, Exception):
                raise self._failed(reply, name) from reply
        return replies

    def _failed(self, error: Exception, name: str) -> ReleaseError:
        return ReleaseError(f"{f'{name} at ' if name else ''}{self._explained(error)}")

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                from redis import Redis
                from redis.backoff import ExponentialBackoff, NoBackoff
                from redis.cluster import RedisCluster
                from redis.retry import Retry

                options = {
                    **self._options,
                    "socket_connect_timeout": _CONNECT_TIMEOUT_S,
                    "socket_timeout": _READ_TIMEOUT_S,
                    "protocol": 2,
                }
                if self._is_cluster:
                    # A failover takes a second or two; whoever polls comes again anyway.
                    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 3)
                    self._client = RedisCluster(**options, retry=retry)
                else:
                    # Once more, for a link that was cut while nobody used it.
                    self._client = Redis(**options, retry=Retry(NoBackoff(), 1))
                # A place goes when its source does; its links must not wait for the collector.
                weakref.finalize(self, self._client.close)
            return self._client

    def _explained(self, error: Exception) -> str:
        from redis.exceptions import AuthenticationError, MovedError, NoPermissionError, ResponseError

        text = str(error)
        where = f"{self.url} (FRESHET_RELEASE_URL)"
        if isinstance(error, AuthenticationError) or "WRONGPASS" in text or "NOAUTH" in text:
            return f"{where}: the server does not take the user and password of the URL"
        if isinstance(error, NoPermissionError):
            return f"{where}: the user lacks a right: {text}"
        if "maxmemory" in text:
            return (
                f"{where}: the server is out of memory: raise its maxmemory, or make room with "
                "`freshet release remove`"
            )
        if isinstance(error, MovedError):
            return f"{where}: the server is part of a cluster: write valkey+cluster://"
        if isinstance(error, ResponseError):
            return f"{where}: {text}"
        return f"{where} does not answer: {text or type(error).__name__}"


def _parsed(url: str, shown: str) -> tuple[bool, dict[str, Any], str]:
    """(cluster, options of the client, prefix). Raises ReleaseUrlError without the password."""
    try:
        from redis.connection import (
            Connection,
            SSLConnection,
            UnixDomainSocketConnection,
            parse_url,
        )
    except ImportError:
        raise ReleaseUrlError(f"{shown} needs a package that is not installed: redis") from None
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
        prefix = query.pop("prefix", ["freshet"])[0]
        is_cluster = parts.scheme.endswith(CLUSTER_SUFFIX)
        scheme = CLIENT_SCHEMES[parts.scheme.removesuffix(CLUSTER_SUFFIX)]
        plain = f"{scheme}://{parts.netloc}{parts.path}?{urlencode(query, doseq=True)}"
        options: dict[str, Any] = dict(parse_url(plain))  # type: ignore[no-untyped-call]
    except ValueError:  # whose text may hold a piece of the password
        raise ReleaseUrlError(
            f"{shown} cannot be read: write valkey://[user:password@]host:port[/database], with anything but "
            "letters and digits in the password percent-encoded"
        ) from None
    if not _PREFIX.match(prefix):
        raise ReleaseUrlError(f"{shown}: prefix takes 1 to 64 letters, digits and any of . _ : -")
    if is_cluster and (scheme == "unix" or options.get("db")):
        raise ReleaseUrlError(f"{shown}: a cluster has TCP addresses and database 0 only")
    if scheme != "unix" and parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ReleaseUrlError(f"{shown}: after host:port comes the number of a database")
    kind = options.pop("connection_class", Connection)
    for name in _POOL_OPTIONS:
        options.pop(name, None)
    known = {"host", "port", "db", "username", "password", "path"}
    if stray := sorted(name for name in options if name not in known and not name.startswith("ssl_")):
        raise ReleaseUrlError(f"{shown}: {', '.join(stray)} is no option here; there is prefix, db and ssl_…")
    if kind is SSLConnection:
        options["ssl"] = True
    if kind is UnixDomainSocketConnection:
        options["unix_socket_path"] = options.pop("path", "")
    if is_cluster:
        options.pop("db", None)
    return is_cluster, options, prefix
