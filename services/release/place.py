"""Where releases lie: a directory of this machine, a Valkey or Redis server (valkey_place.py), or anything
fsspec reaches. What reaches what is not local is imported for such URLs only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from services.kernel.release import MANIFEST_FILE, ReleaseError
from services.kernel.settings import SettingsError

SMALL_FILE_MAX_BYTES = 1 << 20  # pointers and manifests are a few KB; whatever is larger is something else

_ENDS_OF_ADDRESS = frozenset("/?#")


class Place(Protocol):
    """A tree of files below one root. Names are relative, with `/`. All methods block."""

    url: str  # fit for messages: without user and password

    def read(self, name: str) -> bytes | None:
        """A small file, or None where there is none. Raises ReleaseError."""

    def write(self, name: str, data: bytes) -> None:
        """A small file, replaced as a whole. Raises ReleaseError."""

    def folders(self) -> list[str]:
        """Names right below the root, sorted."""

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file here. Raises ReleaseError."""

    def put(self, source: Path, name: str) -> None:
        """Copy a file there. Raises ReleaseError."""

    def remove(self, folder: str) -> None:
        """Take away a folder right below the root with all in it, its manifest first; one that is not there
        is gone already. Raises ReleaseError."""


class ReleaseUrlError(ReleaseError, SettingsError):
    """No release can ever come from this FRESHET_RELEASE_URL."""

    def __init__(self, text: str) -> None:
        super().__init__(f"FRESHET_RELEASE_URL: {text}")


def local_path(url: str) -> Path | None:
    """The directory that a plain path or file:// URL names; None for any other URL."""
    if "://" not in url:
        return Path(url).expanduser()
    if not url.lower().startswith("file://"):
        return None
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.netloc in {"", "localhost"} else None


def shown_url(url: str) -> str:
    """A URL fit for messages: without user, password and options."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    hidden = f"{scheme}://…"
    if not _ENDS_OF_ADDRESS.isdisjoint(
        rest.rpartition("@")[0]
    ):  # in a password that is not encoded, it may be
        return hidden
    try:
        parts = urlsplit(url)
        address = parts.netloc.rpartition("@")[2]
    except ValueError:
        return hidden
    return f"{parts.scheme}://{address}{parts.path}"


def open_place(url: str) -> Place:
    """The place behind a URL. Raises ReleaseUrlError where what reaches it is not installed."""
    path = local_path(url)
    if path is not None:
        return LocalPlace(path)
    from services.release.valkey_place import ValkeyPlace, is_valkey_url

    return ValkeyPlace(url) if is_valkey_url(url) else RemotePlace(url)


class LocalPlace:
    """A directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def read(self, name: str) -> bytes | None:
        """See Place."""
        try:
            with (self.root / name).open("rb") as file:
                return file.read(SMALL_FILE_MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ReleaseError(f"{self.root / name} cannot be read: {error.strerror}") from None

    def write(self, name: str, data: bytes) -> None:
        """See Place. By rename, so a reader sees the old or the new."""
        target = self.root / name
        draft = target.with_name(f".{target.name}-{secrets.token_hex(8)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ReleaseError(f"{target} cannot be written: {error.strerror}") from None

    def folders(self) -> list[str]:
        """See Place."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir())

    def fetch(self, name: str, target: Path) -> None:
        """See Place."""
        _copy(self.root / name, target)

    def put(self, source: Path, name: str) -> None:
        """See Place."""
        _copy(source, self.root / name)

    def remove(self, folder: str) -> None:
        """See Place. A service that has it open keeps what it has mapped."""
        directory = self.root / folder
        try:
            (directory / MANIFEST_FILE).unlink(missing_ok=True)
            shutil.rmtree(directory)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise ReleaseError(f"{directory} cannot be removed: {error.strerror}") from error


class RemotePlace:
    """A URL that fsspec opens: s3://, gs://, abfs://, memory://, …"""

    def __init__(self, url: str) -> None:
        self.url = shown_url(url)
        try:
            import fsspec

            # Listings are not cached: a poll must see what another process promoted.
            filesystem, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise ReleaseUrlError(f"{self.url} needs a package that is not installed: {error}") from None
        except (ValueError, OSError) as error:
            raise ReleaseUrlError(f"{self.url} cannot be opened: {error}") from None
        self._filesystem: Any = filesystem
        self._root = str(root).rstrip("/")

    def read(self, name: str) -> bytes | None:
        """See Place."""
        try:
            with self._filesystem.open(f"{self._root}/{name}", "rb") as file:
                return bytes(file.read(SMALL_FILE_MAX_BYTES + 1))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            raise ReleaseError(f"{self.url}/{name} cannot be read: {error}") from error

    def write(self, name: str, data: bytes) -> None:
        """See Place. Object stores replace whole objects."""
        try:
            self._filesystem.makedirs(self._root, exist_ok=True)
            self._filesystem.pipe_file(f"{self._root}/{name}", data)
        except Exception as error:
            raise ReleaseError(f"{self.url}/{name} cannot be written: {error}") from error

    def folders(self) -> list[str]:
        """See Place."""
        try:
            found = self._filesystem.ls(self._root, detail=True)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise ReleaseError(f"{self.url} cannot be listed: {error}") from error
        return sorted(
            str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]
            for entry in found
            if entry["type"] == "directory"
        )

    def fetch(self, name: str, target: Path) -> None:
        """See Place."""
        try:
            self._filesystem.get_file(f"{self._root}/{name}", str(target))
        except Exception as error:
            raise ReleaseError(f"{self.url}/{name} cannot be fetched: {error}") from error

    def put(self, source: Path, name: str) -> None:
        """See Place."""
        try:
            self._filesystem.makedirs(f"{self._root}/{name}".rsplit("/", 1)[0], exist_ok=True)
            self._filesystem.put_file(str(source), f"{self._root}/{name}")
        except Exception as error:
            raise ReleaseError(f"{self.url}/{name} cannot be written: {error}") from error

    def remove(self, folder: str) -> None:
        """See Place."""
        try:
            for name in (f"{folder}/{MANIFEST_FILE}", folder):
                with contextlib.suppress(FileNotFoundError):
                    self._filesystem.rm(f"{self._root}/{name}", recursive=name == folder)
        except Exception as error:
            raise ReleaseError(f"{self.url}/{folder} cannot be removed: {error}") from error


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise ReleaseError(f"{source} cannot be copied to {target}: {error.strerror}") from error
