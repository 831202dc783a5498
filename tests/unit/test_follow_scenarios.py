"""A scenario file that changes under a running service: good versions are taken, bad ones are named."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.kernel.settings import SettingsError
from services.ranking.scenario_file import MAX_FILE_BYTES, built_in
from services.recommender.follow_scenarios import ScenariosFollower

GOOD = '[scenarios.sale]\nsources = ["trending"]\n'
BETTER = '[scenarios.sale]\nsources = ["popular"]\n'
BAD = '[scenarios.sale]\nsources = ["trendign"]\n'


class Watched:
    """A follower of a file, and what it told."""

    def __init__(self, path: Path) -> None:
        self.outcomes: list[str] = []
        self.versions: list[str] = []
        self.judgements: list[bool] = []
        self.follower = ScenariosFollower(
            str(path),
            settle_s=0,
            counted=self.outcomes.append,
            swapped=self.versions.append,
            judged=self.judgements.append,
        )

    def look(self) -> bool:
        return asyncio.run(self.follower.look())

    def trouble(self) -> str:
        return self.follower.trouble or ""

    def sources(self, name: str = "sale") -> list[str]:
        return [use.name for use in self.follower.current.by_name[name].sources]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scenarios.toml"
    path.write_text(GOOD)
    return path


def test_without_a_file_freshets_own_serve_and_nothing_is_looked_at() -> None:
    follower = ScenariosFollower("")
    asyncio.run(follower.run())  # ends at once
    assert follower.current.by_name == built_in()
    assert follower.version == "built-in"


def test_a_good_version_is_taken_and_a_bad_one_leaves_it_serving(file: Path) -> None:
    watched = Watched(file)
    assert watched.sources() == ["trending"]
    assert not watched.look()
    file.write_text(BETTER)
    assert watched.look()
    assert watched.sources() == ["popular"]
    file.write_text(BAD)
    for _ in range(3):
        assert not watched.look()
    assert watched.sources() == ["popular"]
    assert "line 2: scenarios.sale.sources[0]: 'trendign' is no source" in watched.trouble()
    assert "did you mean 'trending'?" in watched.follower.problems[0].message
    file.write_text(BETTER)
    assert watched.look()
    assert not watched.trouble()
    assert watched.outcomes == ["loaded", "loaded", "refused", "loaded"]
    assert watched.judgements == [True, True, False, True]
    assert watched.versions[1] == watched.versions[2] != watched.versions[0]


def test_a_refusal_is_logged_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(file)
    file.write_text(BAD)
    for _ in range(3):
        watched.look()
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 1
    assert "line 2" in told[0].getMessage()


def test_a_file_that_vanishes_leaves_the_old_version_and_may_come_back(file: Path) -> None:
    watched = Watched(file)
    file.rename(file.with_suffix(".away"))
    for _ in range(2):
        assert not watched.look()
    assert watched.sources() == ["trending"]
    assert "there is no such file" in watched.trouble()
    file.with_suffix(".away").rename(file)
    watched.look()
    assert not watched.trouble()
    assert watched.outcomes == ["loaded", "missing", "loaded"]


def test_a_file_that_comes_back_wrong_is_named_as_wrong(file: Path) -> None:
    watched = Watched(file)
    for text in (BAD, None, BAD):
        file.write_text(text) if text else file.unlink()
        watched.look()
    assert "trendign" in watched.trouble()
    assert watched.outcomes == ["loaded", "refused", "missing", "refused"]


def test_a_config_map_that_swaps_its_link_is_followed(tmp_path: Path) -> None:
    for name, text in (("..one", GOOD), ("..two", BETTER + "#")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scenarios.toml").write_text(text)
        os.utime(tmp_path / name / "scenarios.toml", (1e9, 1e9))  # of one age and size, both old
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "scenarios.toml").symlink_to("..data/scenarios.toml")
    watched = Watched(tmp_path / "scenarios.toml")
    assert not watched.look()
    (tmp_path / "..new").symlink_to("..two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert watched.look()
    assert len(GOOD) == len(BETTER + "#")
    assert watched.sources() == ["popular"]


def test_a_young_file_of_the_same_size_and_time_is_read_all_the_same(file: Path) -> None:
    watched = Watched(file)
    before = file.stat()
    file.write_text(GOOD.replace('"trending"]', '"popular"]#'))
    assert file.stat().st_size == before.st_size
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watched.look()
    assert watched.sources() == ["popular"]


def test_what_is_being_written_is_not_taken_half(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(file)
    file.write_text("# nothing")  # valid, and everything is gone

    async def meanwhile(_s: float) -> None:
        file.write_text(BETTER)

    monkeypatch.setattr(asyncio, "sleep", meanwhile)
    assert not watched.look()
    assert watched.sources() == ["trending"]
    assert watched.look()
    assert watched.sources() == ["popular"]


def test_a_file_that_was_emptied_leaves_the_old_version_serving_and_a_comment_takes_it_away(
    file: Path,
) -> None:
    watched = Watched(file)
    for emptied in ("", "\n \n", "\ufeff"):
        file.write_text(emptied)
        assert not watched.look()
        assert watched.sources() == ["trending"]
        assert "is empty" in watched.trouble()
    assert watched.outcomes == ["loaded", "refused"]
    file.write_text("# none of our own\n")
    assert watched.look()
    assert watched.follower.current.by_name == built_in()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.unlink(), "there is no such file"),
        (lambda file: (file.unlink(), file.mkdir()), "cannot be read: Is a directory"),
        (lambda file: file.write_text(BAD), "1 mistake\n  line 2: scenarios.sale.sources"),
        (lambda file: file.write_bytes(b"a = 1\nb = '\xff'"), "line 2: is not UTF-8"),
        (lambda file: file.write_text(""), "1 mistake\n  is empty; "),
        (lambda file: file.write_text("#" * MAX_FILE_BYTES + "ä"), f"more than {MAX_FILE_BYTES} bytes"),
    ],
)
def test_a_bad_file_at_the_start_stops_it_and_says_why(
    file: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(file)
    with pytest.raises(SettingsError) as caught:
        ScenariosFollower(str(file))
    assert f"FRESHET_SCENARIOS={file}: " in str(caught.value)
    assert said in str(caught.value)


def test_a_mark_at_the_beginning_is_no_mistake(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert Watched(file).sources() == ["trending"]
