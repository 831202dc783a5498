"""A release around a team's own graph: `freshet release pack`. docs/MODEL.md is the reader's side of it.

1. Read the graph and hold it against the contract: names, dtypes, shapes, opset, files beside it.
2. Take the item vectors that came with it, or make them from the items' metadata as day 0 does.
3. Write the directory.
4. Run the graph on every kind of user (`services.ranking.probe`). What fails here is no release.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.kernel.bank import DEFAULT_GAMMAS
from services.kernel.event_type import DEFAULT_WEIGHTS
from services.kernel.item import Item, encode_item
from services.kernel.release import D_MAX, K_MAX, Graph, ReleaseError, VectorSpace, check_graph
from services.ranking.model import MODEL, OnnxModel
from services.ranking.probe import Finding, require_sound
from services.release.files import open_release
from services.release.pack import Draft, finish, save_array, save_ids, space_name
from services.trainer.day0 import D_DEFAULT, save_metadata
from services.trainer.graph_file import GraphFile, copy_graph, read_graph

FloatArray = NDArray[np.float32]

KIND_DEFAULT: Final = "own"
_KIND = re.compile(r"^[a-z0-9][a-z0-9-]{0,40}$")
_DAY0: Final = "day0"  # `freshet run` replaces releases of this kind by itself


@dataclass(frozen=True)
class OwnModel:
    """What a release is packed from. `item_ids` in index order; `items` the same ones with their metadata,
    or None; `vectors` a .npy file, floats [items, d], or None.
    """

    model: Path
    item_ids: Sequence[str]
    items: Sequence[Item] | None = None
    vectors: Path | None = None
    kind: str = KIND_DEFAULT
    gammas: tuple[float, ...] = DEFAULT_GAMMAS
    event_weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    blend: Mapping[str, float] = field(default_factory=dict)


def pack_own(own: OwnModel, out_dir: Path, now_ms: int) -> tuple[Path, list[Finding]]:
    """Build a release directory below `out_dir` and try it; answers its path and what the probe advises.

    Raises ReleaseError that names the input, output or file, what was expected and what was found.
    """
    path = pack_directory(own, out_dir, now_ms)
    try:
        # 4.
        return path, require_sound(OnnxModel(open_release(path, verify=False), warm=False))
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def pack_directory(own: OwnModel, out_dir: Path, now_ms: int) -> Path:
    """`pack_own` without running the graph. Raises ReleaseError."""
    # 1.
    source = read_graph(own.model)
    _check_own(own)
    check_signature(source, own.gammas)
    directory = Path(tempfile.mkdtemp(prefix=".own-", dir=out_dir))
    try:
        # 2.
        name, d = _save_items(own, source.graph, directory)
        # 3.
        space = VectorSpace(name, d, len(own.gammas), own.gammas)
        check_graph(MODEL, source.graph, space)
        copy_graph(source, directory)
        graphs = {MODEL: source.graph}
        draft = Draft(own.kind, space, len(own.item_ids), dict(own.event_weights), graphs, own.blend)
        return finish(directory, draft, now_ms)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def check_signature(source: GraphFile, gammas: Sequence[float] = DEFAULT_GAMMAS) -> int:
    """Hold a graph against the contract, whatever its d; answers that d, or D_DEFAULT where it has none.

    Raises ReleaseError.
    """
    d = stated_d(source.graph) or D_DEFAULT
    check_graph(MODEL, source.graph, VectorSpace("", d, len(gammas), tuple(gammas)))
    lengths = {spec.name: spec.shape[-1] for spec in source.graph.inputs if spec.name.startswith("history_")}
    fixed = {name: size for name, size in lengths.items() if isinstance(size, int)}
    if len(set(fixed.values())) > 1:
        raise ReleaseError(f"the histories of graph {MODEL!r}: expected one length for all, found {fixed}")
    return d


def stated_d(graph: Graph) -> int | None:
    """The d that a graph says its bank or user vector has; None where it leaves that open."""
    sizes = [
        spec.shape[-1] for spec in (*graph.inputs, *graph.outputs) if spec.name in {"bank", "user_vector"}
    ]
    return next((size for size in sizes if isinstance(size, int) and 1 <= size <= D_MAX), None)


def _check_own(own: OwnModel) -> None:
    if not _KIND.match(own.kind):
        raise ReleaseError(
            f"kind: expected up to 41 lower-case letters, digits and hyphens, found {own.kind[:64]!r}"
        )
    if own.kind == _DAY0:
        raise ReleaseError(
            f"kind: expected a name of your own, found {_DAY0!r}: `freshet run` replaces releases of that "
            "kind by itself"
        )
    if not own.item_ids:
        raise ReleaseError("the id table: expected one id for each item of the model, found none")
    if not 1 <= len(own.gammas) <= K_MAX or not all(0.0 <= gamma <= 1.0 for gamma in own.gammas):
        raise ReleaseError(f"gammas: expected 1 to {K_MAX} numbers from 0 to 1, found {list(own.gammas)}")


def _save_items(own: OwnModel, graph: Graph, directory: Path) -> tuple[str, int]:
    """Write ids, vectors and catalogue; answers the vector space's name and d."""
    if own.vectors is not None:
        vectors = read_vectors(own.vectors, len(own.item_ids))
        _check_d(own.vectors, vectors, graph)
        save_ids(directory, own.item_ids)
        save_array(directory, "item_vectors.npy", vectors)
        (directory / "metrics.json").write_bytes(b"{}\n")
        if own.items is not None:
            with (directory / "catalogue.ndjson").open("wb") as file:
                file.writelines(encode_item(item) + b"\n" for item in own.items)
        return space_name(KIND_DEFAULT, (vectors,), own.gammas), vectors.shape[1]
    _needs_no_vectors(own, graph)
    assert own.items is not None
    vectors, projection = save_metadata(own.items, directory, D_DEFAULT)
    if not vectors.any():
        raise ReleaseError(
            _nothing_to_compare(own, "items of which none has a title, category, tag or brand")
        )
    return space_name(_DAY0, (vectors, projection), own.gammas), D_DEFAULT


