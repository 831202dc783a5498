"""An evening with the films and serials of the demo: what a viewer sees after each thing they do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.e2e.running import FreshetProcess, becomes, eventually
from tests.e2e.stories import LOGS, Person, codes, ids, on_log
from tests.unit.films import raw_films

METROPOLIS, GENERAL, NOSFERATU = "metropolis", "the-general", "nosferatu"
Line = tuple[str, str, Any]


@pytest.fixture(scope="module", params=LOGS)
def cinema(request: pytest.FixtureRequest) -> Iterator[FreshetProcess]:
    with on_log(request, "--empty") as process:
        status, body = process.call("POST", "/items", raw_films())
        assert status == 202, body
        becomes(lambda: process.get("/items?limit=1")["total"], len(raw_films()))
        becomes(lambda: len(process.recommended("nobody", "n=100")), 33 + 4)  # one of a serial
        yield process


def vampires(number: int) -> str:
    return f"les-vampires-{number:02}"


def continued(viewer: Person, **query: Any) -> list[Line]:
    """Each line with its reason, and how far it has run or what it comes after."""
    return [
        (
            item["item_id"],
            item["reason"]["code"],
            item["reason"].get("progress", item["reason"].get("item_id")),
        )
        for item in viewer.asks("continue_watching", **query)
    ]


def going(item_id: str, progress: float | None = None) -> Line:
    return item_id, "continue_watching", progress


def following(item_id: str, before: str) -> Line:
    return item_id, "next_episode", before


def test_an_evening(cinema: FreshetProcess) -> None:
    viewer = Person(cinema, "irma")
    assert continued(viewer) == []
    viewer.does("video_start", METROPOLIS, progress=0.0)
    assert continued(viewer) == [going(METROPOLIS, 0.0)]
    viewer.does("video_progress", METROPOLIS, progress=0.4)
    viewer.does("view", NOSFERATU)
    assert continued(viewer) == [going(METROPOLIS, 0.4)]
    viewer.does("video_start", vampires(1))
    assert continued(viewer) == [going(vampires(1)), going(METROPOLIS, 0.4)]
    viewer.does("video_complete", vampires(1))
    assert continued(viewer) == [following(vampires(2), vampires(1)), going(METROPOLIS, 0.4)]
    shown = viewer.asks("continue_watching", fields="title")
    assert shown[0]["title"] == "Les Vampires 2: The Ring That Kills"
    assert shown[0]["reason"]["text"] == "Comes after Les Vampires 1: The Severed Head"
    viewer.does("video_progress", vampires(2), progress=0.97)  # the player says no more
    assert continued(viewer)[0] == following(vampires(3), vampires(2))
    viewer.does("video_start", vampires(3), progress=0.0)
    assert continued(viewer)[0] == going(vampires(3), 0.0)
    viewer.does("video_progress", METROPOLIS, progress=0.6)
    assert continued(viewer) == [going(METROPOLIS, 0.6), going(vampires(3), 0.0)]
    viewer.does("dislike", METROPOLIS)
    assert continued(viewer) == [going(vampires(3), 0.0)]
    viewer.does("video_progress", "a lost film", progress=0.5)
    assert continued(viewer) == [going(vampires(3), 0.0)]


def test_the_end_of_a_serial(cinema: FreshetProcess) -> None:
    viewer = Person(cinema, "gene")
    for number in (10, 11, 12):
        viewer.does("video_start", f"phantom-empire-{number}")
        viewer.does("video_complete", f"phantom-empire-{number}")
    assert continued(viewer) == []
    viewer.does("video_progress", "phantom-empire-01", progress=0.3)
    viewer.does("video_complete", "phantom-empire-01")
    assert continued(viewer) == [following("phantom-empire-02", "phantom-empire-01")]


SERIALS = ("fantomas", "les-vampires", "judex", "phantom-empire")


def chapters(items: list[dict[str, Any]]) -> list[str]:
    return sorted(one for one in ids(items) if one.rpartition("-")[0] in SERIALS)


def test_a_serial_is_shown_from_where_its_viewer_is(cinema: FreshetProcess) -> None:
    """Somebody new sees first chapters, a viewer the next; of what is ignored no other chapter comes up."""
    firsts = sorted(f"{serial}-01" for serial in SERIALS)
    viewer = Person(cinema, "musidora")
    assert chapters(viewer.asks("for_you", n=100)) == firsts
    assert set(chapters(viewer.asks("similar", n=100, item_id=METROPOLIS))) <= set(firsts)
    for number in (1, 2):
        viewer.does("video_start", vampires(number))
        viewer.does("video_complete", vampires(number))
    shown = viewer.asks("for_you", n=100)
    assert chapters(shown) == sorted([*firsts[:2], vampires(3), firsts[3]])
    assert continued(viewer)[0] == following(vampires(3), vampires(2))
    assert vampires(3) in ids(viewer.asks("similar", n=100, item_id="fantomas-03"))
    for _ in range(4):
        viewer.does("impression", items=[item["item_id"] for item in shown[:20]])
    assert chapters(viewer.asks("for_you", n=100)) == chapters(shown)
    viewer.does("video_progress", "judex-05", value=0.5)  # in the middle, by a player that says it so
    assert chapters(viewer.asks("for_you", n=100)) == ["fantomas-01", "judex-05", vampires(3), firsts[3]]
    assert going("judex-05", 0.5) in continued(viewer)
    every = viewer.asks("popular", n=100, filter="categories:Serials")
    assert len(chapters(every)) == len(SERIALS)
    body = {
        "user_id": viewer.user_id,
        "series_in_order": False,
        "n": 100,
        "candidates": [vampires(9), vampires(3)],
    }
    status, answer = cinema.call("POST", "/recommend", {**body, "one_per_group": False})
    assert (status, len(answer["items"])) == (200, 2)


def test_a_first_chapter_that_may_not_be_shown_gives_way(cinema: FreshetProcess) -> None:
    viewer = Person(cinema, "newcomer")
    cinema.call("PATCH", "/items/fantomas-01", {"available": False})
    becomes(lambda: chapters(viewer.asks("for_you", n=100))[0], "fantomas-02")
    cinema.call("PATCH", "/items/fantomas-01", {"available": True})
    becomes(lambda: chapters(viewer.asks("for_you", n=100))[0], "fantomas-01")


def test_items_of_a_request_that_are_not_there_are_named(cinema: FreshetProcess) -> None:
    answer = cinema.get("/recommend?scenario=similar&item_id=Metropolis")
    assert [note["problem"] for note in answer["notes"]] == [
        "item_id: no item 'Metropolis' is in the catalogue; did you mean 'metropolis'?"
    ]
    assert answer["items"]
    pins = [{"item": "nosferatu", "slot": 1}, {"item": "nosferatoo", "slot": 2}]
    status, answer = cinema.call("POST", "/recommend", {"pins": pins})
    assert (status, ids(answer["items"])[0]) == (200, "nosferatu")
    assert [(note["field"], note["value"]) for note in answer["notes"]] == [("pins", "nosferatoo")]
    assert "notes" not in cinema.get("/recommend?scenario=similar&item_id=metropolis")


def test_a_player_that_is_late_and_a_film_seen_twice(cinema: FreshetProcess) -> None:
    viewer, now_s = Person(cinema, "buster"), int(time.time())
    viewer.does("video_progress", GENERAL, progress=0.5, timestamp=now_s - 100)
    viewer.does("video_complete", GENERAL, timestamp=now_s - 50)
    viewer.does("video_progress", GENERAL, progress=0.8, timestamp=now_s - 70)
    assert continued(viewer) == []
    viewer.does("video_progress", GENERAL, progress=0.98, timestamp=now_s - 40)
    assert continued(viewer) == []
    viewer.does("video_start", GENERAL, progress=0.0, timestamp=now_s - 20)
    viewer.does("video_progress", GENERAL, progress=0.05, timestamp=now_s - 10)
    assert continued(viewer) == [going(GENERAL, 0.05)]


def test_who_leaves_in_the_credits_is_not_asked_again(cinema: FreshetProcess) -> None:
    """Few players say that a film is complete when its viewer closes them in the credits."""
    viewer = Person(cinema, "mina")
    viewer.does("video_progress", NOSFERATU, progress=0.5)
    assert NOSFERATU in ids(viewer.asks("for_you", n=100))
    viewer.does("video_progress", NOSFERATU, progress=0.96)
    assert NOSFERATU not in ids(viewer.asks("for_you", n=100))
    assert continued(viewer) == []


def test_an_episode_that_is_withdrawn_is_passed_over(cinema: FreshetProcess) -> None:
    viewer = Person(cinema, "judex")
    viewer.does("video_complete", "judex-01")
    assert continued(viewer) == [following("judex-02", "judex-01")]
    cinema.call("PATCH", "/items/judex-02", {"available": False})
    becomes(lambda: continued(viewer), [following("judex-03", "judex-01")])
    cinema.call("PATCH", "/items/judex-02", {"available": True})
    becomes(lambda: continued(viewer), [following("judex-02", "judex-01")])


def test_what_the_log_has_not_seen_yet_is_continued_too(cinema: FreshetProcess) -> None:
    """A visitor without a name, whose player's events are still on their way."""
    recent = [
        {"item_id": vampires(4), "event_type": "video_complete"},
        {"item_id": NOSFERATU, "event_type": "play"},
    ]
    body = {"scenario": "continue_watching", "recent_items": recent}
    status, answer = cinema.call("POST", "/recommend", body)
    assert (status, ids(answer["items"])) == (200, [NOSFERATU, vampires(5)])
    assert codes(answer["items"]) == ["continue_watching", "next_episode"]


