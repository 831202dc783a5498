"""FRESHET_CACHE_DIR: where releases from a URL are copied to, and what is done about what is left there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.kernel.release import ReleaseError
from services.profiler.settings import ProfilerSettings
from services.release.files import open_release
from services.release.repository import promote, publish
from services.release.source import ReleaseSource


@pytest.fixture
def url(release_dir: Path, tmp_path: Path) -> str:
    """A remote place with a live release."""
    url = f"memory://{tmp_path.name}/releases"
    publish(release_dir, url)
    promote(url, release_dir.name, 3)
    return url


def test_the_setting_is_where_copies_lie(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_CACHE_DIR", str(tmp_path / "deep" / "cache"))
    settings = ProfilerSettings.from_environment(release_url=url)
    local = ReleaseSource(settings.release_url, settings.cache_dir).live()
    assert local.parent == tmp_path / "deep" / "cache"


def test_without_it_the_users_cache_is_taken(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    settings = ProfilerSettings(release_url=url)
    local = ReleaseSource(settings.release_url, settings.cache_dir).live()
    assert local.parent == tmp_path / "home" / "freshet" / "releases"


def test_a_directory_that_cannot_be_written_names_the_setting(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReleaseError, match=r"file/cache.* cannot be written .*FRESHET_CACHE_DIR"):
        ReleaseSource(url, tmp_path / "file" / "cache").live()


def test_a_full_disk_names_the_setting_and_leaves_nothing(release_dir: Path, tmp_path: Path) -> None:
    """The system refuses to write on, here by a bound on the size of files."""
    program = (
        "import resource, sys\n"
        "from services.kernel.release import ReleaseError\n"
        "from services.release.repository import promote, publish\n"
        "from services.release.source import ReleaseSource\n"
        "url = 'memory://full/releases'\n"
        f"promote(url, publish(__import__('pathlib').Path({str(release_dir)!r}), url), 3)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n"
        f"    ReleaseSource(url, {str(tmp_path / 'cache')!r}).live()\n"
        "except ReleaseError as error:\n"
        "    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "is full" in told
    assert "FRESHET_CACHE_DIR" in told
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_killed_fetch_left_is_swept_and_a_running_one_is_not(
    url: str, release_dir: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from services.release.source import _draft\n"
        f"with _draft(Path({str(cache)!r})) as draft:\n"
        "    (draft / 'half').write_bytes(b'x')\n"
        "    print(draft, flush=True)\n"
        "    time.sleep(600)\n"
    )
    drafts = []
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        drafts.append((process, Path(process.stdout.readline().strip())))
    (dead, left), (_, held) = drafts
    try:
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        for draft in (left, held):
            assert (draft / "half").exists()
            os.utime(draft, (time.time() - 120,) * 2)
        assert ReleaseSource(url, cache).live() == cache / release_dir.name
        assert not left.exists()
        assert held.exists()
    finally:
        for process, _ in drafts:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_a_copy_that_lost_its_end_is_made_anew(url: str, tmp_path: Path) -> None:
    source = ReleaseSource(url, tmp_path / "cache")
    local = source.live()
    vectors = local / "item_vectors.npy"
    os.truncate(vectors, 100)
    assert source.live() == local
    assert open_release(local).name == local.name
    vectors.unlink()
    assert open_release(source.live()).name == local.name


def test_a_copy_whose_hash_was_found_wrong_is_made_anew(url: str, tmp_path: Path) -> None:
    source = ReleaseSource(url, tmp_path / "cache")
    vectors = source.live() / "item_vectors.npy"
    sound = vectors.read_bytes()
    vectors.write_bytes(bytes(len(sound)))
    with pytest.raises(ReleaseError, match="sha256"):
        open_release(source.live())
    assert open_release(source.live()).name == vectors.parent.name
    assert vectors.read_bytes() == sound


def test_a_copy_of_another_boot_is_hashed_once_more(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk had not got when the machine lost its power."""
    source = ReleaseSource(url, tmp_path / "cache")
    local = source.live()
    sound = (local / "item_vectors.npy").read_bytes()
    (local / "item_vectors.npy").write_bytes(bytes(len(sound)))
    (local / ".boot").write_text("another")
    assert (source.live() / "item_vectors.npy").read_bytes() == sound
    (local / ".boot").write_text("another")
    hashed: list[Path] = []
    monkeypatch.setattr("services.release.source.verify_files", lambda path, _: hashed.append(path))
    for _ in range(2):
        source.live()
    assert hashed == [local], "and after that it is of this boot"
