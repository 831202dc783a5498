"""What `freshet doctor` concludes from clocks, memory and what a recommender says of its file."""

from __future__ import annotations

from typing import Any

import pytest

from services.cli.doctor_clock import CLOCK_WARN_MS, ahead_of_date_ms, clock_finding
from services.cli.doctor_memory import memory_findings
from services.cli.doctor_server import scenario_findings
from services.store.checks import Memory, parse_memory

NOON_MS = 1_700_000_000_000.0


@pytest.mark.parametrize(
    ("drift_ms", "least_ms"),
    [(0, 0), (1_900, 0), (5_000, 3_000), (3_600_000, 3_598_000), (-1_500, -1_000), (-60_000, -59_000)],
)
def test_a_date_header_shows_no_more_drift_than_there_is(drift_ms: float, least_ms: float) -> None:
    """`drift_ms`: by how much this machine is ahead. The header may be two seconds old, and is never new."""
    for age_ms in (0.0, 500.0, 1_999.0):
        date_ms = (NOON_MS - age_ms) // 1000 * 1000
        sent_ms = NOON_MS + drift_ms
        found_ms = ahead_of_date_ms(sent_ms, sent_ms + 20, date_ms)
        assert abs(found_ms) <= abs(drift_ms) + 20 if drift_ms < 0 else 0 <= found_ms <= drift_ms
        assert abs(found_ms) >= abs(least_ms) - 20 if drift_ms > 0 else found_ms <= 0
    assert ahead_of_date_ms(NOON_MS - 60_000, NOON_MS - 59_980, NOON_MS) == -59_980


def test_a_clock_is_told_from_a_second_on_with_what_mends_it() -> None:
    fine = clock_finding("this machine", "store", CLOCK_WARN_MS - 1)
    assert (fine.level, fine.text) == ("ok", "this machine is 999 ms ahead of the store")
    late = clock_finding("this machine", "server", -1_500, at_least=True)
    assert (late.level, late.text) == ("warn", "this machine is at least 1,500 ms behind the server")
    assert "NTP" in late.mend
    assert "more than 5 minutes ahead of ingest's clock are rejected" in late.mend
    assert late.details == {"clock": "this machine", "of": "server", "ahead_ms": -1500, "at_least": True}


@pytest.mark.parametrize(
    ("problem", "warnings", "level"),
    [
        (None, [], "ok"),
        (None, [{"where": "scenarios.sale.pin", "message": "p_1 is in no catalogue"}], "warn"),
        ("line 2: 'trendign' is no source", [], "fail"),
    ],
)
def test_a_scenario_file_that_is_not_in_use_is_a_failure(
    problem: str | None, warnings: list[dict[str, Any]], level: str
) -> None:
    body = {"file": {"path": "s.toml", "version": "ab12", "problem": problem}, "warnings": warnings}
    (finding,) = scenario_findings(body)
    assert finding.level == level
    assert (problem or (warnings[0]["message"] if warnings else "version ab12")) in finding.text
    assert ("freshet scenarios check s.toml" in finding.mend) == (level != "ok")
    assert scenario_findings({"file": None, "warnings": warnings}) == []


def test_a_store_without_room_is_told_before_it_refuses() -> None:
    told = b"# Memory\r\nused_memory:951\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\n"
    assert parse_memory(told) == Memory(951, 1000)
    assert parse_memory(b"# Memory\r\n") is None, "a managed server need not tell"
    nodes = [Memory(10**9, 0), Memory(899, 1000), Memory(951, 1000), Memory(1000, 1000)]
    found = list(memory_findings(nodes))
    assert [(one.level, one.details["used_bytes"]) for one in found] == [("warn", 951), ("fail", 1000)]
    assert all("raise maxmemory" in one.mend for one in found)
