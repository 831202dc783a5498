"""`freshet events import` and `freshet items import` into a running Freshet."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import FreshetMaker
from tests.e2e.running import WAIT_S, FreshetProcess, becomes, freshet
from tests.processes import scratch_directory

MAPPING = (
    "--map",
    "user_id=who",
    "--map",
    "item_id=sku",
    "--set",
    "event_type=view",
    "--timestamp-unit",
    "s",
)


@pytest.fixture(scope="module")
def shop() -> Iterator[FreshetProcess]:
    """One empty Freshet for all tests here; each uses users and items of its own."""

    with (
        scratch_directory("import") as directory,
        FreshetProcess(Path(directory), ["--empty"], {}) as process,
    ):
        process.start()
        yield process


def counted(process: FreshetProcess, users: list[str]) -> dict[str, int]:
    found = {}
    for user in users:
        status, body = process.call("GET", f"/users/{user}/profile")
        found[user] = body["events"] if status == 200 else 0
    return found


def write_csv(path: Path, rows: list[tuple[str, str, int]]) -> Path:
    path.write_text("who,sku,timestamp\n" + "".join(f"{who},{sku},{at}\n" for who, sku, at in rows))
    return path


def history(prefix: str, count: int, seed: int) -> list[tuple[str, str, int]]:
    """Rows in time order; a few users have most of them, as in life."""
    chance = random.Random(seed)
    users = [f"{prefix}{min(int(chance.paretovariate(0.6)), 30)}" for _ in range(count)]
    return [(user, f"i{chance.randrange(200)}", 1_600_000_000 + row) for row, user in enumerate(users)]


def test_killed_in_the_middle_and_run_again(shop: FreshetProcess, tmp_path: Path) -> None:
    """However often it is killed, each row counts once and no user's rows overtake each other."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    rows = history("kill", 20_000, seed)
    path = write_csv(tmp_path / "events.csv", rows)
    command = [*freshet(), "events", "import", str(path), *MAPPING, "--json"]
    for _ in range(6):
        importing = subprocess.Popen(
            command, env=shop.variables, cwd=shop.directory, stdout=subprocess.DEVNULL
        )
        time.sleep(0.3 + chance.random())
        importing.send_signal(signal.SIGKILL)
        importing.wait()
    finished = shop.command(*command[len(freshet()) :])
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout)
    assert (result["accepted"], result["rejected"]) == (20_000, 0)
    expected = Counter(user for user, _, _ in rows)
    becomes(lambda: counted(shop, list(expected)), dict(expected))
    for user in list(expected)[:10]:
        recent = shop.get(f"/users/{user}/profile")["recent"]
        times = [entry["timestamp"] for entry in recent]
        assert times == sorted(times, reverse=times[0] > times[-1])
    again = shop.command(*command[len(freshet()) : -1])
    assert again.stdout.startswith("0 events accepted")
    assert "20,000 rows; --restart" in again.stderr
    assert counted(shop, list(expected)) == dict(expected)


def test_a_file_that_grew_brings_only_its_new_rows(shop: FreshetProcess, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "events.csv", [("grow", f"g{n}", n + 1) for n in range(500)])
    command = ["events", "import", str(path), *MAPPING, "--json"]
    assert json.loads(shop.command(*command).stdout)["rows_this_run"] == 500
    with path.open("a") as file:
        file.writelines(f"grow,g{n},{n + 1}\n" for n in range(500, 700))
    assert json.loads(shop.command(*command).stdout)["accepted_this_run"] == 200
    becomes(lambda: counted(shop, ["grow"]), {"grow": 700})


def test_the_server_goes_away_in_the_middle(freshet_process: FreshetMaker, tmp_path: Path) -> None:
    """The import waits for it, and nothing is lost or doubled."""
    process = freshet_process("--empty")
    process.start()
    rows = history("away", 20_000, 7)
    path = write_csv(tmp_path / "events.csv", rows)
    importing = subprocess.Popen(
        [*freshet(), "events", "import", str(path), *MAPPING, "--json"],
        env=process.variables,
        cwd=process.directory,
        stdout=subprocess.PIPE,
    )
    with importing:
        time.sleep(1.0)
        process.restart()
        out, _ = importing.communicate(timeout=10 * WAIT_S)
    assert json.loads(out)["accepted"] == 20_000
    expected = Counter(user for user, _, _ in rows)
    becomes(lambda: counted(process, list(expected)), dict(expected))


