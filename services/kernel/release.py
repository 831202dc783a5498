"""The manifest of a release: what a release promises, and the checks that hold it to that.

A release is an immutable directory. Its manifest names the vector space, the weights of event types, every
file with its hash, and the inputs and outputs of each graph. The tables below are closed: a graph may take
any subset of `INPUTS` and must answer one of `OUTPUT_SETS`, with these names, dtypes and shapes, or the
release is refused. `B` is the batch, `K` and `d` are the space's, `L` and `M` are free (a fixed number is
allowed: the newest entries are kept). Histories are in time order, the newest at `[-1]`, padding on the
left. Item indices count from 0 in the order of the id table; unknown items and padding are -1
(`history_mask` tells them apart).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from services.kernel.bank import Space, space_id_of
from services.kernel.nearest import nearest

FORMAT_VERSION = 1
OPSET_MIN, OPSET_MAX = 13, 23  # 13: Gemm and TopK as used here; 23: the newest that the tests have run
D_MAX = 1024  # numbers of an item vector; the profile's header holds 16 bits, its value must stay small
K_MAX = 32
NAME_PATTERN = re.compile(r"^[a-z0-9][a-z0-9-]{0,40}-[0-9a-f]{12}$")
MANIFEST_FILE = "manifest.json"
CHECKSUMS_FILE = "checksums"
LIVE_FILE = "live"

Dimension = int | str


class ReleaseError(Exception):
    """A release is refused, or is not there. The message says what was found, and what was expected."""


class NoReleaseError(ReleaseError):
    """Nothing is live yet: no pointer at the place where releases live."""


class Tensor(NamedTuple):
    """One input or output of a graph in the closed table."""

    dtype: str
    shape: tuple[Dimension, ...]
    text: str


INPUTS: Mapping[str, Tensor] = {
    "bank": Tensor(
        "float32", ("B", "K", "d"), "the decayed sums S_k, not divided; zeros for an empty profile"
    ),
    "bank_weight": Tensor("float32", ("B", "K"), "the decayed weights W_k; zeros for an empty profile"),
    "history_items": Tensor(
        "int64", ("B", "L"), "item indices of the ring, oldest first; unknown, padding -1"
    ),
    "history_types": Tensor("int64", ("B", "L"), "frozen numbers of the event types; padding 0"),
    "history_ages_s": Tensor("float32", ("B", "L"), "seconds between the event and the request; padding 0"),
    "history_mask": Tensor("bool", ("B", "L"), "true where an event stands, false for padding"),
    "seen_items": Tensor("int64", ("B", "M"), "item indices of the seen section, oldest first; padding -1"),
    "context_item": Tensor("int64", ("B",), "index of the item that the request names; none or unknown -1"),
}
OUTPUTS: Mapping[str, Tensor] = {
    "item_indices": Tensor("int64", ("B", "k"), "indices of the best items, best first; -1 for none"),
    "scores": Tensor("float32", ("B", "k"), "their scores, descending; finite, or -inf for none"),
    "user_vector": Tensor(
        "float32", ("B", "d"), "the user in the items' space: score = item_vectors · user_vector"
    ),
}
# The optional second graph scores the candidates of one list; F columns, named by the manifest's `features`.
RANKER = "ranker"
RANKER_INPUTS: Mapping[str, Tensor] = {
    "features": Tensor("float32", ("N", "F"), "a row for each candidate, columns as `features` names them")
}
RANKER_OUTPUTS: Mapping[str, Tensor] = {
    "scores": Tensor("float32", ("N",), "what the candidates are ordered by; finite")
}
OUTPUT_SETS = ({"item_indices", "scores"}, {"user_vector"}, {"item_indices", "scores", "user_vector"})


class VectorSpace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where item vectors live. Profiles of one space cannot be read in another.

    `d` numbers an item vector, `gammas` the K decays of the bank, per event. The name stands for all of it: a
    builder makes it from a hash of vectors, projection, d and gammas.
    """

    name: str
    d: int
    k: int
    gammas: tuple[float, ...]

    @property
    def space_id(self) -> int:
        """The u64 that stands in every profile of this space."""
        return space_id_of(self.name)

    def at(self, epoch: int) -> Space:
        """This space in the epoch in which the store says that profilers write it."""
        return Space(self.name, self.space_id, epoch, self.d, self.gammas)


class Artefact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a release, relative to its directory."""

    file: str
    sha256: str
    bytes: int


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output as the manifest names it."""

    name: str
    dtype: str
    shape: tuple[Dimension, ...]


