"""The second stage: a small graph that scores the candidates of one list from their features."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.release import RANKER, Graph, ReleaseError, check_graph
from services.ranking.features import FEATURES
from services.ranking.session import load_session, specs_of
from services.ranking.transitions import Tables
from services.release.files import Release

FloatArray = NDArray[np.float32]

_WARM_ROWS: Final = 256  # as many as a list has candidates, or so


class OnnxRanker:
    """One session, and the tables that its features are read from. Any thread may call `scores`."""

    def __init__(self, release: Release) -> None:
        """Load, check against the contract and warm up. Raises ReleaseError that names what does not fit."""
        graph = release.manifest.graphs[RANKER]
        self._session: Any = load_session(release, graph.artefact)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        found = Graph(graph.artefact, graph.opset, specs_of(inputs), specs_of(outputs))
        check_graph(RANKER, found, release.space)
        names = release.manifest.features
        unknown = [name for name in names if name not in FEATURES]
        if unknown:
            raise ReleaseError(
                f"the ranker of {release.name} wants the feature {unknown[0]!r}, which this version does not "
                f"compute; it knows {', '.join(FEATURES)}"
            )
        width = found.inputs[0].shape[1]
        if isinstance(width, int) and width != len(names):
            raise ReleaseError(
                f"graph {RANKER!r} takes {width} features, the manifest of {release.name} names {len(names)}"
            )
        places = [FEATURES.index(name) for name in names]
        self._columns = None if places == list(range(len(FEATURES))) else np.array(places)
        self.tables = Tables.open(release)
        self._warm_up()

    def scores(self, features: FloatArray) -> NDArray[np.float64]:
        """f64[n] of `features` f32[n, len(FEATURES)]; what is not finite counts as the worst."""
        columns = features if self._columns is None else np.ascontiguousarray(features[:, self._columns])
        (scores,) = self._session.run(["scores"], {"features": columns})
        found: NDArray[np.float64] = scores.astype(np.float64)
        usable = np.isfinite(found)
        if not usable.all():
            found[~usable] = found[usable].min(initial=0.0) - 1.0
        return found

    def _warm_up(self) -> None:
        try:
            scores = self.scores(np.zeros((_WARM_ROWS, len(FEATURES)), dtype=np.float32))
        except Exception as error:  # the runtime has a class of its own for each failure
            raise ReleaseError(f"the graph {RANKER!r} fails on a list of zeros: {error}") from error
        if scores.shape != (_WARM_ROWS,):
            raise ReleaseError(
                f"the graph {RANKER!r} gave scores of shape {scores.shape} for {_WARM_ROWS} rows"
            )
