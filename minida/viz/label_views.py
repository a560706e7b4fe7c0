"""Pure views of pseudo-labels: which pixels are believed, which of those are right, and bars for every class.

Images and labels are as in `views`; IGNORE in pseudo-labels: not believed, in the truth: nobody knows.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from minida.types import IGNORE, PALETTE
from minida.viz.views import VOID, colorize, draw_line, outline, to_array, to_labels, to_rgb

VIEWS = {  # and what their colours mean
    "image": "What the network sees.",
    "truth": "The true classes; nearly black where nobody knows. They judge; no strategy sees them.",
    "prediction": "The most probable class of every pixel, before a strategy chooses.",
    "confidence": "Bright: sure. Dark: unsure, as the strategy measures it.",
    "believed": "In its class's colour: believed. Pale: not believed.",
    "right or wrong": "Blue: believed and right. Orange with stripes: believed and wrong. Pale: not believed.",
    "difference": "Believed here and not on the other side: blue if right, striped orange if wrong. Pale: the rest.",
}
RIGHT, WRONG, STRIPE = (0, 114, 178), (213, 94, 0), (90, 30, 0)  # blue; vermillion with dark stripes
_INK, _QUIET = (34, 34, 34), (107, 107, 107)
WIDTH, _ROW, _HEAD, _BAR = 960, 36, 46, 240  # pixels; shown at half that, so that small letters are sharp


def pale(image) -> np.ndarray:
    """(H, W, 3) uint8: the image in pale grey, a ground on which every class's colour stands out."""
    grey = to_rgb(image).mean(axis=2, keepdims=True)
    return (grey * 0.28 + 180).astype(np.uint8).repeat(3, 2)


def believed_map(image, pseudo, palette: np.ndarray = PALETTE) -> np.ndarray:
    """Believed pixels in their class's colour, a white line between classes; the others as the image in pale grey.

    A dark line runs around what is believed, on the pale pixels: a pole one pixel wide keeps its colour.
    """
    pseudo = to_labels(pseudo)
    believed = pseudo != IGNORE
    picture = np.where(believed[..., None], colorize(pseudo, palette), pale(image))
    between, around = np.zeros((2, *pseudo.shape), bool)
    for one, next_ in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        between[one] |= believed[one] & believed[next_] & (pseudo[one] != pseudo[next_])
        around[one] |= ~believed[one] & believed[next_]
        around[next_] |= believed[one] & ~believed[next_]
    draw_line(picture, between, (255, 255, 255))
    draw_line(picture, around, _INK)
    return picture


def verdict_map(image, pseudo, truth) -> np.ndarray:
    """Believed and right: blue, the image shining through; believed and wrong: orange-red with dark stripes.

    Not believed: the image in pale grey. Believed where the truth is IGNORE: nearly black.
    """
    pseudo, truth, picture = to_labels(pseudo), to_labels(truth), pale(image)
    stripes = np.add.outer(*map(np.arange, truth.shape)) % 6 < 2
    believed, wrong = pseudo != IGNORE, pseudo != truth
    tinted = to_rgb(image)[believed].mean(axis=1, keepdims=True) * 0.45 + np.multiply(RIGHT, 0.6)
    picture[believed] = tinted.astype(np.uint8)
    picture[believed & wrong] = WRONG
    picture[believed & wrong & stripes] = STRIPE
    picture[believed & (truth == IGNORE)] = VOID
    return picture


def sure_map(sureness) -> np.ndarray:
    """(H, W) in [0, 1] -> a map from dark blue to yellow that every colour vision reads as dark to bright."""
    return _cividis()[(np.clip(to_array(sureness), 0, 1) * 255).astype(np.uint8)]


@lru_cache
def _cividis() -> np.ndarray:
    return (colormaps["cividis"](np.arange(256))[:, :3] * 255).astype(np.uint8)


def crosshair(picture: np.ndarray, row: float, column: float) -> np.ndarray:
    """A copy with lines, white with dark edges, that end shortly before a place: it lies at shares of the sides."""
    canvas = Image.fromarray(picture)
    draw, (y, x) = ImageDraw.Draw(canvas), (row * picture.shape[0], column * picture.shape[1])
    for width, colour in ((7, (20, 20, 20)), (3, (255, 255, 255))):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            draw.line((x + 9 * dx, y + 9 * dy, x + 36 * dx, y + 36 * dy), colour, width)
    return np.asarray(canvas)


