"""All that the recommender holds while it runs, started and stopped as one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress

from services.http.start import Start
from services.kernel.event_type import EventTypes
from services.kernel.metrics import (
    CATALOGUE_ITEMS,
    RECOMMEND_STREAMS,
    RELEASE_INFO,
    RELEASE_LOADS,
    SCENARIO_INFO,
    SCENARIO_LOADS,
    SCENARIO_OK,
    InUse,
    Metrics,
)
from services.kernel.tracing import Tracer
from services.ranking.catalogue import Binding, Catalogue
from services.ranking.scenario import Scenario
from services.ranking.scenario_warnings import columns_to_make
from services.ranking.state import RankingState
from services.recommender.follow_aggregates import AggregatesFollower
from services.recommender.follow_catalogue import CatalogueFollower
from services.recommender.follow_release import ReleaseFollower, Serving
from services.recommender.follow_scenarios import ScenariosFollower, have_columns
from services.recommender.freshness import FreshReader
from services.recommender.item_names import ItemNames
from services.recommender.live_epoch import LiveEpoch
from services.recommender.profiles import ProfileReader
from services.recommender.settings import RecommenderSettings
from services.recommender.tally import Tally
from services.recommender.turns import Turns
from services.release.files import Release
from services.release.source import ReleaseSource
from services.store.aggregates import AggregateReader
from services.store.catalogue import CatalogueReader
from services.store.connection import Connection, connect
from services.store.errors import StoreError
from services.store.meta import MetaStore
from services.store.profiles import ProfileStore
from services.store.trigger import Trigger

log = logging.getLogger(__name__)

# A store that answers no ping within this is not ready; /readyz itself must answer in 100 ms.
PING_S = 0.06


class State:
    """The recommender's parts. `async with state:` starts what follows the store and the releases.
    Raises SettingsError for a scenario file that is missing or wrong.

    With a `connection` given (one process for all services) that one is shared and not closed here.
    """

    def __init__(
        self,
        settings: RecommenderSettings,
        *,
        connection: Connection | None = None,
        metrics: Metrics | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.settings = settings
        self.tracer = tracer
        self.metrics = metrics or Metrics()
        self.start = Start(self.metrics, "recommender")
        self.tally = Tally(self.metrics, self.start)
        self._own_connection = connection is None
        self.connection = connection if connection is not None else connect(settings)
        self.types = EventTypes(settings.event_types)  # until a release brings weights of its own
        self.ttl_ms = settings.profile_ttl_days * 86_400_000
        self.live = LiveEpoch(MetaStore(self.connection))
        aggregate_reader = AggregateReader(self.connection)
        self.catalogue_reader = CatalogueReader(self.connection)
        profile_store = ProfileStore(self.connection)
        self.trigger = Trigger(self.connection)
        self.releases = ReleaseFollower(
            ReleaseSource(settings.release_url, settings.cache_dir),
            settings.release_poll_ms,
            custom_types=settings.event_types,
            prepare=self._prepare,
            swapped=self._swapped,
            counted=self._count_release,
        )
        self.aggregates = AggregatesFollower(aggregate_reader, self.live)
        self.catalogue = CatalogueFollower(
            self.catalogue_reader, self.live, self._release, self._fields_of_scenarios
        )
        self.profiles = ProfileReader(profile_store, self.live)
        self.fresh = FreshReader(self.profiles, aggregate_reader, self.trigger, self.live)
        self.names = ItemNames(profile_store, self.live)
        self.scenarios = ScenariosFollower(
            settings.scenarios,
            prepare=lambda made: have_columns(self.catalogue.catalogue, made.by_name.values()),
            counted=lambda outcome: self.metrics.counter(SCENARIO_LOADS).labels(outcome).inc(),
            swapped=InUse(self.metrics.gauge(SCENARIO_INFO)).name,
            judged=lambda is_served: self.metrics.gauge(SCENARIO_OK).set(is_served),
        )
        self._columns_lock = asyncio.Lock()
        self._prepared: tuple[Catalogue, Binding] | None = None
        self._release_info = InUse(self.metrics.gauge(RELEASE_INFO), "recommender")
        self.streams = 0
        self.turns = Turns()
        self.stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics.gauge(RECOMMEND_STREAMS).set_function(lambda: self.streams)
        self.metrics.gauge(CATALOGUE_ITEMS).set_function(lambda: len(self.catalogue.catalogue))

    def ranking(self) -> RankingState:
        """What an answer is made of at this moment."""
        serving = self.releases.serving
        return RankingState(
            catalogue=self.catalogue.catalogue,
            aggregates=self.aggregates.aggregates,
            model=serving.model if serving else None,
        )

    async def have_columns(self, scenarios: Sequence[Scenario]) -> None:
        """Have the columns that filters of these scenarios ask for: made in a thread, by one of those who ask
        at the same time.
        """
        catalogue = self.catalogue.catalogue
        if columns_to_make(scenarios, catalogue):
            async with self._columns_lock:
                await have_columns(catalogue, scenarios)

    def _release(self) -> Release | None:
        serving = self.releases.serving
        return serving.release if serving else None

    def _fields_of_scenarios(self, catalogue: Catalogue) -> list[str]:
        return columns_to_make(self.scenarios.current.by_name.values(), catalogue)

    async def _prepare(self, release: Release) -> None:
        catalogue = self.catalogue.catalogue
        self._prepared = catalogue, await asyncio.to_thread(catalogue.prepare, release)

    def _swapped(self, serving: Serving | None) -> None:
        self._release_info.name(serving.release.name if serving is not None else None)
        if self.catalogue.first is not None:
            self.catalogue.first.model = serving.model if serving is not None else None
        if serving is None:  # withdrawn
            self.types = EventTypes(self.settings.event_types)
            self.catalogue.catalogue.bind(None)
            return
        self.start.reached("release")
        self.types = serving.types
        catalogue, binding = self._prepared or (None, None)
        self._prepared = None
        if binding is not None and catalogue is self.catalogue.catalogue:
            catalogue.bind(binding)
        else:  # the catalogue was loaded anew meanwhile
            self.catalogue.catalogue.bind(serving.release)

    def _count_release(self, outcome: str) -> None:
        self.metrics.counter(RELEASE_LOADS).labels("recommender", outcome).inc()

    async def __aenter__(self) -> State:
        """Look once at store and release, so that the first answer has them, then follow both."""
        await asyncio.gather(self._look_at_store(), self.releases.look())
        serving = self.releases.serving
        if serving is not None and self.live.trouble is None:
            with suppress(StoreError):  # LiveEpoch says so; all is loaded when the store is back
                await self.catalogue.begin(serving.model, self.aggregates.aggregates)
        for follower in (self.live, self.releases, self.catalogue, self.aggregates, self.scenarios):
            self._tasks.append(asyncio.create_task(follower.run(), name=type(follower).__name__))
        self._tasks.append(asyncio.create_task(self._note_catalogue()))
        return self

    async def _look_at_store(self) -> None:
        await self.live.look()
        if self.live.trouble is None:
            self.start.reached("store")
            with suppress(StoreError):
                await self.aggregates.refresh()

    async def _note_catalogue(self) -> None:
        await self.catalogue.whole.wait()
        self.start.reached("catalogue")

    async def __aexit__(self, *_: object) -> None:
        self.stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self.releases.close()
        for part in (self.fresh, self.profiles, self.aggregates.neighbours, self.names, self.trigger):
            await part.close()
        if self._own_connection:
            await self.connection.close()

    async def unready(self) -> str | None:
        """Why requests should not come here, or None: what /readyz says."""
        if self.live.trouble is not None:
            return self.live.trouble
        try:
            async with asyncio.timeout(PING_S):
                await self.connection.ping()
        except Exception as error:
            return f"the store does not answer: {str(error) or type(error).__name__}"
        if not self.catalogue.usable:
            return "the catalogue is still being loaded"
        if not self.aggregates.loaded:
            return "trending and popular are still being loaded"
        return None

    def degraded(self) -> list[str]:
        """What is amiss although answers go out."""
        reasons = [self.live.trouble, self.releases.trouble, self.scenarios.trouble]
        if not self.catalogue.loaded:
            reasons.append("the catalogue is not loaded yet")
        return [reason for reason in reasons if reason]


def now_ms() -> int:
    """Unix time, ms."""
    return time.time_ns() // 1_000_000
