"""What the Python client tries again and how long it waits: its core, without a network."""

from __future__ import annotations

import pytest

from freshet_client import ApiError, UnreachableError
from freshet_client.flow import Answer, NoAnswer, Pause, Request, answered

REQUEST = Request("GET", "/items/i")


def pauses(told: list[Answer | NoAnswer], patience_s: float = 1e6) -> list[float]:
    """The pauses of a call that hears these answers and then a 200."""
    flow = answered(REQUEST, patience_s)
    assert next(flow) is REQUEST
    found = []
    for one in told:
        pause = flow.send(one)
        assert isinstance(pause, Pause)
        found.append(pause.seconds)
        assert flow.send(None) is REQUEST
    with pytest.raises(StopIteration) as done:
        flow.send(Answer(200, b"{}"))
    assert isinstance(done.value.value, Answer)
    return found


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert len(pauses([Answer(status, b"{}"), NoAnswer("refused")])) == 2


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 413, 422])
def test_what_stays_as_it_is_is_told_at_once(status: int) -> None:
    flow = answered(REQUEST, 1e6)
    next(flow)
    with pytest.raises(ApiError) as raised:
        flow.send(Answer(status, b"<html>no JSON"))
    assert (raised.value.status, raised.value.code) == (status, f"http_{status}")


def test_pauses_double_up_to_a_bound_and_differ_between_clients() -> None:
    found = pauses([NoAnswer("refused")] * 12)
    bounds = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, *[5.0] * 6]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(found, bounds, strict=True))
    assert len(set(found[-6:])) == 6


def test_retry_after_is_never_undercut_and_is_not_waited_for_in_vain() -> None:
    assert pauses([Answer(503, b"{}", retry_after_s=7.0)])[0] > 7.0
    flow = answered(REQUEST, 5.0)
    next(flow)
    with pytest.raises(ApiError, match="log_full: wait"):
        flow.send(Answer(503, b'{"code": "log_full", "detail": "wait"}', retry_after_s=7.0))


def test_without_patience_the_first_failure_is_the_answer() -> None:
    flow = answered(REQUEST, 0.0)
    next(flow)
    with pytest.raises(UnreachableError, match="refused"):
        flow.send(NoAnswer("refused"))
