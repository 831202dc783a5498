"""A short film of a page, for the README: what a click moves."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw  # matplotlib brings it
from playwright.sync_api import Locator, Page

# The page moves this much slower while it is filmed: a picture takes a tenth of a second.
SLOWER: Final = 0.25
PICTURES: Final = 20
PICTURE_MS: Final = 70
BEFORE_MS: Final = 1600
AFTER_MS: Final = 3600
WIDTH: Final = 960
QUALITY: Final = 62
_POINTER: Final = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))
_PAUSE_MS: Final = 1000


def film(page: Page, target: Locator, path: Path, followed: Callable[[], object]) -> None:
    """Click `target`, and write what follows to `path` (WebP). `followed` waits until all has arrived."""
    target.hover()
    page.wait_for_timeout(_PAUSE_MS)  # what moved before has come to rest
    box = target.bounding_box()
    assert box is not None
    pointer = (box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6)
    session = page.context.new_cdp_session(page)
    session.send("Animation.enable")
    session.send("Animation.setPlaybackRate", {"playbackRate": SLOWER})
    frames = [_picture(page, pointer)]
    target.click()
    followed()  # first: to take pictures would slow down what the strip measures
    frames += [_picture(page, pointer) for _ in range(PICTURES)]
    session.send("Animation.setPlaybackRate", {"playbackRate": 1})
    page.wait_for_timeout(_PAUSE_MS)
    frames.append(_picture(page, pointer))
    durations = [BEFORE_MS, *[PICTURE_MS] * PICTURES, AFTER_MS]
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=QUALITY,
        method=6,
        minimize_size=True,
    )


def _picture(page: Page, pointer: tuple[float, float]) -> Image.Image:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    x, y = pointer
    outline = [(x + dx * 1.3, y + dy * 1.3) for dx, dy in _POINTER]
    ImageDraw.Draw(picture).polygon(outline, fill="black", outline="white", width=2)
    return picture.resize((WIDTH, picture.height * WIDTH // picture.width), Image.Resampling.LANCZOS)
