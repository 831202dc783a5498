"""What each image adds to its base: `python -m tests.compose.images`, the end of `make images`."""

from __future__ import annotations

import gzip
import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.compose.stack import StepError, docker, note

BASE = "python:3.13-slim"
VERSION = "0.1.0"
SERVICES = ("ingest", "profiler", "recommender", "gateway", "cli", "trainer")


class Size(NamedTuple):
    """Bytes over the base: as files, and as they travel (each layer gzipped, as registries keep them)."""

    files: int
    travelling: int


def layers(image: str) -> list[str]:
    """The ids of its layers, lowest first."""
    found: list[str] = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return found


def size_over_base(image: str) -> Size:
    """Measure one image. Raises StepError where it is not there, or not built on the base that is here."""
    base, own = layers(BASE), layers(image)
    if own[: len(base)] != base:
        raise StepError(f"{image} is not built on the {BASE} that is here: build it again")
    files = sum(int(docker("image", "inspect", "--format", "{{.Size}}", name)) * sign
                for name, sign in ((image, 1), (BASE, -1)))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.tar"
        docker("save", "--output", str(path), image)
        with tarfile.open(path) as archive:
            manifest = archive.extractfile("manifest.json")
            assert manifest is not None
            names = json.load(manifest)[0]["Layers"][len(base) :]
            travelling = 0
            for name in dict.fromkeys(names):
                layer = archive.extractfile(name)
                assert layer is not None
                travelling += len(gzip.compress(layer.read(), 6))
    return Size(files, travelling)


def main() -> int:
    """One line an image that is here."""
    note(f"{'image':24} {'over its base':>14} {'gzipped':>9}")
    for service in SERVICES:
        image = f"freshet-{service}:{VERSION}"
        try:
            size = size_over_base(image)
        except StepError as error:
            note(f"{image:24} {error}")
            continue
        note(f"{image:24} {size.files / 1e6:11.1f} MB {size.travelling / 1e6:6.1f} MB")
        value = {"name": f"image_{service}", "value": round(size.files / 1e6, 1), "unit": "MB",
                 "gzipped_mb": round(size.travelling / 1e6, 1)}  # fmt: skip
        sys.stdout.write(json.dumps(value) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
