"""A model from PyTorch (`tests/models`) through `freshet release pack` to answers over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from tests.e2e.running import FreshetProcess, eventually
from tests.processes import scratch_directory

MODELS = Path(__file__).resolve().parents[1] / "models"
ITEMS = MODELS / "sequence_items.ndjson"
IDS = [json.loads(line)["item_id"] for line in ITEMS.read_text().splitlines()]
VECTORS: NDArray[np.float32] = np.load(MODELS / "sequence_vectors.npy")
RING = 128
MODEL_ALONE = "similarity=1,popularity=0,covisitation=0,repeat=0,session=0"


@pytest.fixture(scope="module")
def shop() -> Iterator[FreshetProcess]:
    """A Freshet with the model's catalogue and one item that came later, serving the packed model."""
    with scratch_directory("own") as directory:
        with FreshetProcess(Path(directory), ["--empty"], {"FRESHET_RELEASE_POLL_MS": "50"}) as process:
            process.start()
            items = [json.loads(line) for line in ITEMS.read_text().splitlines()]
            items.append({"item_id": "new-thing", "title": "Not in the model"})
            assert process.call("POST", "/items", items)[0] == 202
            pack(process, "sequence_user_vector.onnx", "--vectors", str(MODELS / "sequence_vectors.npy"))
            eventually(lambda: len(process.get("/items?limit=200")["items"]), lambda count: count == 200)
            yield process


def pack(process: FreshetProcess, model: str, *flags: str) -> str:
    """Pack, publish and promote; wait until it is served."""
    told = process.command(
        *("release", "pack", "--model", str(MODELS / model), "--items", str(ITEMS), "--publish", "--promote"),
        *("--blend", MODEL_ALONE, "--json", *flags),
    )
    assert told.returncode == 0, told.stderr
    made = json.loads(told.stdout)
    assert made["live"]
    assert made["advice"] == []
    process.call("POST", "/events", {"user_id": "u-first", "event_type": "view", "item_id": IDS[0]})
    eventually(lambda: answer_of(process, "u-first")["release"], lambda name: name == made["release"])
    return str(made["release"])


def answer_of(process: FreshetProcess, user_id: str, query: str = "n=10") -> dict[str, Any]:
    found: dict[str, Any] = process.get(f"/recommend/{user_id}?{query}")
    return found


def view(process: FreshetProcess, user_id: str, item_ids: Sequence[str]) -> str:
    """Post a history, oldest first; the position of its last event."""
    for start in range(0, len(item_ids), 100):
        events = [
            {"user_id": user_id, "event_type": "view", "item_id": item_id}
            for item_id in item_ids[start : start + 100]
        ]
        status, body = process.call("POST", "/events", events)
        assert status == 202, body
    return str(body["positions"][-1])


def inputs_of(item_ids: Sequence[str]) -> dict[str, NDArray[Any]]:
    """What docs/MODEL.md says that the graph gets."""
    indices = [IDS.index(item_id) if item_id in IDS else -1 for item_id in item_ids[-RING:]]
    items = np.array([indices], dtype=np.int64)
    return {"history_items": items, "history_mask": np.ones_like(items, dtype=np.bool_)}


def run(model: str, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The exported file in ONNX Runtime, nothing of Freshet between."""
    session = onnxruntime.InferenceSession(str(MODELS / model), providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, feeds)
    return found


WALK = [IDS[20 + part % 20] for part in range(160)]
HISTORIES = {
    "one": ["tea-03"],
    "five": ["tea-03", "tea-04", "wine-01", "wine-02", "wine-03"],
    "more-than-a-ring": WALK[:140],
    "unknown-in-between": ["tea-03", "never-heard-of", "tea-04", "new-thing", "tea-05"],
    "unknown-last": ["tea-03", "tea-04", "new-thing"],
    "new-alone": ["new-thing"],
}


@pytest.mark.parametrize("user_id", list(HISTORIES))
def test_the_served_list_is_that_of_the_exported_file(shop: FreshetProcess, user_id: str) -> None:
    position = view(shop, user_id, HISTORIES[user_id])
    answer = answer_of(shop, user_id, f"n=10&after={position}")
    assert answer["strategy"] == "model"
    assert answer["fresh"]
    (user,) = run("sequence_user_vector.onnx", inputs_of(HISTORIES[user_id]))
    scores = VECTORS.astype(np.float64) @ user[0].astype(np.float64)
    z = (scores - scores.mean()) / scores.std()
    served = [(item["item_id"], item["score"]) for item in answer["items"]]
    assert len(served) == 10
    for item_id, score in served:
        assert score == pytest.approx(z[IDS.index(item_id)] if item_id in IDS else 0.0, abs=2e-3), item_id
    if HISTORIES[user_id][-1] in IDS:  # a model that knows what comes next
        assert IDS[int(np.argmax(z))] in {item_id for item_id, _ in served} | set(HISTORIES[user_id])


def test_nobody_gets_a_list_without_the_model(shop: FreshetProcess) -> None:
    answer = answer_of(shop, "nobody-knows-me")
    assert answer["strategy"] != "model"
    assert len(answer["items"]) == 10
    asked = {"user_id": "nobody-knows-me", "n": 5, "recent_items": ["tea-03", "tea-04"]}
    status, answer = shop.call("POST", "/recommend", asked)
    assert status == 200, answer
    assert answer["strategy"] == "model", "the request may bring what the log has not seen"
    assert "tea-05" in [item["item_id"] for item in answer["items"]]


def test_the_order_of_a_history_makes_the_list(shop: FreshetProcess) -> None:
    items = ["tea-03", "bread-11"]
    lists = []
    for user_id, history in (("tea-then-bread", items), ("bread-then-tea", items[::-1])):
        position = view(shop, user_id, history)
        lists.append(shop.recommended(user_id, f"n=5&after={position}"))
    assert lists[0] != lists[1]
    assert "bread-12" in lists[0]
    assert "tea-04" in lists[1]
    position = view(shop, "tea-then-bread", ["honey-07"])
    assert "honey-08" in shop.recommended("tea-then-bread", f"n=5&after={position}"), "the next event counts"


def test_a_graph_that_scores_all_items_itself(shop: FreshetProcess) -> None:
    """The other export, without vectors: they are made from the items. It swaps with the one before."""
    release = pack(shop, "sequence_top.onnx", "--kind", "top")
    history = ["tea-03", "tea-04", "wine-01", "wine-02", "wine-03"]
    position = view(shop, "top-user", history)
    answer = answer_of(shop, "top-user", f"n=10&after={position}")
    assert (answer["strategy"], answer["release"]) == ("model", release)
    feeds = inputs_of(history)
    feeds["history_types"] = np.ones_like(feeds["history_items"])  # views
    indices, scores = run("sequence_top.onnx", feeds)
    z = (scores[0] - scores[0].min()) / scores[0].std()
    expected = {IDS[index]: float(score) for index, score in zip(indices[0], z, strict=True)}
    for item in answer["items"]:
        assert item["score"] == pytest.approx(expected[item["item_id"]], abs=2e-3)
    checked = shop.command("release", "check")
    assert checked.returncode == 0, checked.stderr
    assert "all checks passed" in checked.stdout
