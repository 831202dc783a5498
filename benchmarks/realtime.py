"""What real-time profiles are worth: HR against the age of profiles, on public data.

Every question is answered by the code that serves, from the profile as it stood at the last multiple of the
refresh interval; trending and popularity are live for all (`services/trainer/refresh.py`). Sets are read
below FRESHET_DATASETS; one that is not there is skipped. A set gets a day-0 release of its own items; with
`--train NAME` one trained on everything before the first question, with `--release NAME=DIR` that one. One
JSON object a line; `--docs` draws the figures into docs/images, too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks._datasets import Loaded, complete_journey, diginetica, ml100k
from benchmarks._measure import emit, note
from services.kernel.item import Item
from services.release.files import open_release
from services.trainer.day0 import build_day0
from services.trainer.refresh import interval_s
from services.trainer.report import report_of, summary_of
from services.trainer.side_by_side import EvaluateConfig, evaluate

INTERVALS = ("live", "1min", "1h", "1d")
VIEW_S = 30  # assumed between two views of a Diginetica session; the set has an order and no times
IMAGES = Path("docs/images")
SETS: Mapping[str, tuple[str, Callable[[], Loaded]]] = {
    "ml-100k": ("Films rated in a sitting (ML-100k)", lambda: ml100k(aligned=False)),
    "completejourney": ("Weekly shopping (Complete Journey)", complete_journey),
    "diginetica": (
        "Product views in a session (Diginetica, a view each 30 s)",
        lambda: diginetica(click_s=VIEW_S, session_s=None),
    ),
}


def measure(loaded: Loaded, given: Path | None, questions: int, *, trained: bool) -> dict[str, Any]:
    """The report of one set (`services/trainer/report.py`), under the release `given`, or one made here."""
    table, items, info = loaded
    if items is None:
        items = [Item(item_id=item_id) for item_id in table.item_ids]
    with tempfile.TemporaryDirectory() as folder:
        release_dir = given or _release(loaded, items, Path(folder), trained=trained)
        config = EvaluateConfig(
            ks=info.k[:1],
            from_s=info.ask_from_s,
            questions_max=questions,
            baselines=False,
            refresh={name: interval_s(name) for name in INTERVALS},
            only=info.asked,
        )
        release = open_release(release_dir)
        return report_of(evaluate(table, items, release, info.rules, config))


def _release(loaded: Loaded, items: list[Item], folder: Path, *, trained: bool) -> Path:
    """A day-0 release, or one trained on what came before the first question."""
    if not trained:
        return build_day0(items, folder)
    from services.trainer.train import TrainConfig, material_of, train

    table, _, info = loaded
    material = material_of(table.before(info.ask_from_s), items, info.rules)
    return train(material, TrainConfig(), folder, 0).directory


def tell(name: str, report: dict[str, Any]) -> None:
    """One JSON object for each interval: HR, its interval, what it is less or more than live."""
    k = report["k"][0]
    note(f"{name}, {report['release']}: {summary_of(report)}")
    for aged in report["refresh"]:
        at = aged["at"][str(k)]
        difference = at.get("difference")
        emit(
            f"{name}_hr_at_{k}_{aged['name']}",
            [at["hr"]["value"]],
            "share",
            4,
            interval=[at["hr"]["low"], at["hr"]["high"]],
            ndcg=at["ndcg"],
            minus_live=difference["hr"] if difference else None,
            minus_live_ndcg=difference["ndcg"] if difference else None,
            empty_share=aged["empty"],
            questions=report["questions"],
            subjects=report["subjects"],
            release=report["release"],
        )


def main() -> None:
    """Measure every set that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=tuple(SETS), help="this set; may be repeated")
    parser.add_argument("--train", action="append", default=[], choices=tuple(SETS), help="a model for it")
    parser.add_argument("--release", action="append", default=[], metavar="NAME=DIR", help="of a set")
    parser.add_argument("--questions", type=int, default=10_000, help="of a set at most; 0: all")
    parser.add_argument("--docs", action="store_true", help=f"draw into {IMAGES}")
    arguments = parser.parse_args()
    releases = dict(pair.split("=", 1) for pair in arguments.release)
    for name in arguments.only or SETS:
        title, load = SETS[name]
        try:
            loaded = load()
        except FileNotFoundError as error:
            note(f"{name}: skipped, {error.filename} is not there (FRESHET_DATASETS)")
            continue
        given = releases.get(name)
        own = Path(given) if given else None
        report = measure(loaded, own, arguments.questions, trained=name in arguments.train)
        tell(name, report)
        if arguments.docs:
            from services.trainer.plots import draw_refresh

            IMAGES.mkdir(exist_ok=True)
            draw_refresh(report, IMAGES / f"realtime-{name}.svg", title)


if __name__ == "__main__":
    main()
