"""From a scene to a buffer of face numbers: projection, hidden faces by drawing order, soft ground shadows."""

from itertools import chain
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from minida.data.minicity.world import Scene

NEAR = 0.8  # metres; no face may come closer


class Painting(NamedTuple):
    """What the style develops: `ids` at `fine` times the image's size, all else per face (row 0 is the sky)."""

    ids: np.ndarray  # (fine * H, fine * W) int32
    fine: int
    faces: np.ndarray  # (P + 1, 9): see Sketch.rows
    depth: np.ndarray  # (P + 1,) metres
    shadow: np.ndarray  # (H, W) uint8: 255 = no light at all


def project(scene: Scene, points: np.ndarray, height: int) -> np.ndarray:
    """(N, 3) metres -> (N, 2) pixels (column, row) of a 1:2 image: a pinhole with a shifted horizon."""
    x, y, z = points.T
    z = np.maximum(z, NEAR)
    scale = scene.focal * height / z
    columns = height + (x + scene.sketch.bend * z * z) * scale
    rows = scene.horizon * height + (scene.sketch.eye - y) * scale
    return np.clip(np.stack([columns, rows], 1), -30000, 30000)


def paint(scene: Scene, size: tuple[int, int], sunshine: float) -> Painting:
    """Draw the scene; `sunshine` is the share of the light that a cast shadow takes away."""
    (height, width), s = size, scene.sketch
    fine = 2 if height * width <= 1 << 17 else 1
    faces = np.array(s.rows)
    points = np.fromiter(chain.from_iterable(s.points), np.float64, 3 * len(s.points)).reshape(-1, 3)
    ends = np.cumsum(faces[:, 0]).astype(int)
    starts = ends - faces[:, 0].astype(int)
    depth = np.add.reduceat(np.maximum(points[:, 2], NEAR), starts) / faces[:, 0]
    pixels = project(scene, points, height * fine)
    pixels[:, 0] += (width - 2 * height) * fine / 2
    flat = np.floor(pixels).astype(int).ravel().tolist()
    buffer = Image.new("I", (width * fine, height * fine), 0)
    polygon = ImageDraw.Draw(buffer).polygon
    for number, (a, b) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True), 1):
        polygon(flat[2 * a : 2 * b], fill=number)
    sky = np.array([[0, 200, 200, 200, 10, 0, 0, 1, 0]])
    return Painting(np.asarray(buffer), fine, np.concatenate([sky, faces]), np.concatenate([[1e4], depth]),
                    _shadows(scene, size, sunshine))  # fmt: skip


def _shadows(scene: Scene, size: tuple[int, int], sunshine: float) -> np.ndarray:
    """(H, W) uint8 darkening of the ground: sunlight blocked (positive strengths) and contact patches (negative)."""
    height, width = size
    mask = Image.new("L", (width, height), 0)
    polygon = ImageDraw.Draw(mask).polygon
    for blocked, strength in sorted(scene.sketch.shadows, key=lambda shadow: -shadow[1]):
        points = np.array([(x, 0.0, max(z, NEAR)) for x, z in blocked])
        pixels = np.floor(project(scene, points, height) + (width / 2 - height, 0.0)).astype(int)
        level = sunshine * strength if strength > 0 else -strength
        polygon(pixels.ravel().tolist(), fill=int(255 * level))
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(0.005 * height)))
