"""Bodies that are nested deeply are refused with a reason, whatever part of them is."""

from __future__ import annotations

import asyncio
import sys

import pytest

from services.kernel.problem import ProblemError
from services.recommender.parse_batch import from_batch
from services.recommender.parse_query import from_body
from services.recommender.routes import read_beside
from services.recommender.settings import RecommenderSettings
from services.recommender.state import State


def nested(depth: int, opened: str, closed: str) -> str:
    return opened * depth + "1" + closed * depth


@pytest.mark.parametrize(
    "body",
    [
        '{"filter": %s}',
        '{"boosts": [{"by": 1, "filter": %s}]}',
        '{"relax": [%s]}',
        '{"scenario": %s}',
        '{"rows": [{"caps": [{"field": %s, "most": 1}]}]}',
    ],
)
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"not": ', "}")])
def test_a_deep_body_is_the_clients_mistake(body: str, opened: str, closed: str) -> None:
    async def refusals() -> set[int]:
        state = State(RecommenderSettings())
        found = set()
        try:
            # Up to what the JSON reader refuses by itself, in steps that meet each limit on the way.
            for depth in range(100, sys.getrecursionlimit() + 100, 20):
                raw = (body % nested(depth, opened, closed)).encode()
                with pytest.raises(ProblemError) as refused:
                    await read_beside(from_body, raw, state)
                found.add(refused.value.problem.status)
                with pytest.raises(ProblemError):
                    await read_beside(from_batch, b'{"user_ids": ["u"], ' + raw[1:], state)
        finally:
            await state.connection.close()
        return found

    assert asyncio.run(refusals()) == {400, 422}
