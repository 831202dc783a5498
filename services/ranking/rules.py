"""What may stand in a list: in the catalogue, servable, not excluded, not hidden, one of each group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.kernel.ids import item_key
from services.kernel.profile import Profile
from services.ranking.catalogue import Catalogue
from services.ranking.evidence import hidden
from services.ranking.state import RankRequest

RowArray = NDArray[np.int64]


class Rules:
    """The rules of one request. `allowed` filters many rows; `take` admits one row and remembers it."""

    def __init__(self, catalogue: Catalogue, profile: Profile | None, request: RankRequest) -> None:
        self.catalogue = catalogue
        self.excluded_keys = frozenset(item_key(item_id) for item_id in request.exclude)
        # The rows that the request lets in, in its order; None: all of them.
        self.candidates: list[int] | None = None
        if request.candidates is not None:
            found = (catalogue.row_of(item_id) for item_id in dict.fromkeys(request.candidates))
            self.candidates = [row for row in found if row >= 0]
        self._only = None if self.candidates is None else np.array(sorted(self.candidates), dtype=np.int64)
        self._profile = profile
        self._request = request
        self._taken = {row for item_id in request.exclude if (row := catalogue.row_of(item_id)) >= 0}
        self._excluded = np.array(sorted(self._taken), dtype=np.int64)
        self._groups: set[int] = set()

    def allowed(self, rows: RowArray) -> NDArray[np.bool_]:
        """Which rows may be shown to this subject."""
        allowed = self.catalogue.servable(rows, self._request.now_ms)
        allowed &= ~hidden(self._profile, self._request.scenario, self.catalogue.keys[rows])
        if len(self._excluded):
            allowed &= ~np.isin(rows, self._excluded)
        if self._only is not None:
            allowed &= np.isin(rows, self._only)
        return allowed

    def take(self, row: int) -> bool:
        """Admit an allowed row: False where it, or another of its group, stands in the list already."""
        group = int(self.catalogue.group[row])
        if row in self._taken or group in self._groups:
            return False
        self._taken.add(row)
        if group:
            self._groups.add(group)
        return True

    def keep_out(self, row: int) -> None:
        """Keep a row and its group out of the list: nothing is similar to itself."""
        if row >= 0:
            self._taken.add(row)
            if group := int(self.catalogue.group[row]):
                self._groups.add(group)
