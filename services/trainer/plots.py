"""An evaluation as a picture: bars with their intervals, one panel a figure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from services.kernel.release import ReleaseError

FORMATS: Final = (".svg", ".png")
_OWN, _OTHER, _EDGE, _TEXT = "#1f6f8b", "#b9c4cc", "#37424a", "#22282c"
_BAR_INCHES: Final = 0.34  # height of a bar: names stay readable
STYLE: Final[Any] = {  # matplotlib types every key
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _TEXT,
    "axes.edgecolor": "#c8cfd4",
    "axes.labelcolor": _TEXT,
    "xtick.color": _EDGE,
    "ytick.color": _TEXT,
    "svg.fonttype": "none",  # text stays text: small, searchable
    "svg.hashsalt": "freshet",  # the same figures, the same file
}


def draw_methods(report: dict[str, Any], path: Path, title: str = "") -> None:
    """HR and NDCG at the first k of all methods, best first; a row of panels below for `refresh` where it was
    asked for.

    The suffix says the format. Raises ReleaseError for one that is unknown, or where the file cannot be
    written.
    """
    k = report["k"][0]
    methods = sorted(report["methods"], key=lambda one: -one["at"][str(k)]["hr"]["value"])
    groups = [methods]
    if report.get("refresh"):
        groups.append(report["refresh"])
    _draw(report, groups, path, title or f"Held-out events, {report['release']}", k)


def draw_refresh(report: dict[str, Any], path: Path, title: str) -> None:
    """HR and NDCG at the first k against the age of profiles."""
    _draw(report, [report["refresh"]], path, title, report["k"][0])


def _draw(
    report: dict[str, Any], groups: Sequence[Sequence[dict[str, Any]]], path: Path, title: str, k: int
) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if path.suffix.lower() not in FORMATS:
        raise ReleaseError(f"{path}: a plot is written as {' or '.join(FORMATS)}, by the name's ending")
    heights = [len(group) * _BAR_INCHES + 0.55 for group in groups]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, sum(heights) + 0.95), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(groups), 2, squeeze=False, height_ratios=heights)
        for row, group in zip(axes, groups, strict=True):
            for at, (axis, metric) in enumerate(zip(row, ("hr", "ndcg"), strict=True)):
                _bars(axis, group, metric, k, names=at == 0)
        figure.suptitle(f"{title}\n{_subtitle(report)}", x=0.01, ha="left", fontsize=9.5)
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise ReleaseError(f"{path}: the plot cannot be written: {error.strerror}") from None


def _bars(axis: Any, group: Sequence[dict[str, Any]], metric: str, k: int, *, names: bool) -> None:
    found = [one["at"][str(k)][metric] for one in group]
    values = [one["value"] for one in found]
    spread = [
        [one["value"] - one["low"] for one in found],
        [one["high"] - one["value"] for one in found],
    ]
    own = [one["name"] in {"for_you", "live"} for one in group]
    places = range(len(group))
    axis.barh(places, values, height=0.64, color=[_OWN if is_own else _OTHER for is_own in own])
    axis.errorbar(values, places, xerr=spread, fmt="none", ecolor=_EDGE, elinewidth=1, capsize=2.5)
    room = max((one["high"] for one in found), default=0.0) or 1.0
    for place, one in zip(places, found, strict=True):
        axis.text(one["high"] + 0.02 * room, place, f"{one['value']:.3f}", va="center", fontsize=8)
    axis.set_xlim(0, 1.16 * room)
    axis.locator_params(axis="x", nbins=5)
    axis.set_yticks(list(places), [_named(one) for one in group] if names else [])
    axis.invert_yaxis()
    axis.tick_params(length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_title(f"{metric.upper()}@{k}", fontsize=9, loc="left")


def _named(one: dict[str, Any]) -> str:
    """A bar's name: of a refresh interval also how many profiles were empty."""
    if "refresh_s" not in one:
        return str(one["name"])
    label = re.sub(r"^(\d+)", r"every \1 ", one["name"])  # every 1 min
    return f"{label} ({100 * one['empty']:.0f} % empty)" if one["empty"] else label


def _subtitle(report: dict[str, Any]) -> str:
    first, last = report["from"][:10], report["until"][:10]
    return (
        f"{report['questions']:,} questions of {report['subjects']:,} subjects, {first} to {last}, "
        f"{report['catalogue']:,} items; 95 % intervals"
    )
