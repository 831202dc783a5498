"""`freshet events export` beside a running Freshet: what was imported comes back, each event once."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from services.kernel.event_type import EventTypes
from services.trainer.archive_place import open_archive_place
from services.trainer.events import EventTable, read_events
from tests.e2e.conftest import FreshetMaker
from tests.e2e.running import freshet
from tests.unit.archive_log import archived


def test_imported_exported_read_back(freshet_process: FreshetMaker, tmp_path: Path) -> None:
    process = freshet_process("--empty")
    process.start()
    rows = [
        {"event_id": f"e{n}", "user_id": f"u{n % 50}", "event_type": "view", "item_id": f"gid://i/{n % 90}",
         "value": n / 4, "timestamp": 1_700_000_000 + n // 3}
        for n in range(9_000)
    ]  # fmt: skip
    path = tmp_path / "events.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert process.command("events", "import", str(path)).returncode == 0
    archive = tmp_path / "archive"
    killed = subprocess.Popen(
        [*freshet(), "events", "export", "--to", str(archive), "--json"],
        env=process.variables,
        cwd=process.directory,
        stdout=subprocess.DEVNULL,
    )
    time.sleep(0.7)  # anywhere: the result must not depend on it
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = process.command("events", "export", "--to", str(archive), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["archive_events"] == 9_000
    direct = read_events(str(path), event_types=EventTypes())
    back = read_events(str(archive), event_types=EventTypes())
    assert back.times_s.tolist() == direct.times_s.tolist()
    assert lines(back) == lines(direct)
    assert process.call("DELETE", "/users/u7")[0] == 202
    told = process.command("events", "export", "--to", str(archive))
    assert told.returncode == 0, told.stderr
    assert "1 user deletion honoured, 180 events removed" in told.stdout
    assert "u7" not in {event.subject for event in archived(open_archive_place(str(archive))).values()}
    process.stop()
    alone = process.command("events", "export", "--to", str(archive), "--json")  # starts the log for itself
    assert json.loads(alone.stdout)["events"] == 0, alone.stderr


def lines(table: EventTable) -> list[tuple[str, str, int, float, int]]:
    """The rows as plain values, ties in the order of the users."""
    return sorted(
        (table.subject_ids[s], table.item_ids[i], int(t), float(v), int(time_s))
        for s, i, t, v, time_s in zip(
            table.subjects, table.items, table.types, table.values, table.times_s, strict=True
        )
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [([], "--to"), (["--to", "nosuch://x"], "nosuch"), (["--to", "{data}/x"], "freshet run")],
)
def test_a_users_mistake_is_a_sentence(
    freshet_process: FreshetMaker, tmp_path: Path, arguments: list[str], told: str
) -> None:
    process = freshet_process("--empty")
    done = process.command("events", "export", *(text.format(data=tmp_path) for text in arguments))
    assert done.returncode in {1, 2}
    assert told in done.stderr
    assert "Traceback" not in done.stderr
