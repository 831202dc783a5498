"""`freshet evaluate`: held-out events through the code that serves, beside the baselines."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cli.backend import release_source, release_url
from services.cli.failure import EXIT_OK, CommandError
from services.cli.history import read_history, rules_of_deployment
from services.cli.output import print_json, print_line, print_table, say
from services.cli.progress import progress
from services.cli.timestamps import moment_s

if TYPE_CHECKING:
    from services.kernel.item import Item
    from services.release.files import Release
    from services.trainer.event_table import EventTable
    from services.trainer.side_by_side import EvaluateConfig


def evaluate(arguments: argparse.Namespace) -> int:
    """Replay, judge, show."""
    from services.trainer.archive_place import ArchiveError
    from services.trainer.report import report_of
    from services.trainer.side_by_side import evaluate as run

    config = _config(arguments)
    plot = _plot_path(arguments.plot)
    release = _release(release_url(arguments.release))
    compare = [_release(url) for url in arguments.compare]
    rules = rules_of_deployment()
    try:
        table = read_history(arguments.events, arguments, rules.types)
        items = _items(arguments.items, release)
    except ArchiveError as error:
        raise CommandError(str(error)) from None
    config = _unseen(config, release, table)
    with progress("replaying held-out events", 1.0, quiet=arguments.as_json) as show:
        evaluation = run(
            table,
            items,
            release,
            rules,
            config,
            compare=compare,
            tell=lambda what, share: show(share, what),
        )
    report = report_of(evaluation)
    if plot is not None:
        _draw(report, plot)
    if arguments.as_json:
        print_json(report)
    else:
        _print(report)
    return EXIT_OK


def _config(arguments: argparse.Namespace) -> EvaluateConfig:
    from services.trainer.refresh import interval_s
    from services.trainer.side_by_side import EvaluateConfig

    try:
        ks = tuple(sorted({int(part) for part in arguments.k.split(",")}))
    except ValueError:
        raise CommandError(f"--k takes numbers, such as --k 10,20; not {arguments.k!r}") from None
    try:
        names = [part.strip() for part in (arguments.refresh or "").split(",") if part.strip()]
        refresh = {name: interval_s(name) for name in names}
    except ValueError as error:
        raise CommandError(f"--refresh: {error}; for instance --refresh live,1min,1h,1d") from None
    return EvaluateConfig(
        ks=ks,
        from_s=moment_s(arguments.from_time) if arguments.from_time else None,
        holdout_share=arguments.holdout_share,
        questions_max=arguments.max_questions,
        frozen=arguments.frozen,
        refresh=refresh,
    )


def _unseen(config: EvaluateConfig, release: Release, table: EventTable) -> EvaluateConfig:
    """Ask about what came after the release was trained, where nothing else is said; warn where it knows."""
    from services.trainer.evaluate import trained_until_s
    from services.trainer.side_by_side import moment_of

    until_s = trained_until_s(release)
    if not until_s:
        return config
    if config.from_s is None and int(table.times_s[-1]) > until_s:
        say(f"asking about what came after {release.name} was trained: from {moment_of(until_s)} on")
        return replace(config, from_s=until_s + 1)
    if config.from_s is None or config.from_s <= until_s:
        say(
            f"{release.name} was trained on events up to {moment_of(until_s)}: it has seen answers that it "
            "is asked for here, and its figures flatter it. Export and evaluate again when new events have "
            "come in, or name an older release (--release)"
        )
        return replace(config, seen=True)
    return config


def _plot_path(text: str | None) -> Path | None:
    """Refused before the work, not after it."""
    from services.trainer.plots import FORMATS

    if text is None:
        return None
    path = Path(text)
    if path.suffix.lower() not in FORMATS:
        raise CommandError(f"--plot {text}: the name ends in {' or '.join(FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise CommandError(f"--plot {text}: there is no directory {path.absolute().parent}")
    return path


def _release(url: str) -> Release:
    """A release directory, or the live one of a root."""
    from services.release.files import open_release

    return open_release(release_source(url).live())


def _items(url: str | None, release: Release) -> Sequence[Item]:
    from services.trainer.events import read_items
    from services.trainer.side_by_side import items_of

    return items_of(release) if url is None else read_items(url)


def _draw(report: dict[str, Any], path: Path) -> None:
    from services.trainer.plots import draw_methods

    draw_methods(report, path)
    say(f"drawn in {path}")


def _print(report: dict[str, Any]) -> None:
    from services.trainer.report import methods_table, refresh_table, summary_of

    print_line(f"{report['release']}: {summary_of(report)}")
    print_line()
    print_table(*methods_table(report))
    if "refresh" in report:
        print_line()
        print_table(*refresh_table(report))
