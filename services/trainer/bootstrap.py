"""Intervals by resampling subjects.

Questions of one subject are alike, so that resampling questions would make intervals too narrow: whole
subjects are drawn instead (the cluster bootstrap; Davison and Hinkley, Bootstrap Methods and their
Application, 1997, 3.8). A draw's figure is the mean over all questions of the subjects drawn.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SEED: Final = 7
DRAWS: Final = 1000  # the bounds of a 95 % interval then move by about a twentieth of its width


class Estimate(NamedTuple):
    """A mean over questions, and its 95 % interval."""

    value: float
    low: float
    high: float


class Bootstrap:
    """The same draws for every figure of one set of questions, so that differences are paired."""

    def __init__(self, subjects: NDArray[np.integer], seed: int = SEED, draws: int = DRAWS) -> None:
        """`subjects` [n]: whose question each was. Raises ValueError for no question."""
        if not len(subjects):
            raise ValueError("no questions: there is nothing to estimate")
        _, self._cluster = np.unique(subjects, return_inverse=True)
        self._questions = np.bincount(self._cluster).astype(np.float64)
        self._seed = seed
        self._draws = draws

    @property
    def subjects(self) -> int:
        """How many subjects were asked about."""
        return len(self._questions)

    def means(self, columns: FloatArray) -> FloatArray:
        """f64[draws, m] of `columns` f64[n, m]: the mean of each column in each draw.

        Memory: m sums a subject, whatever the number of questions.
        """
        clusters = self.subjects
        sums = np.stack(
            [np.bincount(self._cluster, column, minlength=clusters) for column in columns.T], axis=1
        )
        generator = np.random.default_rng(self._seed)
        made = np.empty((self._draws, columns.shape[1]))
        for draw in range(self._draws):
            times = np.bincount(generator.integers(0, clusters, clusters), minlength=clusters)
            made[draw] = (times @ sums) / (times @ self._questions)
        return made

    def estimates(self, columns: FloatArray) -> list[Estimate]:
        """One for each column of f64[n, m]."""
        low, high = np.percentile(self.means(columns), [2.5, 97.5], axis=0)
        return [Estimate(*map(float, three)) for three in zip(columns.mean(axis=0), low, high, strict=True)]
