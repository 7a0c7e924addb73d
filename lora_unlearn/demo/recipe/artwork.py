"""Emoji artwork from npm packages, rendered to RGBA sprites.

The five `@iconify-json/...` packages named in `lora_unlearn.demo.words.STYLES` must lie in a folder
`node_modules` (see `docs/demo-model.md`); nothing is downloaded here.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from ..words import STYLES, THINGS, Thing

SIZE = 128
"""Side of a rendered sprite, and of a picture, in pixels."""


def sprites(node_modules: Path, things: Mapping[str, Thing] = THINGS) -> dict[tuple[str, str], Image.Image]:
    """Render every sprite of the things in every style: `{(style, sprite name): RGBA image}`."""
    rendered = {}
    for style, package in STYLES.items():
        icons = read_icons(node_modules, package)
        for thing in things.values():
            for name in thing.sprites:
                rendered[style, name] = render(icons, name)
    return rendered


def read_icons(node_modules: Path, package: str) -> dict:
    """Read one icon set.

    Raises:
        FileNotFoundError: if the package is not installed there.
    """
    path = node_modules / "@iconify-json" / package / "icons.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; run: npm install @iconify-json/{package}")
    return json.loads(path.read_text(encoding="utf-8"))


def render(icons: dict, name: str, size: int = SIZE) -> Image.Image:
    """Render one icon of a set as a square RGBA image, cropped to its ink and centred."""
    import resvg_py

    name = icons.get("aliases", {}).get(name, {}).get("parent", name)
    icon = icons["icons"][name]
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{2 * size}" height="{2 * size}" viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">'
        f"{icon['body']}</svg>"
    )
    image = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox())
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square.resize((size, size), Image.Resampling.LANCZOS)
