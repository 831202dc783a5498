"""What `freshet run` is made of, without running it."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from services.cli.__main__ import main
from services.kernel.event_input import parse_event
from services.kernel.event_type import EventTypes
from services.kernel.item import parse_item
from services.kernel.settings import HttpSettings, catalogue
from services.local.data_dir import DataDir
from services.local.demo_loading import BATCH_RECORDS
from services.local.demo_shop import read_films, read_shop
from services.local.failure import LocalError
from services.local.settings import RunSettings
from services.local.welcome import command, welcome

# A profile remembers this many event ids: what a killed loading sends again must stay below it.
DUPLICATES_REMEMBERED = 128


def test_the_shipped_files_are_small_and_say_their_licence() -> None:
    folder = Path(read_shop.__code__.co_filename).parent / "demo"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3 << 20
    assert "CC0" in (folder / "README.md").read_text()


def test_every_item_and_order_of_the_demo_is_accepted() -> None:
    shop = read_shop()
    now_s = int(time.time())
    items = [parse_item(item) for item in shop.items]
    events = [parse_event(order, now_s * 1000, EventTypes()) for order in shop.orders_until(now_s, 0)]
    films = {film["item_id"] for film in read_films()}
    known = {item.item_id for item in items} - films
    assert len(known) + len(films) == len(items)
    assert all(item.title and item.categories for item in items)
    assert all(item.price for item in items if item.item_id in known)
    assert len({event.event_id for event in events}) == len(events)
    times = [event.timestamp for event in events]
    assert times == sorted(times)
    assert times[-1] == now_s * 1000
    assert {line.item_id for event in events for line in event.items or ()} == known


def test_a_slice_of_the_demo_is_whole() -> None:
    shop = read_shop(50)
    assert len(shop.orders) == 50
    assert {item["item_id"] for item in shop.items} - {film["item_id"] for film in read_films()} == {
        line["item_id"] for order in shop.orders for line in order["items"]
    }
    assert shop.items[-1] in read_films()
    assert [order["event_id"] for order in shop.orders_until(0, 40)] == [
        order["event_id"] for order in shop.orders[40:]
    ]


def test_no_batch_of_the_demo_holds_too_many_orders_of_one_household() -> None:
    users = [order["user_id"] for order in read_shop().orders]
    batches = (users[start : start + BATCH_RECORDS] for start in range(0, len(users), BATCH_RECORDS))
    assert max(max(Counter(batch).values()) for batch in batches) < DUPLICATES_REMEMBERED / 4


def test_one_process_a_directory(tmp_path: Path) -> None:
    with DataDir(tmp_path / "a"):
        with pytest.raises(LocalError, match=r"in use by process \d+"), DataDir(tmp_path / "a"):
            pass
        with DataDir(tmp_path / "b"):
            pass
    with DataDir(tmp_path / "a"):
        pass


def test_what_is_named_stays_and_the_rest_is_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, _, _ in catalogue():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FRESHET_LOG_URL", "kafka://k:9092")
    settings = RunSettings.from_environment()
    placed = settings.placed(DataDir(tmp_path), "unix:///x?db=0")
    assert settings.needs_embedded
    assert (placed.log_url, placed.store_url) == ("kafka://k:9092", "unix:///x?db=0")
    assert placed.release_url == str(tmp_path / "releases")
    monkeypatch.setenv("FRESHET_STORE_URL", "valkey://v")
    assert not RunSettings.from_environment().needs_embedded


def test_settings_are_listed_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, _, _ in catalogue():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FRESHET_KEYS", "geheim")
    monkeypatch.setenv("FRESHET_STORE_URL", "valkey://user:geheim@host:6379/0")
    monkeypatch.setenv("PORT", "9999")
    assert main(["settings", "--json"]) == 0
    listed = capsys.readouterr().out
    assert "geheim" not in listed
    rows = {row["name"]: row for row in json.loads(listed)}
    assert set(rows) == {name for name, _, _ in catalogue()}
    assert (rows["FRESHET_PORT"]["value"], rows["FRESHET_PORT"]["from"]) == (9999, "PORT")
    assert rows["FRESHET_KEYS"]["from"] == "environment"
    assert rows["FRESHET_DEADLINE_MS"]["unit"] == "ms"
    assert main(["settings"]) == 0
    assert "geheim" not in capsys.readouterr().out


def test_the_list_hides_a_password_with_an_at_sign(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRESHET_STORE_URL", "valkey://:ge@heim@store:6379/0")
    assert main(["settings"]) == 0
    listed = capsys.readouterr().out
    assert "store:6379" in listed
    assert "heim" not in listed


def test_an_unknown_setting_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRESHET_PROT", "1")
    assert main(["settings"]) == 1
    assert "FRESHET_PORT" in capsys.readouterr().err


def test_the_welcome_has_keys_and_the_way_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, _, _ in catalogue():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.stderr", _Terminal())
    plain = welcome(HttpSettings.from_environment(), empty=True)
    assert "-H" not in plain
    assert "--url" not in plain
    assert f"  {command()} items import FILE\n" in plain
    assert "another FRESHET_DATA_DIR" in plain, "the way back to the demo shop"
    monkeypatch.setenv("FRESHET_PORT", "8123")
    assert "import FILE --url http://127.0.0.1:8123\n" in welcome(HttpSettings.from_environment(), empty=True)
    monkeypatch.setenv("FRESHET_WRITE_KEYS", "w")
    posting, *reading = _calls(welcome(HttpSettings.from_environment(), empty=False))
    assert "Bearer w'" in posting
    assert not any("Bearer" in call for call in reading)
    monkeypatch.setenv("FRESHET_KEYS", "k")
    assert all("Bearer k'" in call for call in _calls(welcome(HttpSettings.from_environment(), empty=False)))
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert "Bearer KEY'" in welcome(HttpSettings.from_environment(), empty=False), (
        "a log is no place for a key"
    )


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _calls(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("  curl")]


def test_a_command_without_its_second_word_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, told in (([], "freshet items import"), (["release"], "build a day-0 release")):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert told in capsys.readouterr().err
