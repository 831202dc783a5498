"""What may stand in a list: in the catalogue, servable, matched, not excluded, not hidden, one of a group."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.kernel.ids import item_key
from services.kernel.profile import Profile
from services.ranking.catalogue import Catalogue
from services.ranking.evidence import Hidden
from services.ranking.filter_masks import Masked
from services.ranking.series import Entries
from services.ranking.state import RankRequest

RowArray = NDArray[np.int64]
KeyArray = NDArray[np.uint64]
Mask = NDArray[np.bool_]


class Rules:
    """The rules of one request. `allowed` filters many rows; `take` admits one row and remembers it."""

    def __init__(
        self,
        catalogue: Catalogue,
        profile: Profile | None,
        request: RankRequest,
        masked: Masked | None = None,
    ) -> None:
        """`masked` is what the scenario's filter lets in; None: everything."""
        self.catalogue = catalogue
        self._masked = masked
        self.mask = None if masked is None else masked.mask
        self.excluded_keys = frozenset(item_key(item_id) for item_id in request.exclude)
        # The rows that the request lets in, in its order; None: all of them.
        self.candidates: list[int] | None = None
        if request.candidates is not None:
            found = (catalogue.row_of(item_id) for item_id in dict.fromkeys(request.candidates))
            self.candidates = [row for row in found if row >= 0]
        self._only = None if self.candidates is None else np.array(sorted(self.candidates), dtype=np.int64)
        self._now_ms = request.now_ms
        self._hidden = Hidden.of(profile, request.scenario.hide, request.now_ms)
        self._taken = {row for item_id in request.exclude if (row := catalogue.row_of(item_id)) >= 0}
        self._excluded = np.array(sorted(self._taken), dtype=np.int64)
        self._shown_keys = request.shown
        self._shown = np.array(sorted(request.shown), dtype=np.uint64)
        scenario = request.scenario
        self._one_per_group = scenario.one_per_group
        # Nothing is paid for series where there are none.
        in_order = scenario.series_in_order and scenario.one_per_group and len(catalogue.groups) > 0
        self._entries = Entries(catalogue, profile, self.lets_in) if in_order else None
        self._groups: set[int] = set()
        for key in request.shown:  # and what is pinned, and others of its group
            self.keep_out(catalogue.row_of_key(key))

    @cached_property
    def matched(self) -> RowArray:
        """Rising rows that the filter lets in; of a question without one, none."""
        return np.zeros(0, dtype=np.int64) if self._masked is None else self._masked.rows

    def allowed(self, rows: RowArray) -> Mask:
        """Which rows may be shown to this subject; row -1 may not."""
        keys = self.catalogue.keys[rows]
        allowed = self.may_be_shown(rows)
        allowed &= ~self._hidden.has(keys)
        if len(self._shown):
            allowed &= ~np.isin(keys, self._shown)
        if self._entries is not None:
            allowed &= self._entries.of(rows) == rows
        return allowed

    def may_be_shown(self, rows: RowArray) -> Mask:
        """`allowed` whatever this subject has seen: what holds for pinned items too."""
        allowed = self.lets_in(rows)
        if len(self._excluded):
            allowed &= ~np.isin(rows, self._excluded)
        return allowed

    def lets_in(self, rows: RowArray) -> Mask:
        """`may_be_shown` whatever the request excludes: servable, matched, among the candidates."""
        found = self.catalogue.servable(rows, self._now_ms) & (rows >= 0)
        if self.mask is not None:
            found &= self.mask[rows]
        if self._only is not None:
            found &= np.isin(rows, self._only)
        return found

    def entries_of(self, rows: RowArray) -> RowArray:
        """By row the episode with which its series begins for this subject, -1 where none may be shown; the
        row itself where it is in none, or the scenario does not keep to their order. Row -1 stays.
        """
        return rows if self._entries is None else np.where(rows >= 0, self._entries.of(rows), rows)

    def with_entries(self, rows: RowArray) -> RowArray:
        """Rising rows, and with them the episodes that may be shown of their series: whatever found the sixth
        leads to the first.
        """
        if self._entries is None:
            return rows
        entries = self._entries.of(rows)
        more = entries[(entries != rows) & (entries >= 0)]
        if not len(more):
            return rows
        together = np.sort(np.concatenate([rows, more]))
        rising: RowArray = together[np.diff(together, prepend=-1) > 0]
        return rising

    def allows_key(self, key: int) -> bool:
        """Whether an item that is in no catalogue may be shown: nothing is known of it but its key."""
        unlimited = self.mask is None and self.candidates is None
        return unlimited and key not in self.excluded_keys and key not in self._shown_keys

    def take(self, row: int) -> bool:
        """Admit an allowed row: False where it, or another of its group, stands in the list already."""
        group = int(self.catalogue.group[row]) if self._one_per_group else 0
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
