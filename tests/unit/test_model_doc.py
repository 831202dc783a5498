"""docs/MODEL.md against the code: its tables are the contract's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.kernel.bank import DEFAULT_GAMMAS, RING_CAPACITY
from services.kernel.event_type import DEFAULT_WEIGHTS, UNRECORDED, EventType
from services.kernel.release import INPUTS, OPSET_MAX, OPSET_MIN, OUTPUTS, Manifest, Tensor
from services.ranking.blend import WEIGHTS
from services.ranking.features import FEATURES
from services.ranking.inputs import SEEN_MAX
from services.ranking.model import TOP_K
from services.ranking.scenario_file import built_in
from services.recommender.batching import MAX_BATCH
from services.release.files import Release

DOC = (Path(__file__).resolve().parents[2] / "docs" / "MODEL.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, its head left out."""
    section = re.split(rf"^#+ {re.escape(heading)}$", DOC, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@pytest.mark.parametrize(("heading", "table"), [("Inputs", INPUTS), ("Outputs", OUTPUTS)])
def test_the_closed_table(heading: str, table: Mapping[str, Tensor]) -> None:
    stated = [(row[0].strip("`"), row[1], row[2]) for row in rows(heading)]
    assert stated == [
        (name, tensor.dtype, f"[{', '.join(str(size) for size in tensor.shape)}]")
        for name, tensor in table.items()
    ]


def test_sizes_and_opsets() -> None:
    assert f"Opset {OPSET_MIN} to {OPSET_MAX} of" in DOC
    assert f"expected {OPSET_MIN} to {OPSET_MAX}`" in DOC
    assert f"`L` is 1 to {RING_CAPACITY}," in DOC
    assert f"`M` is 1 to {SEEN_MAX:,}." in DOC
    assert f"1 to {MAX_BATCH};" in re.sub(r"\s+", " ", DOC)
    assert f"takes the best {TOP_K}." in re.sub(r"\s+", " ", DOC)
    (limit,) = (use.limit for use in built_in()["for_you"].sources if use.name == "model")
    assert f"looks at the first {limit}." in DOC
    assert f"γ = {', '.join(f'{gamma:g}' for gamma in DEFAULT_GAMMAS)} " in DOC


def test_event_types() -> None:
    stated = {row[1].strip("`"): (int(row[0]), row[2]) for row in rows("Event types")}
    assert {name: number for name, (number, _) in stated.items()} == {
        kind.name.lower(): int(kind) for kind in EventType
    }
    for name, (number, weight) in stated.items():
        if number in UNRECORDED:
            assert weight == "in no history"
        else:
            assert float(weight.split(",")[0]) == DEFAULT_WEIGHTS[name]


def test_terms_of_the_blend() -> None:
    assert {row[0].strip("`"): float(row[1]) for row in rows("After the model")} == dict(WEIGHTS)


def test_fields_of_the_manifest_and_files_of_a_release(release: Release) -> None:
    section = DOC.split("| field of the manifest |")[1].split("\n\n")[0]
    stated = {
        name for line in section.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split(" | ")[0])
    }
    assert stated == set(Manifest.__struct_fields__)
    for file in release.path.iterdir():
        assert f"`{file.name}`" in DOC, file.name


def test_links_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", DOC, flags=re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", DOC)) <= anchors


def test_the_features_of_the_ranker() -> None:
    stated = [name.strip("` ") for row in rows("The ranker") for name in row[0].split(",")]
    assert stated == list(FEATURES)
