"""From a painting to a photograph: light, weather, surface texture, lens and sensor.

Full frames see only additions, products and table look-ups, so that the bytes are the same on every machine.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from minida.data.minicity.domains import Domain
from minida.data.minicity.painter import NEAR, Painting, paint
from minida.data.minicity.world import Scene, within

TILE = 512


@lru_cache(maxsize=1)
def _tile() -> np.ndarray:
    """(TILE, TILE) float32 periodic noise of many scales, mean 0, deviation 1."""
    rng, tile = np.random.Generator(np.random.PCG64(7)), np.zeros((TILE, TILE))
    for cells in (8, 16, 32, 64, 128, 256):
        octave = rng.standard_normal((cells, cells)).repeat(TILE // cells, 0).repeat(TILE // cells, 1)
        for axis in (0, 1):  # a box filter as wide as a cell, twice
            for _ in range(2):
                ends = np.cumsum(np.concatenate([octave, octave], axis), axis)
                step = TILE // cells
                head, tail = (np.take(ends, range(TILE + lag, 2 * TILE + lag), axis) for lag in (-1, -1 - step))
                octave = (head - tail) / step
        tile += octave / octave.std()
    return (tile / tile.std()).clip(-2.5, 2.5).astype(np.float32)


@lru_cache(maxsize=4)
def _sensor(height: int, width: int) -> np.ndarray:
    """(3, H + 64, W + 64) float32 unit noise; an image takes a window of it."""
    rng = np.random.Generator(np.random.PCG64(11))
    return rng.standard_normal((3, height + 64, width + 64), dtype=np.float32)


class Weather:
    """Light and air of one scene."""

    def __init__(self, d: Domain, mood: list[float]) -> None:
        self.overcast = within(d.overcast, mood[0])
        self.sun = np.array(d.sunlight) * (1 - self.overcast) ** 1.5
        self.sky = np.array(d.skylight) * (1 + 0.45 * self.overcast)
        self.sunshine = float((self.sun / (self.sun + self.sky)).mean())
        self.zenith, self.rim, grey = np.array(d.zenith), np.array(d.rim), np.array(d.grey)
        self.zenith = self.zenith + (grey - self.zenith) * self.overcast
        self.rim = self.rim + (grey - self.rim) * self.overcast
        self.air = np.array(d.haze_colour)
        self.density = -np.log1p(-within(d.haze, mood[1])) / 100

    def haze(self, depth: np.ndarray) -> np.ndarray:
        return 1 - np.exp(-self.density * depth)


def develop(scene: Scene, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A scene -> image (3, H, W) uint8 and labels (H, W) uint8."""
    weather = Weather(scene.domain, scene.mood)
    painting = paint(scene, size, weather.sunshine)
    ids = painting.ids[painting.fine // 2 :: painting.fine, painting.fine // 2 :: painting.fine]
    labels = painting.faces[:, 4].astype(np.uint8)[ids]
    image = _colour(painting, weather)
    _surface(image, ids, painting, scene)
    _air(image, ids, painting, scene, weather)
    return _camera(image, scene), labels


def _colour(painting: Painting, weather: Weather) -> np.ndarray:
    """(3, H, W) float32: every face in its own light, edges averaged; upright faces already behind their haze."""
    faces = painting.faces
    light = weather.sky + weather.sun * faces[:, 6:7]
    colours = faces[:, 1:4] * faces[:, 7:8] * light
    haze = weather.haze(painting.depth)[:, None] * (1 - faces[:, 8:9])
    colours += (weather.air - colours) * haze
    colours[0] = (weather.zenith + weather.rim) / 2
    table = colours.clip(0, 255).astype(np.uint8)
    planes = [Image.fromarray(np.ascontiguousarray(table[:, c]).take(painting.ids)) for c in range(3)]
    planes = [plane.reduce(painting.fine) if painting.fine > 1 else plane for plane in planes]
    return np.stack([np.asarray(plane) for plane in planes]).astype(np.float32)


def _plane(scene: Scene, size: tuple[int, int], rows: np.ndarray, scale: float) -> np.ndarray:
    """The noise tile laid on a horizontal plane: (len(rows), W), for the depths `rows` of the image's rows."""
    height, width = size
    x = ((np.arange(width) + 0.5) / height - width / height / 2) / scene.focal
    columns = (x[None, :] * rows[:, None] - scene.sketch.bend * rows[:, None] ** 2) * scale
    offset = int(scene.mood[2] * TILE)
    lines = ((rows * scale).astype(np.int32) + offset) & (TILE - 1)
    return _tile()[lines[:, None], (columns.astype(np.int32) + offset) & (TILE - 1)]


def _split(scene: Scene, height: int) -> tuple[int, np.ndarray]:
    """The first row below the horizon, and every row's distance from it in image heights."""
    drop = (np.arange(height) + 0.5) / height - scene.horizon
    return int(np.searchsorted(drop, 0.0, side="right")), drop


def _surface(image: np.ndarray, ids: np.ndarray, painting: Painting, scene: Scene) -> None:
    """Texture on every surface (on the ground in perspective), and the shadows on the ground."""
    (height, width), faces = ids.shape, painting.faces
    first, drop = _split(scene, height)
    rows = ((np.arange(height) * (TILE / height)).astype(np.int32) + int(scene.mood[3] * TILE)) & (TILE - 1)
    columns = ((np.arange(width) * (TILE / height)).astype(np.int32) + int(scene.mood[4] * TILE)) & (TILE - 1)
    upright = (faces[:, 5] * (1 - faces[:, 8]) * scene.domain.texture).astype(np.float32)
    shade = _tile()[rows[:, None], columns] * upright.take(ids)
    depth = scene.focal * scene.sketch.eye / np.maximum(drop[first:], 1e-3)
    flat = (faces[:, 5] * faces[:, 8] * scene.domain.texture).astype(np.float32).take(ids[first:])
    flat *= np.minimum(1, 14 / depth).astype(np.float32)[:, None]
    shade[first:] += _plane(scene, ids.shape, depth, 24.0) * flat
    shade += 1
    lying = faces[:, 8].astype(np.float32).take(ids)
    shade *= 1 - painting.shadow * (lying * np.float32(1 / 255))
    image *= shade


def _air(image: np.ndarray, ids: np.ndarray, painting: Painting, scene: Scene, weather: Weather) -> None:
    """Haze over the ground by distance; the sky's gradient and its clouds."""
    first, drop = _split(scene, ids.shape[0])
    depth = scene.focal * scene.sketch.eye / np.maximum(drop, 1e-3)
    veil = weather.haze(np.maximum(depth, NEAR)).astype(np.float32)[:, None]
    veil = veil[first:] * painting.faces[:, 8].astype(np.float32).take(ids[first:])
    lower = image[:, first:]
    lower += (weather.air.astype(np.float32)[:, None, None] - lower) * veil
    if first < 1:
        return
    open_sky = (ids[:first] == 0).astype(np.float32)
    height = np.clip(-drop[:first] / 0.45, 0, 1) ** 0.7
    clouds = _plane(scene, ids.shape, 0.6 / np.maximum(-drop[:first], 0.02), 60.0)
    clouds = (clouds + np.float32(2.2 * weather.overcast - 0.4)).clip(0, 1.4) * (open_sky * np.float32(0.5))
    mean = (weather.zenith + weather.rim) / 2
    for c in range(3):
        tone = weather.rim[c] + (weather.zenith[c] - weather.rim[c]) * height
        image[c, :first] += (tone - mean[c]).astype(np.float32)[:, None] * open_sky
        white = np.float32(246 - 40 * weather.overcast)
        image[c, :first] += (white - image[c, :first]) * clouds


def _camera(image: np.ndarray, scene: Scene) -> np.ndarray:
    """Exposure, white balance, saturation, contrast, vignette, blur, soft colour and noise -> (3, H, W) uint8."""
    d, mood, (_, height, width) = scene.domain, scene.mood, image.shape
    warmth, contrast = within(d.warmth, mood[6]), within(d.contrast, mood[7])
    gain = within(d.exposure, mood[5]) * contrast
    keep = within(d.saturation, mood[8])
    grey = image[0] * np.float32(0.299) + image[1] * np.float32(0.587) + image[2] * np.float32(0.114)
    image -= grey
    image *= np.float32(keep)
    image += grey
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    dark = (1 - d.vignette * 1.6 * (x[None] ** 2 + y[:, None] ** 2)).astype(np.float32)
    for c, balance in enumerate((warmth**0.5, 1.0, warmth**-0.5)):
        image[c] *= dark * np.float32(gain * balance)
    image += np.float32(118 * (1 - contrast))
    planes = [Image.fromarray(plane) for plane in image.clip(0, 255).astype(np.uint8)]
    radius = within(d.blur, mood[9]) * height / 1000
    picture = Image.merge("RGB", planes).filter(ImageFilter.GaussianBlur(radius))
    if d.chroma > 0:
        luma, *colour = picture.convert("YCbCr").split()
        soft = [plane.filter(ImageFilter.GaussianBlur(d.chroma * height / 1000)) for plane in colour]
        picture = Image.merge("YCbCr", [luma, *soft]).convert("RGB")
    row, column = int(mood[10] * 64), int(mood[11] * 64)
    noise = _sensor(height, width)[:, row : row + height, column : column + width]
    image = noise * np.float32(within(d.noise, mood[12]))
    image += np.asarray(picture).transpose(2, 0, 1)
    return (image + np.float32(0.5)).clip(0, 255).astype(np.uint8)
