"""Quality of trained releases on public data, by the published protocols.

Each set is trained from its events as `freshet train` does, without the test part, and asked through the
shipped ONNX files and the ranking that answers HTTP, as `freshet evaluate` does. Settings were chosen on
the held-out part of the training data alone. Sets are read below FRESHET_DATASETS (default ../shared/data);
one that is not there is skipped. One JSON object a line: a figure with its 95 % interval (resampled by
subject) and its baselines. `--keep DIR` keeps the releases.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from benchmarks._datasets import Info, Loaded, complete_journey, diginetica, ml1m, ml100k, root
from benchmarks._measure import emit, note
from services.kernel.item import Item
from services.release.files import Release, open_release
from services.trainer.event_table import EventTable
from services.trainer.fit import FitConfig
from services.trainer.report import methods_table, report_of
from services.trainer.side_by_side import EvaluateConfig, evaluate
from services.trainer.train import TrainConfig, material_of, train


@dataclass(frozen=True)
class Benchmark:
    """One set: how it is loaded and trained, which figures it gives, what others reached on it."""

    load: Callable[[], Loaded]
    config: TrainConfig
    figures: dict[str, str]  # name of the figure → metric of the report
    references: dict[str, float] = field(default_factory=dict)


SETS: dict[str, Benchmark] = {
    "ml-1m": Benchmark(
        ml1m,
        TrainConfig(d=128, hidden=512, fit=FitConfig(epochs=10, dropout=0.2)),
        {"ml1m_hr_at_10": "hr", "ml1m_ndcg_at_10": "ndcg"},
        {"SASRec+CE hr": 0.3152, "HSTU-large hr": 0.3294, "LRURec hr": 0.3264},
    ),
    "diginetica": Benchmark(
        diginetica,
        TrainConfig(d=128, hidden=512, fit=FitConfig(epochs=4, examples=2048, dropout=0.3)),
        {"diginetica_p_at_20": "hr", "diginetica_mrr_at_20": "mrr"},
        {"VMIS-kNN hr": 0.521, "GCE-GNN hr": 0.5422},
    ),
    "ml-100k": Benchmark(
        ml100k,
        TrainConfig(d=64, hidden=256, fit=FitConfig(epochs=20, examples=1024, dropout=0.3)),
        {"ml100k_hr_at_10": "hr", "ml100k_ndcg_at_10": "ndcg"},
        {"Gorse hr": 0.080, "popularity hr": 0.086},
    ),
    "completejourney": Benchmark(
        complete_journey,
        TrainConfig(d=64, hidden=256, fit=FitConfig(epochs=10, examples=1024, dropout=0.3)),
        {"completejourney_hr_at_10": "hr", "completejourney_ndcg_at_10": "ndcg"},
    ),
}


def items_of(name: str, table: EventTable, items: list[Item] | None) -> list[Item]:
    """Items as the protocol has them: ML-1M's references know ids alone, and no protocol knows the rule that
    a category takes at most 40 % of a list, so ML-100k's genres stand as tags. A shop keeps its categories.
    """
    if items is None or name == "ml-1m":
        return [Item(item_id=item_id) for item_id in table.item_ids]
    if name == "ml-100k":
        return [msgspec.structs.replace(item, categories=[]) for item in items]
    return items


def measure(name: str, benchmark: Benchmark, keep: Path | None, made: Path | None) -> None:
    """Train (unless a release is `made` already), evaluate, print."""
    table, found, info = benchmark.load()
    items = items_of(name, table, found)
    if made is not None:
        _emit(benchmark, _report(table, items, open_release(made), info))
        return
    with tempfile.TemporaryDirectory(prefix="freshet-quality-") as folder:
        began_s, cpu_s = time.monotonic(), _cpu_s()
        material = material_of(table.before(info.ask_from_s), items, info.rules)
        trained = train(material, _with_protocol(benchmark.config, info), keep or Path(folder), 0, tell=_tell)
        note(f"{name}: trained in {time.monotonic() - began_s:.0f} s, {_cpu_s() - cpu_s:.0f} s of CPU")
        prefix = next(iter(benchmark.figures)).split("_")[0]
        emit(f"{prefix}_train_cpu_s", [_cpu_s() - cpu_s], "s", 0)
        release = open_release(trained.directory)
        _emit(benchmark, _report(table, items, release, info))


def _with_protocol(config: TrainConfig, info: Info) -> TrainConfig:
    return replace(config, holdout_from_s=info.tune_from_s, frozen=info.frozen)


def _report(table: EventTable, items: list[Item], release: Release, info: Info) -> dict[str, Any]:
    config = EvaluateConfig(
        ks=info.k[:1],
        from_s=info.ask_from_s,
        questions_max=0,
        frozen=info.frozen,
        only=info.asked,
    )
    report = report_of(evaluate(table, items, release, info.rules, config))
    if info.questions is not None and report["questions"] != info.questions:
        note(f"the protocol has {info.questions:,} questions, {report['questions']:,} could be asked")
    header, rows = methods_table(report)
    for row in [header, *rows]:
        note("  ".join(cell.ljust(14) for cell in row))
    return report


def _emit(benchmark: Benchmark, report: dict[str, Any]) -> None:
    k = str(report["k"][0])
    served, *others = report["methods"]
    for name, metric in benchmark.figures.items():
        estimate = served["at"][k][metric]
        emit(
            name,
            [estimate["value"]],
            "share",
            4,
            interval=[round(estimate["low"], 4), round(estimate["high"], 4)],
            baselines={one["name"]: round(one["at"][k][metric]["value"], 4) for one in others},
            references={
                label.rsplit(" ", 1)[0]: value
                for label, value in benchmark.references.items()
                if label.endswith(metric)
            },
            questions=report["questions"],
            coverage=served["at"][k]["coverage"],
            release=report["release"],
        )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


_last_note: list[Any] = ["", 0.0]


def _tell(stage: str, done: float, total: float, text: str = "") -> None:
    now_s = time.monotonic()
    if stage != _last_note[0] or now_s - _last_note[1] > 30:
        _last_note[:] = [stage, now_s]
        note(f"  {stage} {100 * done / max(total, 1):.0f} % {text}")


def main() -> None:
    """Measure the sets that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated, of " + ", ".join(SETS))
    parser.add_argument("--keep", type=Path, help="keep the releases below this directory")
    parser.add_argument("--release", action="append", default=[], metavar="SET=DIR", help="evaluate this one")
    arguments = parser.parse_args()
    made = {name: Path(folder) for name, _, folder in (each.partition("=") for each in arguments.release)}
    for name in arguments.sets.split(","):
        if name not in SETS:
            sys.exit(f"{name!r} is no set; there are {', '.join(SETS)}")
        try:
            measure(name, SETS[name], arguments.keep, made.get(name))
        except FileNotFoundError as error:
            note(f"{name} is skipped: {error.filename} is not there; FRESHET_DATASETS is {root()}")


if __name__ == "__main__":
    main()
