"""What follows what inside a group: episodes of a series by `group_order`."""

from __future__ import annotations

from bisect import bisect_right


class Groups:
    """Rows that have a place in a group. A change costs a look-up; a group is put in order when it is asked
    for.
    """

    def __init__(self) -> None:
        self._places: dict[int, tuple[int, float]] = {}  # row → group, order
        self._rows: dict[int, set[int]] = {}  # group → its rows
        self._ordered: dict[int, tuple[list[float], list[int]]] = {}  # group → orders, rising, and their rows

    def put(self, row: int, group: int, order: float | None) -> None:
        """A row stands in a group (0: in none) at a place of its order; None: nobody knows at which."""
        place = (group, order) if group and order is not None else None
        if self._places.get(row) == place:
            return
        self.remove(row)
        if place is not None:
            self._places[row] = place
            self._rows.setdefault(group, set()).add(row)
            self._ordered.pop(group, None)

    def remove(self, row: int) -> None:
        """A row is gone; one that was in no group is no error."""
        place = self._places.pop(row, None)
        if place is None:
            return
        group, _ = place
        self._rows[group].discard(row)
        self._ordered.pop(group, None)
        if not self._rows[group]:
            del self._rows[group]

    def after(self, row: int) -> list[int]:
        """The rows that come after one in its group, the next first; equals of its own order do not."""
        place = self._places.get(row)
        if place is None:
            return []
        group, order = place
        ordered = self._ordered.get(group)
        if ordered is None:
            some = sorted((self._places[one][1], one) for one in self._rows[group])
            ordered = self._ordered[group] = [at for at, _ in some], [one for _, one in some]
        orders, rows = ordered
        return rows[bisect_right(orders, order) :]