def label_view(
    view: str, image, truth, predictions, pseudo, palette: np.ndarray = PALETTE, *, sureness=None, other=None
) -> np.ndarray:
    """One of VIEWS, each pixel repeated so often that the picture is about 960 wide; never made smaller.

    `sureness` (H, W) in [0, 1] is needed for "confidence", `other` pseudo-labels for "difference".
    """
    if view == "image":
        picture = to_rgb(image)
    elif view == "confidence":
        picture = sure_map(sureness)
    elif view == "difference":
        pseudo = to_labels(pseudo)
        picture = verdict_map(image, np.where(pseudo == to_labels(other), IGNORE, pseudo), truth)
    elif view == "believed":
        picture = believed_map(image, pseudo, palette)
    elif view == "right or wrong":
        picture = verdict_map(image, pseudo, truth)
    else:
        shown = truth if view == "truth" else predictions
        picture = outline(colorize(shown, palette), shown)
    zoom = max(1, round(WIDTH / picture.shape[1]))
    return picture.repeat(zoom, 0).repeat(zoom, 1)


def quality_bars(names: Sequence[str], palette: np.ndarray, coverage, accuracy) -> np.ndarray:
    """A row of two bars for each name, twice as large as it is to be shown: (46 + 36 * rows, 960, 3) uint8.

    Args:
        names: of the rows: "all", then every class.
        palette: (C, 3) colours of the classes.
        coverage, accuracy: (1 + C,) shares, NaN where there is none.
    """
    columns = (Bars("coverage", coverage, _QUIET), Bars("accuracy", accuracy, RIGHT, striped=True))
    return bars(names, [(255, 255, 255), *palette], columns)


def share_bars(names: Sequence[str], palette: np.ndarray, shares, prior) -> np.ndarray:
    """Classes' shares of the pseudo-labels beside those of the labelled data, (C,) each: (46 + 36 C, 960, 3) uint8.

    Both columns begin at a thousandth, on a logarithmic scale: rare classes are what this picture is about.
    """
    columns = (Bars("of its labels", shares, RIGHT, least=1e-3), Bars("of the labelled set", prior, _QUIET, least=1e-3))
    return bars(names, palette, columns)


class Bars(NamedTuple):
    """A column of bars: its title, a share for each row, and how they look."""

    title: str
    values: Sequence[float]
    colour: tuple[int, int, int]
    striped: bool = False  # what is left of a bar is wrong
    least: float | None = None  # the share at which a bar begins, on a logarithmic scale; None: even, from 0


def bars(names: Sequence[str], swatches: Sequence, columns: tuple[Bars, Bars]) -> np.ndarray:
    """As `quality_bars`, of any two columns; a white swatch is left out."""
    canvas = Image.new("RGB", (WIDTH, _HEAD + _ROW * len(names)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(24)
    for row, (name, swatch) in enumerate(zip(names, swatches, strict=True)):
        top, middle = _HEAD + _ROW * row + 8, _HEAD + _ROW * (row + 0.5)
        coloured = tuple(map(int, swatch)) != (255, 255, 255)
        if coloured:
            draw.rectangle((4, top - 1, 25, top + 20), tuple(map(int, swatch)), _QUIET)
        absent = all(np.isnan(column.values[row]) for column in columns)
        draw.text((38 if coloured else 4, middle), name, _QUIET if absent else _INK, font, "lm")
        for left, column in zip((212, 600), columns, strict=True):
            value = float(column.values[row])
            draw.text((left + _BAR + 96, middle), "-" if np.isnan(value) else _percent(value), _INK, font, "rm")
            if not row:
                draw.text((left, _HEAD / 2), column.title, _QUIET, font, "lm")
            if not np.isnan(value):
                length = value
                if column.least is not None:
                    length = 1 - np.log(max(value, column.least)) / np.log(column.least)
                canvas.paste(_rest(column.striped), (left, top))
                canvas.paste(column.colour, (left, top, left + round(_BAR * length), top + 20))
    return np.asarray(canvas)


def _percent(share: float) -> str:
    if 0 < share < 0.00005:
        return "< 0.01%"
    return f"{share:.2%}" if 0 < share < 0.0095 else f"{share:.1%}"


@lru_cache
def _rest(striped: bool) -> Image.Image:
    """What a bar lies on: stripes, as of the wrong pixels in `verdict_map`, or plain grey."""
    stripes = np.add.outer(np.arange(20), np.arange(_BAR)) % 12 < 4
    picture = np.where(stripes[..., None], STRIPE, WRONG) if striped else np.full((20, _BAR, 3), 232)
    return Image.fromarray(picture.astype(np.uint8))
