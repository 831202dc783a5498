"""Checkpoints of a training run: after a crash it goes on at the last whole epoch."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any, Final

import jax
import msgspec
import numpy as np

FILE: Final = "checkpoint.npz"


class Checkpoints:
    """One file in a directory, replaced as a whole. `identity` says what is trained on what, and how:
    a checkpoint of another run is left alone and overwritten.
    """

    def __init__(self, directory: Path, identity: str) -> None:
        self._path = directory / FILE
        self._identity = identity

    def save(self, state: Any, best: Any, epoch: int, history: list[tuple[Any, ...]]) -> None:
        """Write what `load` answers. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves((state, best))]
        arrays = {f"leaf_{place}": leaf for place, leaf in enumerate(leaves)}
        facts = msgspec.json.encode({"identity": self._identity, "epoch": epoch, "history": history})
        draft = self._path.with_suffix(".draft")
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, facts=np.frombuffer(facts, np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    def load(self, state: Any, best: Any) -> tuple[Any, Any, int, list[tuple[Any, ...]]] | None:
        """(state, best, epochs done, history), shaped like the arguments; None where there is nothing to
        go on from.
        """
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                facts = msgspec.json.decode(stored["facts"].tobytes())
                leaves, shape = jax.tree.flatten((state, best))
                if facts["identity"] != self._identity or len(stored.files) != len(leaves) + 1:
                    return None
                found = [stored[f"leaf_{place}"] for place in range(len(leaves))]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, msgspec.DecodeError):
            return None  # of another version, or half copied
        restored = [
            jax.numpy.asarray(leaf, dtype=like.dtype) for leaf, like in zip(found, leaves, strict=True)
        ]
        state, best = jax.tree.unflatten(shape, restored)
        return state, best, int(facts["epoch"]), [tuple(row) for row in facts["history"]]

    def clear(self) -> None:
        """The run is over."""
        self._path.unlink(missing_ok=True)
