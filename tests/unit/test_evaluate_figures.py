"""Figures of an evaluation, worked out by hand, and their intervals."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from services.trainer.bootstrap import Bootstrap
from services.trainer.judgement import METRICS, Judged, Questions, ndcg, percentiles


def test_ndcg_of_known_orders() -> None:
    assert ndcg([0], 1, 10) == 1.0
    assert ndcg([2], 1, 10) == pytest.approx(1 / log2(4))
    assert ndcg([1, 3], 2, 4) == pytest.approx((1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3)))
    assert ndcg([0, 1], 50, 2) == pytest.approx(1.0), "no list of two holds more than two"
    assert ndcg([], 3, 10) == 0.0


def test_percentiles_share_what_is_equal() -> None:
    assert percentiles(np.array([0, 0, 5, 10])).tolist() == [0.25, 0.25, 0.625, 0.875]
    assert percentiles(np.zeros(8)).tolist() == [0.5] * 8
    assert percentiles(np.zeros(0)).tolist() == []


def judged_example() -> tuple[Questions, Judged]:
    """Two questions: two wanted items of which one comes second; one wanted item that is not shown."""
    questions = Questions(5, np.array([0.1, 0.3, 0.5, 0.7, 0.9]))
    judged = Judged("one", questions, (2, 4))
    wanted = np.array([1, 4])
    number = questions.add(7, wanted)
    judged.take(number, [np.array([0, 1]), np.array([0, 1, 2, 4])], wanted)
    wanted = np.array([3])
    judged.take(questions.add(9, wanted), [np.array([2]), np.array([2])], wanted)
    return questions, judged


def test_figures_by_hand() -> None:
    questions, judged = judged_example()
    short = dict(zip(METRICS, judged.columns(2).T.tolist(), strict=True))
    assert short["hr"] == [1.0, 0.0]
    assert short["mrr"] == [0.5, 0.0]
    assert short["recall"] == [0.5, 0.0]
    assert short["ndcg"] == pytest.approx([(1 / log2(3)) / (1 + 1 / log2(3)), 0.0], abs=1e-6)
    assert short["popularity"] == pytest.approx([0.2, 0.5])
    assert short["popularity_bias"] == pytest.approx([0.2 - 0.6, 0.5 - 0.7])
    long = dict(zip(METRICS, judged.columns(4).T.tolist(), strict=True))
    assert long["recall"] == [1.0, 0.0]
    assert long["mrr"] == [0.5, 0.0], "the first hit alone"
    assert (judged.coverage(2, 5), judged.coverage(4, 5)) == (0.6, 0.8)
    assert questions.subjects.tolist() == [7, 9]
    assert questions.wanted.tolist() == [2, 1]


def test_an_empty_list_is_a_miss() -> None:
    questions = Questions(1, np.full(3, 0.5))
    judged = Judged("none", questions, (10,))
    nothing, wanted = np.zeros(0, dtype=np.int64), np.array([1])
    judged.take(questions.add(0, wanted), [nothing], wanted)
    assert judged.columns(10).tolist() == [[0.0, 0.0, 0.0, 0.0, 0.0, -0.5]]


def test_questions_of_one_subject_are_drawn_together() -> None:
    """Ten subjects with a hundred equal answers each know as much as ten answers."""
    subjects = np.repeat(np.arange(10), 100)
    values = np.repeat(np.arange(10) % 2, 100).astype(float)[:, None]
    together = Bootstrap(subjects).estimates(values)[0]
    alone = Bootstrap(np.arange(10)).estimates(values[::100])[0]
    apart = Bootstrap(np.arange(1000)).estimates(values)[0]
    assert together == alone
    assert together.value == 0.5
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * 0.5 / 1000**0.5, rel=0.1)
    assert together.high - together.low > 8 * (apart.high - apart.low)


def test_subjects_with_many_questions_weigh_more() -> None:
    """The mean is over questions, in the figure and in every draw."""
    subjects = np.array([0, 0, 0, 1])
    draws = Bootstrap(subjects, draws=300).means(np.array([[1.0], [1.0], [1.0], [0.0]]))
    assert set(np.unique(draws)) == {0.0, 0.75, 1.0}


def test_differences_are_paired_and_repeatable() -> None:
    generator = np.random.default_rng(1)
    subjects = generator.integers(0, 50, 400)
    one = generator.random((400, 1))
    draws = Bootstrap(subjects).means(np.hstack((one, one + 0.01)))
    assert np.allclose(draws[:, 1] - draws[:, 0], 0.01), "the same draws for both"
    assert np.allclose(Bootstrap(subjects).means(one)[:, 0], draws[:, 0], rtol=1e-12)
    assert not np.allclose(Bootstrap(subjects, seed=8).means(one)[:, 0], draws[:, 0], rtol=1e-6)


def test_nothing_to_estimate() -> None:
    with pytest.raises(ValueError, match="no questions"):
        Bootstrap(np.zeros(0, dtype=np.int64))