class Graph(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ONNX graph: its artefact, opset, inputs and outputs."""

    artefact: str
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json`. Unknown fields are ignored, so that a newer release can be read by an older service.

    `event_weights` overrides the default weights by type name. `blend` overrides the ranking's weights.
    `catalogue_hash` is the sha256 of the id table. `features` names the columns of the ranker's input, in
    their order. Times are Unix ms.
    """

    name: str
    kind: str
    space: VectorSpace
    items: int
    catalogue_hash: str
    artefacts: dict[str, Artefact]
    graphs: dict[str, Graph]
    format_version: int = FORMAT_VERSION
    created_at_ms: int = 0
    event_weights: dict[str, float] = msgspec.field(default_factory=dict)
    blend: dict[str, float] = msgspec.field(default_factory=dict)
    features: tuple[str, ...] = ()

    def artefact(self, role: str) -> Artefact:
        """The file in a role. Raises ReleaseError that lists the roles there are."""
        found = self.artefacts.get(role)
        if found is None:
            raise ReleaseError(
                f"release {self.name} has no artefact {role!r}; it has {sorted(self.artefacts)}"
            )
        return found


class LivePointer(msgspec.Struct, frozen=True):
    """`<root>/live`: which release is served."""

    release: str
    promoted_at_ms: int = 0


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as indented JSON, the same bytes for the same manifest."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def decode_manifest(raw: bytes) -> Manifest:
    """Read and check a manifest. Raises ReleaseError that names the field."""
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReleaseError(f"{MANIFEST_FILE} cannot be read: {error}") from None
    check_manifest(manifest)
    return manifest


def content_name(manifest: Manifest) -> str:
    """`<kind>-<12 hex>`: a hash of all that the release holds; not of when it was made, nor of its name."""
    bare = msgspec.structs.replace(manifest, name="", created_at_ms=0)
    return f"{manifest.kind}-{hashlib.sha256(encode_manifest(bare)).hexdigest()[:12]}"


def check_manifest(manifest: Manifest) -> None:
    """Raise ReleaseError unless the manifest keeps the contract of this module."""
    if manifest.format_version != FORMAT_VERSION:
        raise ReleaseError(
            f"manifest format_version is {manifest.format_version}, and this Freshet reads {FORMAT_VERSION}: "
            "upgrade it, or promote a release that it made itself"
        )
    if not NAME_PATTERN.match(manifest.name):
        raise ReleaseError(f"release name {manifest.name[:64]!r}: expected <kind>-<12 hex digits>")
    if manifest.name != content_name(manifest):
        raise ReleaseError(
            f"manifest of {manifest.name} was changed: its content makes the name {content_name(manifest)}"
        )
    _check_space(manifest.space)
    for role, artefact in manifest.artefacts.items():
        path = PurePosixPath(artefact.file)
        if path.is_absolute() or ".." in path.parts or not artefact.file or artefact.bytes < 0:
            raise ReleaseError(f"artefact {role!r} points outside the release: {artefact.file[:128]!r}")
    for role in ("item_ids", "item_vectors"):
        manifest.artefact(role)
    if manifest.items < 1:
        raise ReleaseError("the release holds no items")
    for name, graph in manifest.graphs.items():
        manifest.artefact(graph.artefact)
        check_graph(name, graph, manifest.space)
    if (RANKER in manifest.graphs) != bool(manifest.features):
        raise ReleaseError(
            f"the manifest names {len(manifest.features)} features and "
            f"{'a' if RANKER in manifest.graphs else 'no'} graph {RANKER!r}; one needs the other"
        )


def _check_space(space: VectorSpace) -> None:
    if not 1 <= space.d <= D_MAX:
        raise ReleaseError(f"vector space d is {space.d}, expected 1 to {D_MAX}")
    if not 1 <= space.k <= K_MAX or len(space.gammas) != space.k:
        raise ReleaseError(f"vector space has K {space.k} and {len(space.gammas)} gammas; K is 1 to {K_MAX}")
    if not all(0.0 <= gamma <= 1.0 for gamma in space.gammas):
        raise ReleaseError(f"gammas {space.gammas}: each lies from 0 to 1")


def check_graph(name: str, graph: Graph, space: VectorSpace) -> None:
    """Raise ReleaseError unless a graph's inputs and outputs stand in the closed table."""
    if not OPSET_MIN <= graph.opset <= OPSET_MAX:
        raise ReleaseError(
            f"graph {name!r} has opset {graph.opset}, expected {OPSET_MIN} to {OPSET_MAX}: "
            "export it with another opset_version"
        )
    inputs, outputs = (RANKER_INPUTS, RANKER_OUTPUTS) if name == RANKER else (INPUTS, OUTPUTS)
    for spec in graph.inputs:
        _check_tensor(f"graph {name!r} input", spec, inputs, space)
    for spec in graph.outputs:
        _check_tensor(f"graph {name!r} output", spec, outputs, space)
    if not graph.inputs:
        raise ReleaseError(f"graph {name!r} takes no input; any of {list(inputs)} will do")
    if name == RANKER:
        return
    given = {spec.name for spec in graph.outputs}
    if given not in OUTPUT_SETS:
        raise ReleaseError(
            f"graph {name!r} has outputs {sorted(given)}, "
            "expected item_indices and scores, or user_vector, or all three"
        )


def _check_tensor(where: str, spec: TensorSpec, table: Mapping[str, Tensor], space: VectorSpace) -> None:
    expected = table.get(spec.name)
    if expected is None:
        raise ReleaseError(
            f"{where} {spec.name!r} is not in the contract; the nearest name is "
            f"{nearest(spec.name, table)!r}, there are {list(table)}"
        )
    if spec.dtype != expected.dtype:
        raise ReleaseError(f"{where} {spec.name!r} has dtype {spec.dtype}, expected {expected.dtype}")
    wanted = tuple({"K": space.k, "d": space.d}.get(str(size), size) for size in expected.shape)
    fits = len(spec.shape) == len(wanted) and all(
        _fits(found, size) for found, size in zip(spec.shape, wanted, strict=True)
    )
    if not fits:
        fixed_batch = bool(spec.shape) and isinstance(spec.shape[0], int)
        raise ReleaseError(
            f"{where} {spec.name!r} has shape {list(spec.shape)}, expected {list(wanted)} "
            + ("(the batch must be free: export axis 0 as dynamic)" if fixed_batch else "(letters are free)")
        )


def _fits(found: Dimension, wanted: Dimension) -> bool:
    """A free size may be fixed except the batch; a fixed size must be met, or left open by the graph."""
    if wanted in {"B", "N"}:
        return isinstance(found, str)
    if isinstance(wanted, int):
        return isinstance(found, str) or found == wanted
    return isinstance(found, str) or found >= 1