def _needs_no_vectors(own: OwnModel, graph: Graph) -> None:
    """Raise ReleaseError where the graph's own item vectors are needed and were not given."""
    shape = f"float32[{len(own.item_ids)}, {stated_d(graph) or 'd'}]"
    given = {spec.name for spec in graph.outputs} | {spec.name for spec in graph.inputs}
    if "user_vector" in given:
        raise ReleaseError(
            f"output 'user_vector' is multiplied with item vectors: expected --vectors V.npy, {shape}, in "
            "whose space it lies; found none"
        )
    if "bank" in given:
        raise ReleaseError(
            f"input 'bank' is made of item vectors: expected --vectors V.npy, {shape}, those that the model "
            "was trained with; found none"
        )
    if own.items is None:
        raise ReleaseError(_nothing_to_compare(own, "ids alone"))


def _nothing_to_compare(own: OwnModel, found: str) -> str:
    return (
        f"item vectors: expected --vectors V.npy, float32[{len(own.item_ids)}, d], or --items with titles, "
        f"categories, tags or brands (NDJSON as for POST /items) to make them from; found {found}. Similar "
        "items, and lists while the model is late, are made of them"
    )


def read_vectors(path: Path, items: int) -> FloatArray:
    """Item vectors of a .npy file as f32[items, d]. Raises ReleaseError."""
    expected = f"expected floats [{items}, d] with d from 1 to {D_MAX}, a row for each id of the table"
    try:
        raw: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path.name}: {expected}; found no .npy file of numbers ({error})") from None
    if not isinstance(raw, np.ndarray):
        raw.close()
        raise ReleaseError(f"{path.name}: {expected}; found an archive of several arrays (np.savez)")
    kind = f"{raw.dtype.name}{list(raw.shape)}"
    if raw.dtype.kind != "f" or raw.ndim != 2 or not 1 <= raw.shape[1] <= D_MAX:
        raise ReleaseError(f"{path.name}: {expected}; found {kind}")
    if raw.shape[0] != items:
        more = " (leave the row for padding out)" if raw.shape[0] == items + 1 else ""
        raise ReleaseError(f"{path.name}: {expected}; found {kind}{more}")
    with np.errstate(over="ignore"):  # a float64 beyond f32 becomes infinite, and is told below
        vectors = np.ascontiguousarray(raw, dtype=np.float32)
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        raise ReleaseError(f"{path.name}: expected finite numbers, found NaN or infinity in row {broken[0]}")
    return vectors


def _check_d(path: Path, vectors: FloatArray, graph: Graph) -> None:
    for spec in (*graph.outputs, *graph.inputs):
        size = spec.shape[-1] if spec.shape else None
        if spec.name in {"user_vector", "bank"} and isinstance(size, int) and size != vectors.shape[1]:
            raise ReleaseError(
                f"{path.name} holds vectors of d {vectors.shape[1]}, expected {size} as {spec.name!r} has "
                "it: both must lie in one space"
            )
