"""A small sequence model from PyTorch, as a team of its own would train and export one.

    python tests/models/make_sequence_model.py            # needs torch, onnx and onnxscript; about a minute

Writes beside itself `sequence_items.ndjson` (the id table: line i is item i), `sequence_vectors.npy`
(f32[items, d]) and the same trained network twice: `sequence_user_vector.onnx` (torch.export; takes item and
mask, answers user_vector) and `sequence_top.onnx` (TorchScript; takes the types too, answers item_indices and
scores). Nothing of Freshet is imported here, and nothing of Freshet needs PyTorch.

The shop is made up: ten series of twenty parts. Who has had part p mostly takes part p + 1 next, so an answer
that follows the order of a history can be told from one that does not.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HERE: Final = Path(__file__).resolve().parent
SERIES, PARTS = 10, 20
ITEMS: Final = SERIES * PARTS
D: Final = 16
BLOCKS: Final = 2
LENGTH_MAX: Final = 128  # events that a profile keeps, and so the longest history that a graph is given
TYPES: Final = 256  # event types are bytes
TOP_K: Final = 100
STEPS, BATCH, TRAINED_LENGTH = 600, 128, 24
SERIES_NAMES: Final = (
    *("Cheese", "Bread", "Wine", "Tea", "Pasta"),
    *("Olives", "Coffee", "Honey", "Spice", "Fruit"),
)


class Block(nn.Module):
    """Attention over what came before, then a small network; both beside what goes in (pre-norm)."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_network = nn.LayerNorm(D), nn.LayerNorm(D)
        self.question, self.key, self.value = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, D)
        self.network = nn.Sequential(nn.Linear(D, 2 * D), nn.ReLU(), nn.Linear(2 * D, D))

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """`x` f32[B, L, D]; `hidden` bool[B, L, L], true where a place must not be looked at."""
        normal = self.before_attention(x)
        near = self.question(normal) @ self.key(normal).transpose(1, 2) / math.sqrt(D)
        # A large number and not -inf: a place that may look nowhere would get 0 / 0.
        shares = torch.softmax(near.masked_fill(hidden, -1e9), dim=-1)
        x = x + shares @ self.value(normal)
        return x + self.network(self.before_network(x))


class SequenceModel(nn.Module):
    """Self-attention over the history (Kang & McAuley 2018, SASRec), small; tied item vectors."""

    def __init__(self) -> None:
        super().__init__()
        # Row 0 is padding and unknown items (index -1), row i + 1 is item i.
        self.items = nn.Embedding(ITEMS + 1, D, padding_idx=0)
        self.types = nn.Embedding(TYPES, D, padding_idx=0)
        self.places = nn.Embedding(LENGTH_MAX, D)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.last = nn.LayerNorm(D)
        for table in (self.items, self.types, self.places):
            nn.init.normal_(table.weight, std=0.3 if table is self.items else 0.02)
        with torch.no_grad():
            self.items.weight[0] = 0.0
            self.types.weight[0] = 0.0

    def states(self, history_items: Tensor, history_types: Tensor | None, history_mask: Tensor) -> Tensor:
        """What the model makes of every place, f32[B, L, D]. Padding on the left changes nothing."""
        length = history_items.shape[1]
        # Places count back from the newest, so that they do not depend on how much padding there is.
        places = torch.arange(length - 1, -1, -1, device=history_items.device).clamp(max=LENGTH_MAX - 1)
        x = self.items(history_items + 1) + self.places(places)
        if history_types is not None:
            x = x + self.types(history_types)
        ahead = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        hidden = ahead | ~history_mask[:, None, :]
        for block in self.blocks:
            x = block(x, hidden)
        return self.last(x)

    def user(self, history_items: Tensor, history_types: Tensor | None, history_mask: Tensor) -> Tensor:
        """The newest place's state, f32[B, D]; zeros where there is no event at all."""
        newest = self.states(history_items, history_types, history_mask)[:, -1]
        return newest * history_mask.any(dim=1, keepdim=True).to(newest.dtype)


