"""From a painting to a photograph: light, weather, surface texture, lens and sensor.

Full frames see only sums, products and table look-ups, so that the bytes are the same on every machine.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from minida.data.minicity.painter import Painting, paint
from minida.data.minicity.world import Scene, within

TILE = 512  # side of the noise tile; a power of two
F32 = np.float32


@lru_cache(maxsize=1)
def _tile() -> np.ndarray:
    """(TILE, TILE) float32 periodic noise of many scales, mean 0, deviation 1."""
    rng, tile = np.random.Generator(np.random.PCG64(7)), np.zeros((TILE, TILE))
    for cells in (8, 16, 32, 64, 128, 256):
        step = TILE // cells
        octave = rng.standard_normal((cells, cells)).repeat(step, 0).repeat(step, 1)
        for axis in (0, 1, 0, 1):  # a box filter as wide as a cell, twice
            octave = sum(np.roll(octave, lag, axis) for lag in range(step)) / step
        tile += octave / octave.std()
    return (tile / tile.std()).clip(-2.5, 2.5).astype(F32)


@lru_cache(maxsize=4)
def _sensor(height: int, width: int) -> np.ndarray:
    """(3, H + 64, W + 64) float32 unit noise; an image takes a window of it."""
    return np.random.Generator(np.random.PCG64(11)).standard_normal((3, height + 64, width + 64), dtype=F32)


class Weather:
    """Light and air of one scene."""

    def __init__(self, scene: Scene) -> None:
        d, mood = scene.domain, scene.mood
        self.overcast = within(d.overcast, mood[0])
        self.sun = np.array(d.sunlight) * (1 - self.overcast) ** 1.5
        self.sky = np.array(d.skylight) * (1 + 0.45 * self.overcast)
        self.sunshine = float((self.sun / (self.sun + self.sky)).mean())
        self.air, grey = np.array(d.haze_colour), np.array(d.grey)
        self.zenith, self.rim = (c + (grey - c) * self.overcast for c in (np.array(d.zenith), np.array(d.rim)))
        self.density = -np.log1p(-within(d.haze, mood[1])) / 100
        self.exposure, self.warmth = within(d.exposure, mood[5]), within(d.warmth, mood[6])

    def haze(self, depth: np.ndarray) -> np.ndarray:
        """The share of the view lost to haze at a depth in metres."""
        return 1 - np.exp(-self.density * depth)


class Frame:
    """One image while it is being developed, and the views of it that the steps share."""

    def __init__(self, scene: Scene, size: tuple[int, int]) -> None:
        self.scene, self.size, self.weather = scene, size, Weather(scene)
        self.painting: Painting = paint(scene, size, self.weather.sunshine)
        fine, height = self.painting.fine, size[0]
        self.ids = self.painting.ids[fine // 2 :: fine, fine // 2 :: fine]  # (H, W)
        self.drop = (np.arange(height) + 0.5) / height - scene.horizon  # of each row below the horizon
        self.first = int(np.searchsorted(self.drop, 0.0, side="right"))  # the first row below it
        self.depth = scene.focal * scene.sketch.eye / np.maximum(self.drop, 1e-3)  # of the ground in each row
        self.image = self._colour()  # (3, H, W) float32

    def per_face(self, column: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """A number of each face, spread over the face's pixels."""
        return column.astype(F32).take(self.ids[rows])

    def _colour(self) -> np.ndarray:
        """Every face in its own light, edges averaged; upright faces already behind their haze."""
        weather, painting = self.weather, self.painting
        faces, fine = painting.faces, painting.fine
        colours = faces[:, 1:4] * faces[:, 7:8] * (weather.sky + weather.sun * faces[:, 6:7])
        colours += (weather.air - colours) * weather.haze(painting.depth)[:, None] * (1 - faces[:, 8:9])
        colours[0] = (weather.zenith + weather.rim) / 2
        table = colours.clip(0, 255).astype(np.uint8)
        planes = [Image.fromarray(np.ascontiguousarray(table[:, c]).take(painting.ids)).reduce(fine) for c in range(3)]
        return np.stack([np.asarray(plane) for plane in planes]).astype(F32)

    def _plane(self, depth: np.ndarray, scale: float) -> np.ndarray:
        """(len(depth), W): the noise tile laid on a horizontal plane, for rows that see it at these depths."""
        (height, width), scene = self.size, self.scene
        x = (np.arange(width) + 0.5 - width / 2) / height / scene.focal
        columns = (x * depth[:, None] - scene.sketch.bend * depth[:, None] ** 2) * scale
        offset = int(scene.mood[2] * TILE)
        lines = ((depth * scale).astype(np.int32) + offset) & (TILE - 1)
        return _tile()[lines[:, None], (columns.astype(np.int32) + offset) & (TILE - 1)]

    def add_surface(self) -> None:
        """Texture on every surface (on the ground in perspective), and the shadows on the ground."""
        faces, mood, texture = self.painting.faces, self.scene.mood, self.scene.domain.texture
        steps = [(np.arange(side) * (TILE / self.size[0])).astype(np.int32) for side in self.size]
        rows, columns = ((step + int(u * TILE)) & (TILE - 1) for step, u in zip(steps, mood[3:5], strict=True))
        shade = _tile()[rows[:, None], columns] * self.per_face(faces[:, 5] * (1 - faces[:, 8]) * texture)
        below, depth = slice(self.first, None), self.depth[self.first :]
        flat = self.per_face(faces[:, 5] * faces[:, 8] * texture, below)
        shade[below] += self._plane(depth, 24.0) * (flat * np.minimum(1, 14 / depth).astype(F32)[:, None])
        shade += 1
        shade *= 1 - self.painting.shadow * (self.per_face(faces[:, 8]) * F32(1 / 255))
        self.image *= shade

    def add_air(self) -> None:
        """Haze over the ground by distance; the sky's gradient and its clouds."""
        weather, image, first = self.weather, self.image, self.first
        veil = weather.haze(self.depth[first:]).astype(F32)[:, None]
        veil = veil * self.per_face(self.painting.faces[:, 8], slice(first, None))
        lower = image[:, first:]
        lower += (weather.air.astype(F32)[:, None, None] - lower) * veil
        if first:
            sky = (self.ids[:first] == 0).astype(F32)
            height = np.minimum(1, -self.drop[:first] / 0.45) ** 0.7
            tone = weather.rim[:, None] + (weather.zenith - weather.rim)[:, None] * height
            tone -= (weather.zenith + weather.rim)[:, None] / 2
            clouds = self._plane(0.6 / np.maximum(-self.drop[:first], 0.02), 60.0)
            clouds = (clouds + F32(2.2 * weather.overcast - 0.4)).clip(0, 1.4) * (sky * F32(0.5))
            upper = image[:, :first]
            upper += tone.astype(F32)[:, :, None] * sky
            upper += (F32(246 - 40 * weather.overcast) - upper) * clouds

    def expose(self) -> np.ndarray:
        """Saturation, exposure, white balance, contrast, vignette, blur, soft colour, noise -> (3, H, W) uint8."""
        d, mood, image, (height, width) = self.scene.domain, self.scene.mood, self.image, self.size
        grey = image[0] * F32(0.299) + image[1] * F32(0.587) + image[2] * F32(0.114)
        image -= grey
        image *= F32(within(d.saturation, mood[8]))
        image += grey
        y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in self.size)
        dark = (1 - d.vignette * 1.6 * (x**2 + y[:, None] ** 2)).astype(F32)
        contrast, warmth = within(d.contrast, mood[7]), self.weather.warmth
        for c, balance in enumerate((warmth**0.5, 1.0, warmth**-0.5)):
            image[c] *= dark * F32(self.weather.exposure * contrast * balance)
        image += F32(118 * (1 - contrast))
        planes = [Image.fromarray(plane) for plane in image.clip(0, 255).astype(np.uint8)]
        lens = ImageFilter.GaussianBlur(within(d.blur, mood[9]) * height / 1000)
        luma, *colour = Image.merge("RGB", planes).filter(lens).convert("YCbCr").split()
        soft = [plane.filter(ImageFilter.GaussianBlur(d.chroma * height / 1000)) for plane in colour]
        picture = Image.merge("YCbCr", [luma, *soft]).convert("RGB")
        row, column = int(mood[10] * 64), int(mood[11] * 64)
        image = _sensor(*self.size)[:, row : row + height, column : column + width] * F32(within(d.noise, mood[12]))
        image += np.asarray(picture).transpose(2, 0, 1)
        return (image + F32(0.5)).clip(0, 255).astype(np.uint8)


def develop(scene: Scene, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A scene -> image (3, H, W) uint8 and labels (H, W) uint8."""
    frame = Frame(scene, size)
    frame.add_surface()
    frame.add_air()
    return frame.expose(), frame.painting.faces[:, 4].astype(np.uint8)[frame.ids]
