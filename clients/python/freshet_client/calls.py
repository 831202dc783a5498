"""Every call as a flow: its path, its body, how its answer is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, cast
from urllib.parse import quote

from freshet_client.answers import ItemPage, Page, Profile, Recommendations
from freshet_client.entries import EVENTS, ITEMS, Kind, send, to_json
from freshet_client.errors import RejectedError
from freshet_client.flow import Answer, Flow, Request, answered, read
from freshet_client.question import BatchUser
from freshet_client.sent import Accepted, Sent

BATCH_USERS: Final = 1000  # what POST /recommend/batch takes


def send_one(kind: Kind, entry: Mapping[str, Any], patience_s: float) -> Flow[Accepted]:
    """Raises RejectedError, UnsentError."""
    sent = yield from send(kind, [entry], patience_s)
    if sent.rejected:
        why = sent.rejected[0]
        raise RejectedError(422, {"status": 422, "code": why.code, "detail": why.error})
    return sent.accepted[0]


def send_events(events: Iterable[Mapping[str, Any]], patience_s: float) -> Flow[Sent]:
    """Raises UnsentError."""
    return send(EVENTS, events, patience_s)


def import_items(items: Iterable[Mapping[str, Any]], patience_s: float) -> Flow[Sent]:
    """Raises UnsentError."""
    return send(ITEMS, items, patience_s)


def write(method: str, kind: str, entry_id: str, body: object, patience_s: float) -> Flow[Accepted]:
    """PUT, PATCH or DELETE of one thing. Raises ApiError, UnreachableError."""
    content = None if method == "DELETE" else to_json(body)
    path = f"/{kind}/{_quoted(entry_id)}"
    members = yield from read(Request(method, path, content, to="ingest"), patience_s)
    return Accepted(entry_id, str(members["position"]), entry_id)


def get_item(item_id: str, patience_s: float) -> Flow[dict[str, Any]]:
    """Raises ApiError (`unknown_item`)."""
    return read(Request("GET", f"/items/{_quoted(item_id)}"), patience_s)


def list_items(query: Mapping[str, str | int | None], patience_s: float) -> Flow[ItemPage]:
    """One page of the catalogue."""
    given = {name: str(value) for name, value in query.items() if value is not None}
    return cast(Flow[ItemPage], read(Request("GET", "/items", query=given), patience_s))


def profile(user_id: str, patience_s: float) -> Flow[Profile]:
    """Readable."""
    return cast(Flow[Profile], read(Request("GET", f"/users/{_quoted(user_id)}/profile"), patience_s))


def export(user_id: str, patience_s: float) -> Flow[dict[str, Any]]:
    """All that is stored."""
    return read(Request("GET", f"/users/{_quoted(user_id)}/export"), patience_s)


def recommend(user_id: str | None, question: Mapping[str, Any], patience_s: float) -> Flow[Recommendations]:
    """One list."""
    request = Request("POST", "/recommend", to_json(_asked(user_id, question)))
    return cast(Flow[Recommendations], read(request, patience_s))


def recommend_page(
    user_id: str | None, rows: Iterable[Mapping[str, Any]], question: Mapping[str, Any], patience_s: float
) -> Flow[Page]:
    """Several lists."""
    body = {**_asked(user_id, question), "rows": list(rows)}
    return cast(Flow[Page], read(Request("POST", "/recommend", to_json(body)), patience_s))


def batches(
    users: Iterable[str | BatchUser], question: Mapping[str, Any], patience_s: float
) -> Iterator[Flow[Answer]]:
    """The calls that it takes, each to a stream that is open."""
    each = iter(users)
    while some := list(islice(each, BATCH_USERS)):
        entries = [{"user_id": one} if isinstance(one, str) else one for one in some]
        body = to_json({**question, "users": entries})
        yield answered(Request("POST", "/recommend/batch", body, stream=True), patience_s)


def _asked(user_id: str | None, question: Mapping[str, Any]) -> dict[str, Any]:
    asked = {**question, "user_id": user_id}
    after = asked.pop("after", None)
    if isinstance(after, Sent):
        after = after.position_of(str(user_id or question.get("anonymous_id")))
    elif isinstance(after, Accepted):
        after = after.position
    return {name: value for name, value in {**asked, "after": after}.items() if value is not None}


def _quoted(entry_id: str) -> str:
    return quote(entry_id, safe="")
