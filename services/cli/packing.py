"""`freshet release pack` and `check`: a team's own model into a release, and what a graph answers."""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from services.cli.backend import release_source, release_url
from services.cli.failure import EXIT_OK, CommandError
from services.cli.output import print_json, print_line, say
from services.kernel.bank import DEFAULT_GAMMAS
from services.kernel.event_type import EventTypes
from services.kernel.settings import EventSettings
from services.release.place import shown_url

# What `check` takes for a catalogue where it is given a graph alone.
NO_TABLE = ("item-0",)
WEIGHT_MAX = 1000.0  # as of FRESHET_EVENT_TYPES: far above any sensible ratio, far below what f32 loses


def pack(arguments: argparse.Namespace) -> int:
    """Build a release around an ONNX graph, run it on every kind of user, and publish it."""
    from services.release.repository import promote, publish

    if arguments.promote and not arguments.publish:
        raise CommandError("--promote makes a published release live: say --publish --promote")
    url = release_url(arguments.release_url) if arguments.publish else arguments.to
    with tempfile.TemporaryDirectory(prefix="freshet-pack-") as scratch:
        built, advice = _packed(arguments, Path(scratch))
        name = publish(built, url)
    if arguments.promote:
        promote(url, name, _now_ms())
    if arguments.as_json:
        print_json(
            {"release": name, "live": arguments.promote, "url": shown_url(url), "advice": _texts(advice)}
        )
        return EXIT_OK
    _say_advice(advice)
    if arguments.promote:
        print_line(f"{name} is live at {shown_url(url)}")
    elif arguments.publish:
        print_line(f"{name} published; `freshet release promote {name}` makes it live; {shown_url(url)}")
    else:
        folder = Path(url) / name
        print_line(f"{folder}: packed, all checks passed; `freshet release publish {folder} --promote`")
    return EXIT_OK


def check(arguments: argparse.Namespace) -> int:
    """Check files, hashes, contract and graph of a release, then run the graph on every kind of user."""
    from services.ranking.model import OnnxModel
    from services.ranking.probe import require_sound
    from services.release.files import open_release
    from services.release.repository import check as check_files

    path = (
        Path(arguments.directory)
        if arguments.directory
        else release_source(release_url(arguments.release_url)).live()
    )
    if path.is_file():
        return _check_file(arguments, path)
    if not path.is_dir():
        raise CommandError(f"{path}: no such file or directory")
    manifest = check_files(path)
    advice = require_sound(OnnxModel(open_release(path, verify=False), warm=False))
    if arguments.as_json:
        answer = {"release": manifest.name, "items": manifest.items, "ok": True, "advice": _texts(advice)}
        print_json(answer)
    else:
        _say_advice(advice)
        print_line(f"{manifest.name}: {manifest.items:,} items, all checks passed")
    return EXIT_OK


def _check_file(arguments: argparse.Namespace, path: Path) -> int:
    """A graph that is in no release yet. Without an id table it is tried with a catalogue of one item."""
    with tempfile.TemporaryDirectory(prefix="freshet-check-") as scratch:
        chosen = argparse.Namespace(
            **vars(arguments), model=str(path), kind="own", gammas=None, event_weights=[], blend=[]
        )
        if arguments.items:
            _, advice = _packed(chosen, Path(scratch))
        else:
            advice = _checked_alone(path, Path(scratch))
    if arguments.as_json:
        print_json({"file": str(path), "ok": True, "advice": _texts(advice)})
        return EXIT_OK
    _say_advice(advice)
    if arguments.items:
        print_line(f"{path}: all checks passed")
    else:
        print_line(
            f"{path}: all checks passed that need no id table; --items I (and --vectors V) checks the rest"
        )
    return EXIT_OK


def _checked_alone(path: Path, scratch: Path) -> list[Any]:
    """Try a graph with one item. Raises ReleaseError; what needs a table is left out."""
    import numpy as np

    from services.ranking.model import OnnxModel
    from services.ranking.probe import probe, refuse
    from services.release.files import open_release
    from services.trainer.graph_file import read_graph
    from services.trainer.own_model import OwnModel, check_signature, pack_directory

    vectors = scratch / "vectors.npy"
    np.save(vectors, np.ones((len(NO_TABLE), check_signature(read_graph(path))), dtype=np.float32))
    built = pack_directory(OwnModel(path, NO_TABLE, vectors=vectors), scratch, 0)
    found = probe(OnnxModel(open_release(built, verify=False), warm=False), table=False)
    return refuse(path.name, found)


def _packed(arguments: argparse.Namespace, scratch: Path) -> tuple[Path, list[Any]]:
    from services.cli.id_table import read_id_table
    from services.trainer.own_model import OwnModel, pack_own

    model = Path(arguments.model)
    if not model.is_file():
        raise CommandError(f"{model}: no such file; --model takes the ONNX file of an export")
    table = read_id_table(arguments.items)
    own = OwnModel(
        model=model,
        item_ids=table.ids,
        items=table.items,
        vectors=Path(arguments.vectors) if arguments.vectors else None,
        kind=arguments.kind,
        gammas=_gammas(arguments.gammas),
        event_weights=_weights(arguments.event_weights),
        blend=_blend(arguments.blend),
    )
    return pack_own(own, scratch, _now_ms())


def _gammas(text: str | None) -> tuple[float, ...]:
    if text is None:
        return DEFAULT_GAMMAS
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise CommandError(f"--gammas: expected numbers such as 0,0.5,0.98,1, found {text!r}") from None


def _weights(texts: Sequence[str]) -> dict[str, float]:
    """The default weights with those of `--event-weights view=1,add_to_cart=3` in their place."""
    types = EventTypes(EventSettings.from_environment().event_types)
    weights = types.weights()
    for spelling, weight in _pairs("--event-weights", texts, "purchase=5"):
        try:
            weights[types.canonical(spelling)] = weight
        except ValueError as error:
            raise CommandError(
                f"--event-weights: {error}; types of your own stand in FRESHET_EVENT_TYPES"
            ) from None
    return weights


def _blend(texts: Sequence[str]) -> dict[str, float]:
    """The ranking's weights that `--blend similarity=1,popularity=0` overrides."""
    from services.ranking.blend import WEIGHTS

    blend = dict(_pairs("--blend", texts, "similarity=0.5"))
    if unknown := sorted(blend.keys() - WEIGHTS.keys()):
        raise CommandError(f"--blend: expected {', '.join(WEIGHTS)}; found {unknown[0]!r}")
    return blend


def _pairs(flag: str, texts: Sequence[str], example: str) -> Iterator[tuple[str, float]]:
    for pair in (pair.strip() for text in texts for pair in text.split(",") if pair.strip()):
        name, _, number = pair.partition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not -WEIGHT_MAX <= weight <= WEIGHT_MAX:
            raise CommandError(
                f"{flag}: expected name=number such as {example}, from -{WEIGHT_MAX:.0f} to "
                f"{WEIGHT_MAX:.0f}, found {pair!r}"
            )
        yield name.strip(), weight


def _texts(advice: Sequence[Any]) -> list[str]:
    return [str(finding) for finding in advice]


def _say_advice(advice: Sequence[Any]) -> None:
    for finding in advice:
        say(f"advice: {finding}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
