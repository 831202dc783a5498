"""`freshet cost` as it is typed: what it reads, prints and refuses."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.cli.__main__ import main
from services.cli.failure import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from services.kernel.event import Event
from services.kernel.position import Position
from services.trainer.archive import Archive
from services.trainer.archive_place import open_archive_place
from services.trainer.archive_rows import SCHEMA, batch_of
from services.trainer.forgetting import write_part

FIRST_S = 1_700_000_000
HOURLY_S = [FIRST_S + 3600 * hour for hour in range(72)]


def ran(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> Any:
    """What the command prints as JSON."""
    assert main(["cost", *arguments, "--json"]) == EXIT_OK
    return json.loads(capsys.readouterr().out)


def choice_of(report: dict[str, Any], service: str, name: str) -> dict[str, Any]:
    services = {one["service"]: one for one in report["scales"][0]["services"]}
    found: dict[str, Any] = next(one for one in services[service]["choices"] if one["name"] == name)
    return found


def written(folder: Path, name: str) -> str:
    """72 hourly arrivals as a file of that kind."""
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"timestamp": pa.array(HOURLY_S, pa.int64())}), path)
    elif ".csv" in name:
        text = "timestamp,path\n" + "".join(f"{time},/\n" for time in HOURLY_S)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    else:
        path.write_text("".join(json.dumps({"timestamp": time}) + "\n" for time in HOURLY_S))
    return str(path)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.ndjson", "a.parquet"])
def test_a_file_of_any_kind_is_read(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = ran(capsys, ["--trace", written(tmp_path, name)])
    assert report["trace"]["rows"] == 72
    assert report["trace"]["rows_a_day"] == pytest.approx(24)
    to_zero = choice_of(report, "recommender", "Knative, to zero")
    assert to_zero["cold_starts_a_day"] == pytest.approx(24)
    assert to_zero["cold_share"] == 1
    assert [one["service"] for one in report["scales"][0]["services"]] == [
        "ingest",
        "recommender",
        "profiler",
    ]


def test_an_archive_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = Archive(open_archive_place(str(tmp_path)))
    events = [
        Event(event_id=f"e{at}", event_type="view", timestamp=time * 1000, received_at=1, user_id="u")
        for at, time in enumerate(HOURLY_S)
    ]
    positions = [Position(1, 0, at) for at in range(len(events))]
    rows = pa.Table.from_batches([batch_of(events, positions)], SCHEMA)
    archive.manifest.parts.append(write_part(archive, rows))
    archive.save()
    assert ran(capsys, ["--trace", str(tmp_path)])["trace"]["rows"] == 72


def test_columns_have_other_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.ndjson"
    path.write_text(
        "".join(json.dumps({"at": time * 1000}) + "\n" for time in HOURLY_S) + '{"at": "never"}\n'
    )
    assert ran(capsys, ["--trace", str(path), "--map", "timestamp=at"])["trace"]["rows"] == 72
    assert main(["cost", "--trace", str(path)]) == EXIT_FAILED
    assert "--map timestamp=" in capsys.readouterr().err


def test_the_demo_shop_is_the_default_and_a_table_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--scale", "200", "--services", "recommender"]) == EXIT_OK
    printed = capsys.readouterr().out
    assert "37,554 arrivals" in printed
    assert "a visit of 10 requests" in printed
    assert "on a cluster: Knative, to zero saves" in printed
    assert "wait for a start" in printed


def test_several_rates_are_a_table_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "cost.svg"
    arguments = ["cost", "--scale", "50,500", "--services", "recommender,profiler"]
    assert main([*arguments, "--plot", str(picture)]) == EXIT_OK
    printed = capsys.readouterr().out
    assert "50/day" in printed
    assert "KEDA pull, to zero" in printed
    first = picture.read_bytes()
    assert b"requests a day" in first
    assert main([*arguments, "--plot", str(picture)]) == EXIT_OK
    assert picture.read_bytes() == first, "the same seed draws the same file"


def test_prices_and_figures_are_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--scale", "200", "--services", "recommender"]
    one, other = (ran(capsys, [*base, *more]) for more in ([], ["--price-cpu-s", "48e-6", "--vcpu", "2"]))
    name = "Cloud Run by request, to zero"
    assert (
        choice_of(other, "recommender", name)["usd_a_month"]
        > 3 * choice_of(one, "recommender", name)["usd_a_month"] - 0.1
    )
    slow = ran(capsys, [*base, "--figure", "recommender.start_ms=30000"])
    assert choice_of(slow, "recommender", name)["p99_9_ms"] > 30_000
    assert "recommender.start_ms" not in slow["unsettled_figures"]
    assert choice_of(one, "recommender", "Knative, to zero")["usd_a_month"] is None


def test_the_figures_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    figures = ran(capsys, ["--figures"])
    assert figures["recommender.p50_ms"]["by"] == "make bench-cost ARGS=--measure"
    assert main(["cost", "--figures"]) == EXIT_OK
    assert "price.request.cpu_s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--figure", "recommender.start=1"], "recommender.start_ms"),
        (["--figure", "recommender.start_ms=fast"], "NAME=VALUE"),
        (["--trace", "nowhere.csv"], "no such file"),
        (["--scale", "1e9"], "--scale"),
        (["--plot", "cost.pdf"], ".svg"),
        (["--plot", "nowhere/cost.svg"], "no directory"),
        (["--figure", "ingest.p99_ms=0"], "p99_ms"),
    ],
)
def test_a_refusal_says_what_to_change(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cost", *arguments]) == EXIT_FAILED
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--scale", "0"], ["--services", "trainer"], ["--utilisation", "1.5"], ["--streams", "-1"]]
)
def test_wrong_usage_is_told_by_the_parser(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cost", *arguments])
    assert ended.value.code == EXIT_USAGE
