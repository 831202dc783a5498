"""What stands in a group, what comes first and what follows, after whatever changes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from services.ranking.groups import FIRST_CAPACITY, Groups


@pytest.mark.parametrize("small", [0, 3, 64])
def test_groups_are_in_order_after_whatever_changes(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ranking.groups.SMALL_GROUP", small)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    groups, held = Groups(), dict[int, tuple[int, float]]()
    every = np.arange(40)
    for _ in range(1500):
        row, group = chance.randrange(40), chance.randrange(4)
        order = chance.choice([None, *map(float, range(8))])
        if chance.random() < 0.2:
            groups.remove(row)
            held.pop(row, None)
        else:
            groups.put(row, group, order, row + (1 << 40))
            held.pop(row, None)
            if group and order is not None:
                held[row] = group, order
        asked = chance.randrange(40)
        of_group = sorted(
            (order, row) for row, (group, order) in held.items() if group == held.get(asked, (0, 0.0))[0]
        )
        later = [row for order, row in of_group if order > held.get(asked, (0, 0.0))[1]]
        assert groups.after(asked) == later
        assert groups.group_of(asked) == held.get(asked, (0, 0.0))[0]
        assert groups.marked([asked, 1000]) == ([asked] if asked in held else [])
        assert len(groups) == len(held)
        if chance.random() < 0.3:  # firsts of several changes are found at once
            first = groups.firsts(every).tolist()
            assert first[asked] == (of_group[0][1] if of_group else asked)
            assert np.isnan(groups.order[every]).tolist() == [row not in held for row in range(40)]
            if of_group:
                assert groups.rows_of(held[asked][0]) == [row for _, row in of_group]


def test_rows_beyond_the_first_capacity_have_a_first_too() -> None:
    groups = Groups()
    far = 3 * FIRST_CAPACITY
    groups.put(FIRST_CAPACITY, 1, 2.0, 1)
    groups.put(far, 1, 1.0, 2)
    groups.put(far - 1, 0, None, 3)
    assert groups.firsts(np.array([0, FIRST_CAPACITY, far - 1, far])).tolist() == [0, far, far - 1, far]
