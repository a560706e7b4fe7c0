"""From a scene to a buffer of face numbers: projection, hidden faces by drawing order, soft ground shadows."""

from itertools import chain
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from minida.data.minicity.world import Scene

NEAR = 0.8  # metres; nothing comes closer


class Painting(NamedTuple):
    """What the style develops: `ids` at `fine` times the image's size, all else per face (row 0 is the sky)."""

    ids: np.ndarray  # (fine * H, fine * W) int32
    fine: int
    faces: np.ndarray  # (P + 1, 9): see Sketch.rows
    depth: np.ndarray  # (P + 1,) metres
    shadow: np.ndarray  # (H, W) uint8: 255 = no light at all


def _project(scene: Scene, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, 3) metres -> (N, 2) whole pixels (column, row): a pinhole camera with a shifted horizon."""
    (height, width), (x, y, z) = size, points.T
    z = np.maximum(z, NEAR)
    scale = scene.focal * height / z
    columns = width / 2 + (x + scene.sketch.bend * z * z) * scale
    rows = scene.horizon * height + (scene.sketch.eye - y) * scale
    return np.floor(np.stack([columns, rows], 1).clip(-30000, 30000)).astype(np.int32)


def _draw(image: Image.Image, pixels: np.ndarray, sizes: np.ndarray, values: list[int]) -> None:
    """Fill polygons of `sizes` corners each, in order, leaving out those wholly outside the image."""
    ends = np.cumsum(sizes)
    starts = ends - sizes
    low, high = np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)
    seen = np.flatnonzero(((high >= 0) & (low < image.size)).all(1)).tolist()
    flat, starts, ends = pixels.ravel().tolist(), (2 * starts).tolist(), (2 * ends).tolist()
    polygon = ImageDraw.Draw(image).polygon
    for k in seen:
        polygon(flat[starts[k] : ends[k]], fill=values[k])


def paint(scene: Scene, size: tuple[int, int], sunshine: float) -> Painting:
    """Draw the scene; `sunshine` is the share of the light that a cast shadow takes away."""
    (height, width), sketch = size, scene.sketch
    fine = 2 if height * width <= 1 << 19 else 1
    faces, large = np.array(sketch.rows), (height * fine, width * fine)
    points = np.fromiter(chain.from_iterable(sketch.points), np.float64).reshape(-1, 3)
    sizes = faces[:, 0].astype(np.int64)
    depth = np.add.reduceat(np.maximum(points[:, 2], NEAR), np.cumsum(sizes) - sizes) / sizes
    ids = Image.new("I", large[::-1], 0)
    _draw(ids, _project(scene, points, large), sizes, list(range(1, len(sizes) + 1)))
    mask = Image.new("L", size[::-1], 0)
    shadows = sorted(sketch.shadows, key=lambda shadow: -shadow[1])  # contact patches last
    ground = np.array([(x, 0.0, z) for outline, _ in shadows for x, z in outline])
    levels = [int(255 * (sunshine * depth if depth > 0 else -depth)) for _, depth in shadows]
    _draw(mask, _project(scene, ground, size), np.array([len(outline) for outline, _ in shadows]), levels)
    shadow = np.asarray(mask.filter(ImageFilter.GaussianBlur(0.005 * height)))
    sky = [[0, 200, 200, 200, 10, 0, 0, 1, 0]]
    return Painting(np.asarray(ids), fine, np.concatenate([sky, faces]), np.concatenate([[1e4], depth]), shadow)
