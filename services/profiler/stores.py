"""The store as the profiler holds it: one connection, a view for each kind of content."""

from __future__ import annotations

from services.store.aggregates import AggregateStore
from services.store.catalogue import CatalogueReader, CatalogueWriter
from services.store.connection import Connection
from services.store.meta import MetaStore
from services.store.profiles import ProfileStore


class Stores:
    """Made once by the composition root."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.meta = MetaStore(connection)
        self.profiles = ProfileStore(connection)
        self.aggregates = AggregateStore(connection)
        self.catalogue = CatalogueReader(connection)
        self.catalogue_writer = CatalogueWriter(connection)
