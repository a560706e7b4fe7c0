"""Tiny trees of photographs in every layout, as {relative path: bytes}."""

import io
import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 20, 36
CLASSES_JSON = [{"name": "water", "color": [0, 0, 255], "id": 7}, {"name": "land", "color": [0, 255, 0], "id": 3}]


def png(pixels: np.ndarray, palette: bool = False) -> bytes:
    image, file = Image.fromarray(pixels), io.BytesIO()
    if palette:
        image = Image.fromarray(pixels, mode="P")
        image.putpalette(bytes(range(256)) * 3)
    image.save(file, "PNG")
    return file.getvalue()


def photograph(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 9, 3), np.uint8)
    return coarse.repeat(4, 0).repeat(4, 1)


def numbers(known: tuple[int, ...], seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).choice(np.array(known, np.uint8), (5, 9))
    return coarse.repeat(4, 0).repeat(4, 1)


def _pairs(image: str, labels: str, known: tuple[int, ...], palette: bool = False) -> dict[str, bytes]:
    found = {}
    for name in "abc":
        found[image.format(name)] = png(photograph(ord(name)))
        found[labels.format(name)] = png(numbers(known, ord(name)), palette)
    return found


def _both(make) -> dict[str, bytes]:
    return make("train") | make("val")


LISTS = {"names.txt": b"a\nb.png\n"}
LAYOUTS: dict[str, dict[str, bytes]] = {
    "cityscapes": LISTS | _both(
        lambda split: _pairs(
            f"leftImg8bit/{split}/bonn/{{}}_leftImg8bit.png", f"gtFine/{split}/bonn/{{}}_gtFine_labelIds.png",
            (0, 7, 11, 26, 33, 255),
        )
    ),
    "gta5": LISTS | {"val.txt": b"c\n"} | _pairs("images/{}.png", "labels/{}.png", (0, 7, 11, 26, 34), True),
    "camvid": LISTS | _both(lambda split: _pairs(f"{split}/{{}}.png", f"{split}annot/{{}}.png", (0, 3, 10, 11, 255))),
    "folder": LISTS | {"classes.json": json.dumps(CLASSES_JSON).encode()}
    | _pairs("images/{}.png", "labels/{}.png", (3, 7, 255)),
}  # fmt: skip


def write_tree(root: Path, files: dict[str, bytes]) -> None:
    """Make `root` hold these files, and nothing else."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for name, content in files.items():
        path = root / name
        with suppress(OSError):  # of a name that is a folder's too
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
