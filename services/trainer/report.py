"""An evaluation as one JSON object, and as the rows of a table.

Keys of the object (all shares and scores between 0 and 1):

    release, kind           which release was evaluated, and what kind it is
    questions, subjects     how many events were asked about, and whose
    possible                events that could have been asked about; more than `questions`: a sample
    left_out                {"unknown_items", "first_events", "expired"}: held-out events without a question
    lines, catalogue        event lines replayed, items of the catalogue
    first, from, until      RFC 3339: the first event, the first moment asked about, the last event
    frozen, seed, draws     as it was run; `draws` of the bootstrap
    seen                    the release was trained on events that it is asked about: its figures flatter it
    k                       the cut-offs, as numbers
    wanted_popularity       mean popularity percentile of what was wanted
    methods                 a list, the release's `for_you` first
    refresh                 a list, only where it was asked for: {"name", "refresh_s", "empty", "at"}; `empty`
                            is the share of questions whose profile was empty

A method is {"name", "release", "at": {"10": {…}}}. At each k stand `hr`, `ndcg`, `mrr`, `recall`,
`popularity`, `popularity_bias`, each {"value", "low", "high"} with a 95 % interval, `coverage` (a number),
and, for all but the first, `difference`: {"hr", "ndcg", "mrr", "recall"}, each as above: this method minus
the first on the same questions. `judgement` says what each figure means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from services.trainer.bootstrap import DRAWS, Bootstrap
from services.trainer.judgement import METRICS, FloatArray, Judged
from services.trainer.side_by_side import Entrant, Evaluation, moment_of

COMPARED: Final = ("hr", "ndcg", "mrr", "recall")
_DIGITS: Final = 5
_PLACES: Final = [METRICS.index(name) for name in COMPARED]


def report_of(evaluation: Evaluation) -> dict[str, Any]:
    """The object that the module describes."""
    questions, chosen, config = evaluation.questions, evaluation.chosen, evaluation.config
    bootstrap = Bootstrap(questions.subjects, config.seed)
    figures = _Figures(evaluation, bootstrap)
    found: dict[str, Any] = {
        "release": evaluation.served.release,
        "kind": evaluation.kind,
        "questions": questions.count,
        "subjects": bootstrap.subjects,
        "possible": chosen.possible,
        "left_out": {
            "unknown_items": chosen.unknown,
            "first_events": chosen.new,
            "expired": len(chosen.records) - questions.count,
        },
        "lines": evaluation.lines,
        "catalogue": evaluation.catalogue_items,
        "first": moment_of(evaluation.first_s),
        "from": moment_of(chosen.from_s),
        "until": moment_of(evaluation.until_s),
        "frozen": config.frozen,
        "seen": config.seen,
        "seed": config.seed,
        "draws": DRAWS,
        "k": list(config.ks),
        "wanted_popularity": round(float(questions.wanted_popularity.mean()), _DIGITS),
        "methods": [
            {"name": one.name, "release": one.release, "at": figures.at(one)}
            for one in evaluation.entrants
            if one.refresh_s is None
        ],
    }
    if config.refresh:
        found["refresh"] = [
            {
                "name": one.name,
                "refresh_s": one.refresh_s,
                "empty": round(float(one.aged.empty.mean()), _DIGITS) if one.aged is not None else 0.0,
                "at": figures.at(one),
            }
            for one in evaluation.entrants
            if one.refresh_s is not None
        ]
    return found


class _Figures:
    """Figures of the entrants, by one set of draws."""

    def __init__(self, evaluation: Evaluation, bootstrap: Bootstrap) -> None:
        self._evaluation = evaluation
        self._bootstrap = bootstrap
        self._first = {
            k: (columns := evaluation.served.judged.columns(k), bootstrap.means(columns))
            for k in evaluation.config.ks
        }

    def at(self, entrant: Entrant) -> dict[str, Any]:
        """By k, as text."""
        return {str(k): self._at(entrant.judged, k) for k in self._evaluation.config.ks}

    def _at(self, judged: Judged, k: int) -> dict[str, Any]:
        first, first_draws = self._first[k]
        served = judged is self._evaluation.served.judged
        columns = first if served else judged.columns(k)
        draws = first_draws if served else self._bootstrap.means(columns)
        found: dict[str, Any] = dict(zip(METRICS, _estimates(columns, draws), strict=True))
        found["coverage"] = round(judged.coverage(k, self._evaluation.catalogue_items), _DIGITS)
        if not served:
            apart = _estimates((columns - first)[:, _PLACES], (draws - first_draws)[:, _PLACES])
            found["difference"] = dict(zip(COMPARED, apart, strict=True))
        return found


def _estimates(columns: FloatArray, draws: FloatArray) -> list[dict[str, float]]:
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return [
        {"value": round(value, _DIGITS), "low": round(least, _DIGITS), "high": round(most, _DIGITS)}
        for value, least, most in zip(columns.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)
    ]


def methods_table(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of the methods, a row for each method and k."""
    several = any(_recall_says_more(method, report["k"]) for method in report["methods"])
    header = ["method", "k", "HR", "", "NDCG", "", "MRR", *(["recall"] if several else [])]
    header += ["coverage", "popularity", "bias", "HR − for_you", ""]
    rows = []
    for k in report["k"]:
        for method in report["methods"]:
            at = method["at"][str(k)]
            row = [method["name"], str(k), *_with_interval(at["hr"]), *_with_interval(at["ndcg"])]
            row += [_number(at["mrr"]), *([_number(at["recall"])] if several else [])]
            row += [f"{at['coverage']:.3f}", f"{at['popularity']['value']:.3f}"]
            row += [f"{at['popularity_bias']['value']:+.3f}", *_difference(at)]
            rows.append(row)
    return header, rows


