"""Savings over the size of a shop, as a picture: a panel a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from services.cli.failure import CommandError
from services.trainer.plots import STYLE

_COLOURS: Final = ("#1f6f8b", "#d1793b", "#6a9a3d", "#8a5fa8", "#5b6770")


def draw_sweep(report: dict[str, Any], path: Path) -> None:
    """Draw what `report_of` made of several rates. Raises CommandError where it cannot be written."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scales = report["scales"]
    if len(scales) < 2:
        raise CommandError("--plot needs several rates, as --scale 1000,10000,100000")
    services = scales[0]["services"]
    with rc_context(STYLE):
        figure = Figure(figsize=(3.3 * len(services) + 0.6, 3.5), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(services), squeeze=False, sharey=True)[0]
        for at, axis in enumerate(panels):
            _panel(axis, scales, at)
        panels[0].set_ylabel("saved against always on, %")
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise CommandError(f"{path}: the plot cannot be written: {error.strerror}") from None


def _panel(axis: Any, scales: list[dict[str, Any]], at: int) -> None:
    rates = [one["requests_a_day"] for one in scales]
    service = scales[0]["services"][at]
    drawn = 0
    for row, choice in enumerate(service["choices"]):
        saved = [100 * one["services"][at]["choices"][row]["saved"] for one in scales]
        if "always" in choice["name"] or not any(saved):
            continue
        colour = _COLOURS[drawn % len(_COLOURS)]
        axis.plot(rates, saved, color=colour, linewidth=1.6, marker="o", markersize=3, label=choice["name"])
        drawn += 1
    axis.axhline(0, color="#9aa5ac", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_title(service["service"], fontsize=9.5, loc="left")
    axis.set_xlabel("requests a day")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e6eaec", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.minorticks_off()
    axis.set_ylim(-46, 104)  # room for the names; what loses more than that is cut
    axis.legend(fontsize=7, frameon=False, loc="lower left")