def test_every_format_and_standard_input(shop: FreshetProcess, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [{"user_id": "fmt", "event_type": "view", "item_id": f"f{n}"} for n in range(3)]
    ndjson = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "a.ndjson").write_text(ndjson)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(("\n" + ndjson).encode()))
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "c.parquet")
    for name in ("a.ndjson", "b.jsonl.gz", "c.parquet"):
        done = shop.command("events", "import", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("3 events accepted")
    piped = shop.command("events", "import", "-", "--format", "ndjson", stdin="\n\n" + ndjson)
    assert piped.returncode == 0, piped.stderr
    becomes(lambda: counted(shop, ["fmt"]), {"fmt": 12})


def test_reasons_that_cannot_be_kept_or_are_gone_are_told(shop: FreshetProcess, tmp_path: Path) -> None:
    path, listed = write_csv(tmp_path / "events.csv", [("gone", "i", 1)]), tmp_path / "rejects.ndjson"
    command = ("events", "import", str(path), *MAPPING, "--set", "price=cheap", "--rejects")
    refused = shop.command(*command, str(tmp_path))
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
    assert f"--rejects: {tmp_path} cannot be written" in refused.stderr
    assert "row 1: price is 'cheap'" in shop.command(*command, str(listed)).stderr
    listed.unlink()
    again = shop.command(*command, str(listed))
    assert again.returncode == 3
    assert f"{listed}, which said why, is gone" in again.stderr


def test_rejected_rows_are_listed_with_reasons(shop: FreshetProcess, tmp_path: Path) -> None:
    good = [{"user_id": "rej", "event_type": "view", "item_id": f"r{n}"} for n in range(200)]
    lines: list[Any] = [json.dumps(event) for event in good]
    lines[10] = '{"user_id": "rej", "event_type": "veiw", "item_id": "x"}'
    lines[20] = "{broken"
    lines[30] = json.dumps(
        {"user_id": "rej", "event_type": "view", "item_id": "x", "timestamp": 4_000_000_000}
    )
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join(lines))
    listed = tmp_path / "rejects.ndjson"
    done = shop.command("events", "import", str(path), "--rejects", str(listed), "--json")
    assert done.returncode == 3
    result = json.loads(done.stdout)
    assert (result["accepted"], result["rejected"]) == (197, 3)
    found = {entry["row"]: entry for entry in map(json.loads, listed.read_text().splitlines())}
    assert {row: entry["code"] for row, entry in found.items()} == {
        11: "unknown_event_type",
        21: "unreadable_row",
        31: "timestamp_in_future",
    }
    assert "view" in found[11]["error"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["events", "import", "absent.csv"], "no such file"),
        (["events", "import", "{file}"], "--map user_id="),
        (["items", "import", "{file}", "--replace"], "--map item_id="),
        (["events"], "import events from CSV"),
        (["events", "import", "{file}", "--map", "item_id=nothing"], "who, sku"),
        (
            ["events", "import", "{file}", *MAPPING, "--url", "http://127.0.0.1:1", "--patience-s", "0"],
            "FRESHET_PORT",
        ),
        (
            ["events", "import", "{file}", *MAPPING, "--url", "http://127.0.0.1:1", "--patience-s", "0.3"],
            "waiting for it, 0.3 s at most",
        ),
        (
            ["items", "import", "{file}", "--map", "item_id=sku", "--map", "titel=who"],
            "did you mean 'title'?",
        ),
        (["events", "import", "{file}", *MAPPING, "--url", "localhost", "--patience-s", "0"], "http://"),
        (["items", "import", "{file}", "--force"], "--replace"),
        (
            ["items", "import", "{file}", "--dry-run", "--map", "item_id=sku", "--map", "price=who"],
            "row 1: price",
        ),
        (["events", "import", "{file}", "--dry-run", *MAPPING, "--map", "quantity=sku"], "row 1: quantity"),
        (["items", "import", "{file}", "--map", "sku"], "name=value"),
    ],
)
def test_a_users_mistake_is_a_sentence(
    shop: FreshetProcess, tmp_path: Path, arguments: list[str], told: str
) -> None:
    path = write_csv(tmp_path / "events.csv", [("u", "i", 1)])
    done = shop.command(*(argument.format(file=path) for argument in arguments))
    assert done.returncode in {1, 2}
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "what was sent is kept" not in done.stderr, "nothing was"


def test_a_dry_run_sends_nothing(shop: FreshetProcess, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "events.csv", [("dry", "i", 1)])
    done = shop.command("events", "import", str(path), *MAPPING, "--dry-run")
    assert json.loads(done.stdout) == [
        {"user_id": "dry", "item_id": "i", "timestamp": "1970-01-01T00:00:01+00:00", "event_type": "view"}
    ]
    assert counted(shop, ["dry"]) == {"dry": 0}


def test_a_catalogue_is_replaced_but_not_by_a_stump(freshet_process: FreshetMaker, tmp_path: Path) -> None:
    process = freshet_process("--empty")
    process.start()
    path = tmp_path / "items.csv"

    def put(count: int, *flags: str, own: str = "colour,size") -> subprocess.CompletedProcess[str]:
        rows = "".join(f"gid://p/{n},Item {n},A > B|C,{n}.50,blue,5\n" for n in range(count))
        path.write_text(f"sku,title,categories,price,{own}\n" + rows)
        return process.command("items", "import", str(path), "--map", "item_id=sku", "--json", *flags)

    def shown() -> int:
        return sum(item.get("available", True) for item in process.get("/items?limit=200")["items"])

    first = put(100)
    assert json.loads(first.stdout)["accepted"] == 100, first.stderr
    becomes(shown, 100)
    item = process.get("/items/gid:%2F%2Fp%2F7")
    assert item["categories"] == [["A", "B"], ["C"]]
    assert item["properties"] == {"colour": "blue", "size": "5"}
    assert item["price"] == 7.5
    assert json.loads(put(90, "--replace").stdout)["hidden"] == 10
    becomes(shown, 90)
    refused = put(10, "--replace")
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert "what was sent" not in refused.stderr
    assert shown() == 90
    assert json.loads(put(10, "--replace", "--force").stdout)["hidden"] == 80
    becomes(shown, 10)
    assert json.loads(put(100, "--replace").stdout)["hidden"] == 0
    becomes(shown, 100)
    # Refused for another cell, but in the file: nothing that the file has is hidden.
    done = put(100, "--replace", own="colour,colour.size")
    assert (done.returncode, json.loads(done.stdout)["hidden"]) == (3, 0), done.stderr
    assert shown() == 100
    # A row that nobody can read may be of any item.
    broken = path.read_bytes().replace(b"Item 42", b"Item \xff42")
    path.write_bytes(broken)
    replace = ("items", "import", str(path), "--map", "item_id=sku", "--replace")
    done = process.command(*replace)
    assert (done.returncode, shown()) == (1, 100)
    assert "rows that cannot be read: 1;" in done.stderr