def test_what_is_wanted_in_a_category(cinema: FreshetProcess) -> None:
    for number in range(4):
        viewer = Person(cinema, "fan")
        viewer.does("video_start", GENERAL)
        if number:
            viewer.does("video_start", NOSFERATU)
    asked = {"filter": "categories:Films > Horror", "fields": "categories", "n": 7}
    somebody = Person(cinema, "somebody")
    for scenario in ("trending", "popular"):
        horror = eventually(
            partial(somebody.asks, scenario, **asked), lambda found: codes(found)[0] != "catalogue"
        )
        assert (horror[0]["item_id"], codes(horror)[0]) == (NOSFERATU, f"{scenario}_in_category")
        assert horror[0]["reason"]["category"] == "Films > Horror"
        assert "in Horror" in horror[0]["reason"]["text"]
        assert all(item["categories"] == [["Films", "Horror"]] for item in horror)
        assert set(codes(horror)[1:]) <= {"catalogue"}, "nobody watched the others"


def test_new_films_come_first(cinema: FreshetProcess) -> None:
    now_s = int(time.time())
    somebody = Person(cinema, "somebody")
    for item_id, days_ago in ((METROPOLIS, 3), ("sherlock-jr", 1), ("the-kid", 2), ("wings", 500)):
        cinema.call("PATCH", f"/items/{item_id}", {"published_at": now_s - 86_400 * days_ago})
    becomes(lambda: ids(somebody.asks("new_arrivals"))[:4], ["sherlock-jr", "the-kid", METROPOLIS, "wings"])
    assert codes(somebody.asks("new_arrivals"))[:5] == ["new", "new", "new", "catalogue", "catalogue"]
    comedies = somebody.asks("new_arrivals", filter="categories:Films > Comedy")
    assert ids(comedies)[:2] == ["sherlock-jr", "the-kid"]
    cinema.call("PATCH", "/items/safety-last", {"published_at": now_s - 60})
    becomes(lambda: ids(somebody.asks("new_arrivals"))[0], "safety-last")
