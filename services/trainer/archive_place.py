"""Where archives and other files of events lie: a directory of this machine, or anything fsspec reaches."""

from __future__ import annotations

import fcntl
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Final, Protocol

from services.release.place import local_path

_LOCK_FILE: Final = ".archive.lock"


class ArchiveError(Exception):
    """Events cannot be written or read; the text says why and what to change."""


class ArchivePlace(Protocol):
    """Files below one root. Names are relative, with `/`. All methods block and raise ArchiveError."""

    url: str

    def read(self, name: str) -> bytes | None:
        """A whole file, or None where there is none."""

    def write(self, name: str, data: bytes) -> None:
        """A whole file: a reader sees the old one or the new one, also after a crash."""

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""

    def names(self, *, deep: bool = True) -> list[str]:
        """All files below the root (not `deep`: right below it), sorted; none where there is no root."""

    def open(self, name: str) -> IO[bytes]:
        """A file to read from and to seek in; `name` "" is the root itself, where that is a file."""

    def is_file(self) -> bool:
        """Whether the root is a file."""

    def held(self) -> AbstractContextManager[None]:
        """Keep other exports away while the block runs, where the place can do that."""


def open_archive_place(url: str) -> ArchivePlace:
    """The place behind a path or URL. Raises ArchiveError where its file system is not installed."""
    path = local_path(url)
    return LocalArchivePlace(path) if path is not None else RemoteArchivePlace(url)


class LocalArchivePlace:
    """A directory, or a file to read."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.url = str(root)

    def read(self, name: str) -> bytes | None:
        """See ArchivePlace."""
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _cannot("read", self._root / name, error.strerror) from None

    def write(self, name: str, data: bytes) -> None:
        """See ArchivePlace. By rename; file and directory are on the disk when this returns."""
        target = self._root / name
        draft = target.with_name(f".{target.name}-{secrets.token_hex(8)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(target)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            _sync_directory(target.parent)
        except OSError as error:
            raise _cannot("written", target, error.strerror) from None

    def delete(self, name: str) -> None:
        """See ArchivePlace."""
        try:
            (self._root / name).unlink(missing_ok=True)
        except OSError as error:
            raise _cannot("removed", self._root / name, error.strerror) from None

    def names(self, *, deep: bool = True) -> list[str]:
        """See ArchivePlace. Drafts of `write` that a kill left behind are listed too."""
        return sorted(
            path.relative_to(self._root).as_posix()
            for path in self._root.glob("**/*" if deep else "*")
            if path.is_file()
        )

    def open(self, name: str) -> IO[bytes]:
        """See ArchivePlace."""
        try:
            return (self._root / name).open("rb") if name else self._root.open("rb")
        except OSError as error:
            raise _cannot("read", self._root / name, error.strerror) from None

    def is_file(self) -> bool:
        """See ArchivePlace."""
        return self._root.is_file()

    @contextmanager
    def held(self) -> Iterator[None]:
        """See ArchivePlace. The lock goes with the process, so a kill leaves none behind."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            lock = (self._root / _LOCK_FILE).open("w")
        except OSError as error:
            raise _cannot("written", self._root, error.strerror) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ArchiveError(
                    f"another export writes to {self._root}; let it end, or stop it, and run this one again"
                ) from None
            yield


class RemoteArchivePlace:
    """A URL that fsspec opens: s3://, gs://, abfs://, memory://, …"""

    def __init__(self, url: str) -> None:
        try:
            import fsspec

            # Listings are not cached: another process may have written.
            filesystem, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise ArchiveError(f"{url} needs a package that is not installed: {error}") from None
        except (ValueError, OSError) as error:
            raise ArchiveError(f"{url} cannot be opened: {error}") from None
        self._filesystem: Any = filesystem
        self._root = str(root).rstrip("/")
        self.url = url.rstrip("/")

    def read(self, name: str) -> bytes | None:
        """See ArchivePlace."""
        try:
            return bytes(self._filesystem.cat_file(f"{self._root}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            raise _cannot("read", f"{self.url}/{name}", error) from error

    def write(self, name: str, data: bytes) -> None:
        """See ArchivePlace. Object stores replace whole objects."""
        try:
            self._filesystem.makedirs(self._root, exist_ok=True)
            self._filesystem.pipe_file(f"{self._root}/{name}", data)
        except Exception as error:
            raise _cannot("written", f"{self.url}/{name}", error) from error

    def delete(self, name: str) -> None:
        """See ArchivePlace."""
        try:
            self._filesystem.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            pass
        except Exception as error:
            raise _cannot("removed", f"{self.url}/{name}", error) from error

    def names(self, *, deep: bool = True) -> list[str]:
        """See ArchivePlace."""
        try:
            found = self._filesystem.find(self._root, maxdepth=None if deep else 1)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise _cannot("listed", self.url, error) from error
        return sorted(str(path)[len(self._root) :].lstrip("/") for path in found)

    def open(self, name: str) -> IO[bytes]:
        """See ArchivePlace."""
        path = f"{self._root}/{name}" if name else self._root
        try:
            return io.BufferedReader(self._filesystem.open(path, "rb"))
        except Exception as error:
            raise _cannot("read", f"{self.url}/{name}".rstrip("/"), error) from error

    def is_file(self) -> bool:
        """See ArchivePlace."""
        try:
            return bool(self._filesystem.isfile(self._root))
        except Exception as error:
            raise _cannot("read", self.url, error) from error

    def held(self) -> AbstractContextManager[None]:
        """Nothing that all object stores can do; the manifest is compared before it is written."""
        return nullcontext()


def _sync_directory(directory: Path) -> None:
    """A rename is on the disk once its directory is."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot(done: str, what: object, why: object) -> ArchiveError:
    return ArchiveError(f"{what} cannot be {done}: {why}")
