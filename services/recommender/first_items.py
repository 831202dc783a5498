"""The part of the catalogue that answers need before the whole of it is here.

Loading 100,000 items takes a second of a core; a service that was woken by a request has a tenth of that.
Until the whole catalogue is loaded, each answer has the few hundred items fetched that it is made of.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import numpy as np

from services.kernel.event import PoisonError
from services.kernel.ids import item_key
from services.kernel.profile import Profile
from services.ranking.aggregates import Aggregates
from services.ranking.catalogue import Catalogue
from services.ranking.gather import rows_read, sources_of
from services.ranking.model import ModelAnswer, OnnxModel
from services.ranking.ranked import FOLLOWED_ITEMS, FOLLOWERS, NETWORK_CANDIDATES
from services.ranking.state import RankRequest
from services.store.catalogue import CatalogueReader

log = logging.getLogger(__name__)

# The best of trending and popular, which every list may be filled from: twice the longest list.
SEEDS: Final = 400
NEIGHBOURS_KEPT: Final = 64  # of an item: all that its co-visitation row holds
# What answers ask for during a second or two; a tenth of what the whole would be, whatever happens.
KEYS_MAX: Final = 20_000


class FirstItems:
    """Fills `catalogue` with what is wanted. Items are as they were when fetched.

    `model` is that of the release to which the catalogue is bound: whoever binds another one sets it, None
    where the release was withdrawn.
    """

    def __init__(self, reader: CatalogueReader, epoch: int, catalogue: Catalogue, model: OnnxModel) -> None:
        self._reader = reader
        self._epoch = epoch
        self._asked: set[int] = set()
        self.catalogue = catalogue
        self.model: OnnxModel | None = model

    async def seed(self, aggregates: Aggregates) -> None:
        """Fetch what everybody wants, or, where nobody wanted anything yet, the release's first items. Raises
        StoreError.
        """
        self.catalogue.whole_size = await self._reader.count(self._epoch)
        keys = dict.fromkeys([*aggregates.popular.top(SEEDS), *aggregates.trending.top(SEEDS)])
        if len(keys) < SEEDS and self.model is not None:
            keys |= dict.fromkeys(self.model.release.item_keys[:SEEDS].tolist())
        await self.want(keys)

    async def want(self, keys: Iterable[int]) -> None:
        """Have the items with these keys here, as far as there are any. Raises StoreError."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._asked]
        missing = missing[: max(0, KEYS_MAX - len(self._asked))]
        if not missing:
            return
        ids = await self._reader.item_ids(self._epoch, missing)
        for raw in await self._reader.items(self._epoch, list(ids.values())):
            if raw is not None:
                try:
                    self.catalogue.take(raw)
                except PoisonError as error:
                    log.warning("an item in the store cannot be read and is left out: %s", error)
        self._asked.update(missing)  # not before: who asks meanwhile must not find it missing

    async def want_for(
        self,
        profile: Profile | None,
        requests: Iterable[RankRequest],
        answers: Iterable[ModelAnswer],
        aggregates: Aggregates,
    ) -> None:
        """Have the items here that these lists are made of. Raises StoreError."""
        keys: dict[int, None] = {}
        latest: list[int] = []
        if profile is not None:
            latest = list(dict.fromkeys(profile.ring["item"][::-1].tolist()))
            keys |= dict.fromkeys(latest)
        asked = [item_key(request.item_id) for request in requests if request.item_id is not None]
        keys |= dict.fromkeys(asked)
        for key in {key for request in requests for key in rows_read(profile, request)}:
            row = aggregates.neighbours.get(key)
            if row is not None:
                keys |= dict.fromkeys(row.top(NEIGHBOURS_KEPT))
        for request in requests:
            keys |= dict.fromkeys(map(item_key, request.candidates or ()))
        keys |= dict.fromkeys(self._from_release(latest, answers))
        await self.want(keys)
        similar = [request for request in requests if "similar" in sources_of(request)]
        if similar:  # what is nearest is known once the item itself is here
            await self.want(self._nearest_to(asked or latest[:1]))

    def _from_release(self, latest: list[int], answers: Iterable[ModelAnswer]) -> list[int]:
        """Keys of what the model found and of what came after and before the last items."""
        if self.model is None:
            return []
        release, ranker = self.model.release, self.model.ranker
        found = [answer.item_indices[:NETWORK_CANDIDATES] for answer in answers]
        if found and ranker is not None:
            indices = [release.index_of(key) for key in latest[:FOLLOWED_ITEMS]]
            for table in ranker.tables:
                if table is not None:
                    found += [table.row(index, FOLLOWERS).astype(np.int64) for index in indices]
        if not found:
            return []
        keys: list[int] = release.item_keys[sorted(set(np.concatenate(found).tolist()))].tolist()
        return keys

    def _nearest_to(self, keys: list[int]) -> list[int]:
        catalogue, release = self.catalogue, self.catalogue.release
        if release is None:
            return []
        rows = [row for key in keys if (row := catalogue.row_of_key(key)) >= 0]
        found = [catalogue.nearest_indices(row) for row in rows]
        nearest: list[int] = release.item_keys[np.concatenate(found)].tolist() if found else []
        return nearest
