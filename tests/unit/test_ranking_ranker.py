"""The second stage: tables, features and the ranker's graph, on a release whose numbers are random."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.kernel.bank import DEFAULT_GAMMAS
from services.kernel.change import weight_of
from services.kernel.event_type import EventTypes
from services.kernel.item import Item
from services.kernel.profile import Profile
from services.kernel.release import Artefact, ReleaseError, content_name, encode_manifest
from services.ranking.features import FEATURES, FloatArray
from services.ranking.gather import gather
from services.ranking.inputs import ModelQuestion
from services.ranking.model import ModelAnswer, OnnxModel
from services.ranking.question import Question
from services.ranking.rank import rank
from services.ranking.ranked import Ranked
from services.ranking.ranker import OnnxRanker
from services.ranking.reasons import Reasons
from services.ranking.state import RankingState, RankRequest
from services.ranking.transitions import BACKWARD, FORWARD, NEAR, WIDE, Transitions
from services.release.files import open_release, sha256_of
from services.trainer.network import NetworkShape, first_params
from services.trainer.replay import LiveAggregates, Profiles, ReplayRules, records_of
from services.trainer.sequences import sequences_of
from services.trainer.trained_graph import save_ranker
from services.trainer.trained_release import Parts, build_trained
from services.trainer.transition_counts import PRIOR, WIDE_DECAY
from services.trainer.world import World
from tests.unit.trainer_events import START_S, circle_items, table_of, walks

RULES = ReplayRules(EventTypes())
WEIGHT_OF = weight_of(RULES.types)
COLUMN = {name: place for place, name in enumerate(FEATURES)}


RowArray = NDArray[np.int64]


def random_ranker(features: tuple[str, ...] = FEATURES) -> dict[str, FloatArray]:
    generator = np.random.default_rng(8)
    width, hidden = len(features), 8
    sizes = {"w1": (width, hidden), "w2": (hidden, hidden), "w3": (hidden, 1), "linear": (width, 1)}
    params = {name: generator.standard_normal(size).astype(np.float32) for name, size in sizes.items()}
    params |= {"mean": np.zeros(width, np.float32), "spread": np.ones(width, np.float32)}
    params |= {"b1": np.zeros(hidden, np.float32), "b2": np.zeros(hidden, np.float32)}
    return params


def built(folder: Path, ranker: dict[str, FloatArray] | None) -> Path:
    items = circle_items()
    params = first_params(NetworkShape(len(items), 8, DEFAULT_GAMMAS, 16), seed=2)
    arrays = {name: np.asarray(value) for name, value in params.items()}
    sequences = sequences_of(walks(60, seed=3), WEIGHT_OF)
    weights = RULES.types.weights()
    return build_trained(Parts(items, arrays, DEFAULT_GAMMAS, sequences, weights, ranker, {}), folder, 1)


def rename(path: Path, **change: Any) -> None:
    """Change the manifest of a release, and its name with it."""
    manifest = msgspec.structs.replace(open_release(path).manifest, **change)
    named = msgspec.structs.replace(manifest, name=content_name(manifest))
    (path / "manifest.json").write_bytes(encode_manifest(named))


@dataclasses.dataclass(frozen=True)
class Case:
    """Somebody in the middle of a walk, and all that ranking needs to answer."""

    world: World
    state: RankingState
    profile: Profile
    now_ms: int
    answer: ModelAnswer

    def candidates(self) -> tuple[Ranked, RowArray]:
        """What the ranker is asked about, and its features."""
        question = Question(self.state, self.profile, RankRequest(self.now_ms), self.answer)
        assert question.ranked is not None
        return question.ranked, gather(question, question.scenario.sources).rows


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    release = open_release(built(tmp_path_factory.mktemp("release"), random_ranker()))
    world = World.of(
        release, [*circle_items(), Item(item_id="new", title="thing 9", categories=[["circle 0"]])]
    )
    table = walks(60, seed=3)
    profiles, live = Profiles(table, release, RULES), LiveAggregates(RULES)
    for record in records_of(table):
        change = profiles.change_of(record)
        live.add(profiles.get(record.subject), change, profiles.space)
        profiles.apply(record, change)
    profile = profiles.get(int(table.subjects[-1]))
    assert profile is not None
    now_ms = (int(table.times_s[-1]) + 120) * 1000
    answer = world.model.run([ModelQuestion(profile, now_ms)])[0]
    return Case(world, RankingState(world.catalogue, live.snapshot(), world.model), profile, now_ms, answer)


def test_transitions_are_shares_of_what_followed(tmp_path: Path) -> None:
    # 0 1 2 twice, by two people, and 0 2 once.
    walks_of = [(0, 1, 2), (0, 1, 2), (0, 2)]
    rows = [(who, item, START_S + at) for who, walk in enumerate(walks_of) for at, item in enumerate(walk)]
    items = circle_items()[:3]
    params = first_params(NetworkShape(3, 8, DEFAULT_GAMMAS, 16), seed=2)
    arrays = {name: np.asarray(value) for name, value in params.items()}
    parts = Parts(items, arrays, DEFAULT_GAMMAS, sequences_of(table_of(rows, 3), WEIGHT_OF), {}, None, {})
    release = open_release(build_trained(parts, tmp_path, 1))
    forward, backward = Transitions.open(release, FORWARD), Transitions.open(release, BACKWARD)
    assert forward is not None
    assert backward is not None
    spread = forward.spread([0, -1, 2])
    found = dict(zip(spread.items.tolist(), spread.shares.tolist(), strict=True))
    wide = 2 + (1 + 2 * WIDE_DECAY)  # 1 twice right after 0; 2 once right after, twice one further on
    assert found[1] == pytest.approx([2 / (3 + PRIOR), 2 / (wide + PRIOR)])
    assert found[2] == pytest.approx([1 / (3 + PRIOR), (1 + 2 * WIDE_DECAY) / (wide + PRIOR)])
    assert spread.source.tolist() == [0, 0]  # nothing follows 2
    assert forward.row(0, 1).tolist() == [2]  # the strongest first
    assert backward.row(2, 9).tolist() == [0, 1]
    assert not len(forward.row(-1, 9))
    assert (NEAR, WIDE) == (0, 1)


def test_features_say_what_they_are_named_after(case: Case) -> None:
    ranked, rows = case.candidates()
    made = ranked.features(rows)
    assert made.shape == (len(rows), len(FEATURES))
    assert np.isfinite(made).all()
    at = {case.world.catalogue.id_of(row): place for place, row in enumerate(rows.tolist())}

    def value(item_id: str, name: str) -> float:
        return float(made[at[item_id], COLUMN[name]])

    ring = case.profile.ring
    last = int(case.world.release.index_of(int(ring["item"][-1])))
    following = f"i{last // 12 * 12 + (last + 1) % 12:03d}"
    other = next(item_id for item_id in at if item_id not in {"new"} and int(item_id[1:]) // 12 != last // 12)
    assert value(following, "next_near") > value(other, "next_near") == 0
    assert value(f"i{last:03d}", "had_ago") == 1
    assert value(f"i{last:03d}", "had_times") >= math.log(2)
    assert value(following, "same_category") == 1
    assert value(other, "same_category") == 0
    assert value("new", "is_new") == 1
    best = case.world.release.item_ids[int(case.answer.item_indices[0])]
    assert value(best, "network_rank") == 0
    assert made[:, COLUMN["network_logp"]].max() <= 0
    assert value(following, "history") == pytest.approx(math.log1p(len(ring)))
    assert value(following, "idle") == pytest.approx(math.log1p(2), abs=0.01)


def test_a_row_has_the_same_features_in_whatever_company(case: Case) -> None:
    ranked, rows = case.candidates()
    whole: FloatArray = ranked.features(rows)
    for part in (slice(0, 1), slice(3, 40, 3), slice(len(rows) - 1, None)):
        np.testing.assert_allclose(ranked.features(rows[part]), whole[part], rtol=1e-5, atol=1e-6)


def test_the_ranker_orders_the_list_and_the_blend_stands_in_for_a_late_model(case: Case) -> None:
    ranking = rank(case.state, case.profile, RankRequest(case.now_ms, n=20), case.answer)
    assert ranking.strategy == "model"
    (ranked, rows), ranker = case.candidates(), case.world.model.ranker
    assert ranker is not None
    scores = dict(zip(rows.tolist(), ranker.scores(ranked.features(rows)).tolist(), strict=True))
    shown = [scores[item.row] for item in ranking.items]
    assert shown[:4] == sorted(scores.values(), reverse=True)[:4]  # further down categories are capped
    assert all(item.reason.text for item in ranking.items)
    late = rank(case.state, case.profile, RankRequest(case.now_ms, n=20), None)
    assert late.strategy == "session"
    assert [item.row for item in late.items] != [item.row for item in ranking.items]


def test_that_many_want_an_item_is_said_only_where_nothing_of_the_subject_is(case: Case) -> None:
    """However much the blend would make of it: the ranker ordered the list."""
    question = Question(case.state, case.profile, RankRequest(case.now_ms), case.answer)
    wanted = question.demand.trending | question.demand.popular
    mine = np.array(sorted(set(question.evidence.repeats) & wanted))
    assert len(mine), "nothing that the subject had to do with is popular as well"
    terms = question.blend.terms(mine)
    terms = terms._replace(popularity=np.full(len(mine), 100.0))
    about = (case.state, question.evidence, terms, list(range(len(mine))), question.say)
    assert {reason.code for reason in Reasons(*about).all()} <= {"trending", "popular"}
    codes = {reason.code for reason in Reasons(*about, personal_first=True).all()}
    assert codes <= {"viewed_before", "chosen_with_item", "similar_to_item", "same_category", "taste"}
    ranking = rank(case.state, case.profile, RankRequest(case.now_ms, n=60), case.answer)
    assert {"trending", "popular"} & {item.reason.code for item in ranking.items}, (
        "of others it is still said"
    )


def test_candidates_of_the_request_are_ranked_and_nothing_else(case: Case) -> None:
    chosen = ("i050", "i003", "new", "nowhere")
    ranking = rank(case.state, case.profile, RankRequest(case.now_ms, candidates=chosen), case.answer)
    assert {item.item_id for item in ranking.items} == {"i050", "i003", "new"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": (*FEATURES[:-1], "moon_phase")}, "wants the feature 'moon_phase'"),
        (
            {"features": FEATURES[:-1]},
            f"takes {len(FEATURES)} features, the manifest of .* {len(FEATURES) - 1}",
        ),
    ],
)
def test_a_ranker_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, tuple[str, ...]], message: str
) -> None:
    path = built(tmp_path, random_ranker())
    rename(path, **change)
    with pytest.raises(ReleaseError, match=message):
        OnnxModel(open_release(path))


def test_features_without_a_ranker_are_refused(tmp_path: Path) -> None:
    path = built(tmp_path, None)
    release = open_release(path)
    assert OnnxModel(release).ranker is None
    rename(path, features=FEATURES)
    with pytest.raises(ReleaseError, match="one needs the other"):
        open_release(path)


def test_a_ranker_may_take_some_of_the_features(tmp_path: Path) -> None:
    few = ("popularity", "network_logp", "had_ago")
    path = built(tmp_path, None)
    graph = save_ranker(path, random_ranker(few))
    release = open_release(path)
    file = path / "ranker.onnx"
    artefacts = release.manifest.artefacts | {
        "ranker": Artefact(file.name, sha256_of(file), file.stat().st_size)
    }
    graphs = release.manifest.graphs | {"ranker": graph}
    rename(path, artefacts=artefacts, graphs=graphs, features=few)
    ranker = OnnxRanker(open_release(path))
    features = np.random.default_rng(1).standard_normal((5, len(FEATURES))).astype(np.float32)
    before = ranker.scores(features)
    features[:, COLUMN["idle"]] += 1
    np.testing.assert_array_equal(ranker.scores(features), before)
    features[:, COLUMN["popularity"]] += 1
    assert (ranker.scores(features) != before).all()
