"""What every place for releases does: a directory, an fsspec URL, Valkey on one node and on a cluster."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kernel.item import Item
from services.kernel.release import NoReleaseError, ReleaseError
from services.release.files import open_release
from services.release.place import SMALL_FILE_MAX_BYTES, Place, open_place
from services.release.repository import list_releases, promote, publish, remove
from services.release.source import ReleaseSource
from services.release.valkey_place import CHUNK_BYTES
from services.trainer.day0 import build_day0
from tests.servers import ValkeyServer
from tests.valkey_cluster import ValkeyCluster

SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, (5 << 20) + 3]


@pytest.fixture(params=["directory", "fsspec", "single", "unix", "cluster"])
def url(request: pytest.FixtureRequest, namespace: str, tmp_path: Path) -> Iterator[str]:
    """An empty place of each kind."""
    if request.param == "directory":
        yield str(tmp_path / "place")
    elif request.param == "fsspec":
        yield f"memory://{namespace}/releases"
    elif request.param == "cluster":
        cluster = request.getfixturevalue("store_cluster")
        assert isinstance(cluster, ValkeyCluster)
        yield f"{cluster.url}?prefix={namespace}"
    else:
        server = request.getfixturevalue("valkey")
        assert isinstance(server, ValkeyServer)
        yield (
            f"{server.url}?prefix={namespace}"
            if request.param == "single"
            else (f"{server.unix_url}&prefix={namespace}")
        )


@pytest.fixture
def place(url: str) -> Place:
    return open_place(url)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two releases, ready to be published."""
    items = [Item(item_id=f"p{n}", title=f"thing {n % 9} of kind {n % 5}") for n in range(60)]
    scratch = tmp_path_factory.mktemp("built")
    return [build_day0(items[:count], scratch, now_ms=count) for count in (40, 60)]


def test_small_files_are_replaced_as_a_whole(place: Place) -> None:
    assert place.read("live") is None
    assert place.folders() == []
    for data in (b"first", b"", b"\x00\xff longer than the first", b"short"):
        place.write("live", data)
        assert place.read("live") == data
    assert place.folders() == []


def test_what_is_no_small_file_is_cut_above_the_bound(place: Place, tmp_path: Path) -> None:
    """Whoever reads it as a manifest sees that it is none, and memory has a bound."""
    source = tmp_path / "large"
    source.write_bytes(os.urandom(3 * SMALL_FILE_MAX_BYTES))
    place.put(source, "folder/large")
    read = place.read("folder/large")
    assert read is not None
    assert len(read) == SMALL_FILE_MAX_BYTES + 1
    assert read == source.read_bytes()[: len(read)]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_comes_back_as_it_went(place: Place, tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "er" / "target"
    source.write_bytes(os.urandom(size))
    place.put(source, "a-release/sub/file.bin")
    place.fetch("a-release/sub/file.bin", target)
    assert target.read_bytes() == source.read_bytes()
    assert place.folders() == ["a-release"]
    assert (place.read("a-release/sub/file.bin") or b"")[:10] == source.read_bytes()[:10]


def test_a_longer_file_gives_way_to_a_shorter_one(place: Place, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for size in (4 * CHUNK_BYTES + 7, CHUNK_BYTES + 1, 3):
        source.write_bytes(os.urandom(size))
        place.put(source, "f/file")
        place.fetch("f/file", target)
        assert target.read_bytes() == source.read_bytes()


def test_what_is_not_there_is_a_release_error(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="nothing/here"):
        place.fetch("nothing/here", tmp_path / "target")
    with pytest.raises(ReleaseError, match="missing"):
        place.put(tmp_path / "missing", "folder/file")


def test_a_folder_is_removed_and_no_other(place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 * CHUNK_BYTES))
    for folder in ("one", "two"):
        place.put(source, f"{folder}/data")
        place.put(source, f"{folder}/sub/data")
        place.write(f"{folder}/manifest.json", b"{}")
    place.remove("one")
    assert place.folders() == ["two"]
    assert place.read("one/manifest.json") is None
    assert place.read("one/sub/data") is None
    place.fetch("two/sub/data", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == source.read_bytes()
    place.remove("one")
    place.remove("never-there")


def test_publish_promote_follow_remove(url: str, built: list[Path], tmp_path: Path) -> None:
    first, second = (path.name for path in built)
    source = ReleaseSource(url, tmp_path / "cache")
    with pytest.raises(NoReleaseError, match="freshet release init"):
        source.live()
    assert list_releases(url) == []
    assert publish(built[0], url) == publish(built[0], url) == first
    with pytest.raises(NoReleaseError):
        source.live_name()
    promote(url, first, 5)
    assert open_release(source.live()).name == first
    publish(built[1], url)
    promote(url, second, 6)
    assert source.live_name() == second
    assert open_release(source.live()).name == second
    assert [(one.name, one.live) for one in list_releases(url)] == [(first, False), (second, True)]
    with pytest.raises(ReleaseError, match="is live"):
        remove(url, second)
    with pytest.raises(ReleaseError, match=f"there is {first}, {second}"):
        promote(url, "day0-000000000000", 1)
    remove(url, first)
    assert [one.name for one in list_releases(url)] == [second]
    with pytest.raises(ReleaseError, match=f"no release '{first}'.*there is {second}"):
        remove(url, first)
    with pytest.raises(ReleaseError, match="no release"):
        remove(url, "../elsewhere")


def test_a_half_published_release_is_none(url: str, built: list[Path]) -> None:
    """Killed before the manifest, which comes last: it is not listed, not promoted, and published anew."""
    place = open_place(url)
    name = built[0].name
    for path in built[0].iterdir():
        if path.name != "manifest.json":
            place.put(path, f"{name}/{path.name}")
    assert list_releases(url) == []
    with pytest.raises(ReleaseError, match="no release"):
        promote(url, name, 1)
    if "://" in url:  # a directory is published by rename, and never half
        publish(built[0], url)
        assert [one.name for one in list_releases(url)] == [name]
    else:
        remove(url, name)
        assert place.folders() == []


def test_many_threads_share_a_place(place: Place, tmp_path: Path) -> None:
    """A service polls in one thread while it fetches in another."""
    if place.url.startswith("memory://"):
        pytest.skip("the files of fsspec's memory have one cursor for all readers")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(2 * CHUNK_BYTES + 1))
    place.put(source, "f/data")
    place.write("live", b"x")
    wrong: list[object] = []

    def work() -> None:
        target = tmp_path / uuid.uuid4().hex
        for _ in range(5):
            place.fetch("f/data", target)
            if target.read_bytes() != source.read_bytes() or place.read("live") != b"x":
                wrong.append(target)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