def refresh_table(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of the refresh intervals, a row for each interval and k."""
    header = ["refresh", "k", "HR", "", "NDCG", "", "empty profiles", "HR − for_you", ""]
    rows = []
    for k in report["k"]:
        for aged in report["refresh"]:
            at = aged["at"][str(k)]
            row = [aged["name"], str(k), *_with_interval(at["hr"]), *_with_interval(at["ndcg"])]
            rows.append([*row, f"{100 * aged['empty']:.1f} %", *_difference(at)])
    return header, rows


def summary_of(report: dict[str, Any]) -> str:
    """What was asked, in two sentences."""
    left = report["left_out"]
    could = report["possible"] - left["expired"]
    sampled = f" of {could:,}" if could > report["questions"] else ""
    why = [
        f"{left[name]:,} {text}"
        for name, text in (
            ("first_events", "of people without a history"),
            ("unknown_items", "on items that the catalogue does not hold"),
            ("expired", "after the profile had expired"),
        )
        if left[name]
    ]
    rest = f" Not asked: {', '.join(why)}." if why else ""
    return (
        f"{report['questions']:,}{sampled} questions of {report['subjects']:,} subjects, "
        f"{report['from'][:10]} to {report['until'][:10]}, {report['catalogue']:,} items; intervals: 95 %, "
        f"{report['draws']:,} draws of subjects, seed {report['seed']}.{rest}"
    )


def _recall_says_more(method: dict[str, Any], ks: Iterable[int]) -> bool:
    return any(method["at"][str(k)]["recall"] != method["at"][str(k)]["hr"] for k in ks)


def _with_interval(estimate: dict[str, float]) -> Sequence[str]:
    return _number(estimate), f"({estimate['low']:.4f} to {estimate['high']:.4f})"


def _difference(at: dict[str, Any]) -> Sequence[str]:
    if "difference" not in at:
        return "", ""
    apart = at["difference"]["hr"]
    return f"{apart['value']:+.4f}", f"({apart['low']:+.4f} to {apart['high']:+.4f})"


def _number(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.4f}"