class AsUserVector(nn.Module):
    """The first way to export: the user in the items' space. Freshet multiplies with the item vectors."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, history_items: Tensor, history_mask: Tensor) -> Tensor:
        """i64[B, L], bool[B, L] → f32[B, D]."""
        return self.model.user(history_items, None, history_mask)


class AsTop(nn.Module):
    """The other way: the graph scores all items itself and answers the best."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, history_items: Tensor, history_types: Tensor, history_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """i64[B, L], i64[B, L], bool[B, L] → i64[B, TOP_K], f32[B, TOP_K]."""
        user = self.model.user(history_items, history_types, history_mask)
        scores, indices = torch.topk(user @ self.model.items.weight[1:].T, TOP_K, dim=1)
        return indices, scores


def walks(random: np.random.Generator, users: int, length: int) -> NDArray[np.int64]:
    """Histories, i64[users, length]: mostly the next part of a series, now and then another series."""
    found = np.zeros((users, length), dtype=np.int64)
    found[:, 0] = random.integers(0, ITEMS, users)
    for place in range(1, length):
        before = found[:, place - 1]
        after = before // PARTS * PARTS + (before + 1) % PARTS
        found[:, place] = np.where(random.random(users) < 0.85, after, random.integers(0, ITEMS, users))
    return found


def train(model: SequenceModel) -> float:
    """Next-item cross-entropy on fresh walks; answers the last loss."""
    random = np.random.default_rng(7)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss = torch.zeros(())
    for _ in range(STEPS):
        walked = torch.from_numpy(walks(random, BATCH, TRAINED_LENGTH + 1))
        items, targets = walked[:, :-1].clone(), walked[:, 1:]
        # Histories of every length, and unknown items, as they will come.
        start = torch.from_numpy(random.integers(0, TRAINED_LENGTH, (BATCH, 1)))
        mask = torch.arange(TRAINED_LENGTH)[None, :] >= start
        unknown = torch.from_numpy(random.random((BATCH, TRAINED_LENGTH)) < 0.05)
        items[~mask | unknown] = -1
        types = torch.from_numpy(random.integers(1, 6, (BATCH, TRAINED_LENGTH))) * mask
        # Half the time without types: the exported graphs differ in whether they take them.
        states = model.states(items, types if random.random() < 0.5 else None, mask)
        logits = states[mask] @ model.items.weight[1:].T
        loss = nn.functional.cross_entropy(logits, targets[mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def export(model: SequenceModel) -> None:
    """Both graphs. The example has two users and three events: a size of 1 would be taken for a constant."""
    items = torch.tensor([[-1, 3, 7], [5, -1, 9]])
    types = torch.tensor([[0, 1, 1], [1, 1, 5]])
    mask = torch.tensor([[False, True, True], [True, True, True]])
    free = {0: torch.export.Dim("B"), 1: torch.export.Dim("L", max=LENGTH_MAX)}
    torch.onnx.export(
        AsUserVector(model).eval(),
        (items, mask),
        HERE / "sequence_user_vector.onnx",
        input_names=["history_items", "history_mask"],
        output_names=["user_vector"],
        dynamic_shapes={"history_items": free, "history_mask": free},
        opset_version=18,
        dynamo=True,
        external_data=False,
    )
    torch.onnx.export(
        AsTop(model).eval(),
        (items, types, mask),
        str(HERE / "sequence_top.onnx"),
        input_names=["history_items", "history_types", "history_mask"],
        output_names=["item_indices", "scores"],
        dynamic_axes={
            **{name: {0: "B", 1: "L"} for name in ("history_items", "history_types", "history_mask")},
            **{name: {0: "B"} for name in ("item_indices", "scores")},
        },
        opset_version=17,
        dynamo=False,
    )


def write_items() -> None:
    """The id table, which is a catalogue too: line i is the item of index i."""
    lines = [
        {
            "item_id": f"{name.lower()}-{part:02d}",
            "title": f"{name} part {part}",
            "categories": [["Series", name]],
            "price": float(5 + part),
        }
        for name in SERIES_NAMES
        for part in range(1, PARTS + 1)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (HERE / "sequence_items.ndjson").write_text(text, encoding="utf-8")


def main() -> None:
    """Train, export, write."""
    torch.manual_seed(7)
    torch.set_num_threads(1)
    model = SequenceModel()
    loss = train(model)
    write_items()
    export(model)
    np.save(HERE / "sequence_vectors.npy", model.items.weight[1:].detach().numpy())
    sys.stderr.write(f"trained to a loss of {loss:.2f} (guessing: {math.log(ITEMS):.2f})\n")


if __name__ == "__main__":
    main()
