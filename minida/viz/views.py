"""Pure views: images and labels in, RGB arrays (H, W, 3) uint8 out. NumPy and Pillow only.

Images are torch (3, H, W) or NumPy (H, W, 3), uint8; labels are (H, W) integers with IGNORE.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minida.types import IGNORE, PALETTE

VOID = (24, 24, 24)  # IGNORE: darker than every class


def to_array(values) -> np.ndarray:
    """A torch tensor, or anything array-like, as a NumPy array."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def to_rgb(image) -> np.ndarray:
    """(H, W, 3) uint8 from a torch (3, H, W) or a NumPy (H, W, 3) image. Raises: ValueError otherwise."""
    array = to_array(image)
    if array.ndim == 3 and len(array) == 3 and (hasattr(image, "detach") or array.shape[2] != 3):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        wanted = "an image of bytes, torch (3, H, W) or NumPy (H, W, 3), as it is before it is normalised"
        raise ValueError(f"expected {wanted}; got {array.dtype} {array.shape}")
    return array


def to_labels(labels, size: tuple[int, int] | None = None) -> np.ndarray:
    """(H, W) int64 label map, at `size` by the nearest pixel. Raises: ValueError for another shape."""
    array = to_array(labels)
    if array.ndim != 2:
        raise ValueError(f"expected one label map (H, W), got shape {array.shape}; take one of the batch")
    if size is not None and array.shape != tuple(size):
        rows, columns = ((np.arange(n) + 0.5) * m / n for n, m in zip(size, array.shape, strict=True))
        array = array[np.ix_(rows.astype(int), columns.astype(int))]
    return array.astype(np.int64)


def colorize(labels, palette: np.ndarray = PALETTE) -> np.ndarray:
    """The label map in its classes' colours; IGNORE nearly black."""
    lookup = np.full((IGNORE + 1, 3), VOID, np.uint8)
    lookup[: len(palette)] = palette
    return lookup[to_labels(labels)]


def outline(rgb, labels, colour: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """The picture with a thin line between regions, so that shape tells classes apart, not only colour."""
    picture = to_rgb(rgb).copy()
    labels = to_labels(labels, picture.shape[:2])
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] = labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    draw_line(picture, edge, colour)
    return picture


def draw_line(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Colour the pixels of a mask in place; a third of the picture stays: a pole one pixel wide is all edge."""
    picture[mask] = (picture[mask].astype(np.uint16) + 2 * np.array(colour, np.uint16)) // 3


def overlay(image, labels, alpha: float = 0.55, palette: np.ndarray = PALETTE) -> np.ndarray:
    """The image tinted by its classes and outlined; ignored pixels keep the image's own colour."""
    picture = to_rgb(image)
    labels = to_labels(labels, picture.shape[:2])
    weight = np.where(labels == IGNORE, 0, round(256 * alpha)).astype(np.uint16)[..., None]
    mixed = (colorize(labels, palette) * weight + picture * (256 - weight)) >> 8
    return outline(mixed.astype(np.uint8), labels)


def one_class(image, labels, class_id: int, palette: np.ndarray = PALETTE) -> np.ndarray:
    """One class in its colour over the image, framed in black; everything else pale grey."""
    picture = to_rgb(image)
    mask = to_labels(labels, picture.shape[:2]) == class_id
    pale = picture.mean(axis=2, keepdims=True) * 0.4 + 140
    tinted = picture * 0.35 + palette[class_id] * 0.65
    return outline(np.where(mask[..., None], tinted, pale).astype(np.uint8), mask, (0, 0, 0))


def error_map(labels, predictions) -> np.ndarray:
    """Right pixels pale grey, wrong ones orange-red with dark stripes, ignored ones nearly black."""
    labels = to_labels(labels)
    wrong = to_labels(predictions, labels.shape) != labels
    stripes = np.add.outer(*map(np.arange, labels.shape)) % 6 == 0
    picture = np.full((*labels.shape, 3), 226, np.uint8)
    picture[wrong] = (213, 94, 0)
    picture[wrong & stripes] = (90, 30, 0)
    picture[labels == IGNORE] = VOID
    return picture


def discriminator_map(labels_rgb, target_probability) -> np.ndarray:
    """A discriminator's (h, w) answers over a prediction's picture: each cell framed, tinted, with its number.

    Blue: taken for source; vermillion: taken for target; none: undecided. The number is that of target, in %; it is
    left out where a cell is too small for one that can be read, 11 pixels high.
    """
    picture, values = to_rgb(labels_rgb), to_array(target_probability).astype(float)
    cells = to_labels(np.arange(values.size).reshape(values.shape), picture.shape[:2])  # each pixel's cell
    weight = (0.6 * abs(2 * values - 1)).flatten()[cells][..., None].astype(np.float32)  # (H, W, 1)
    tint = np.where(values.flatten()[:, None] > 0.5, (213, 94, 0), (0, 114, 178)).astype(np.float32)[cells]
    pale = np.float32(0.08) * picture + picture.mean(axis=2, keepdims=True, dtype=np.float32) * 0.32 + 150
    canvas = Image.fromarray(outline((pale * (1 - weight) + tint * weight).astype(np.uint8), cells, (40, 40, 40)))
    high, wide = (n / m for n, m in zip(picture.shape, values.shape, strict=False))
    room = min(high, wide)
    size = max(11, 0.45 * room)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size)
    for (row, column), value in np.ndenumerate(values) if room >= 22 else ():
        place, look = ((column + 0.5) * wide, (row + 0.5) * high), {"anchor": "mm", "font": font}
        draw.text(place, f"{100 * value:.0f}", (20, 20, 20), stroke_width=1 + (size > 14), stroke_fill="white", **look)
    return np.asarray(canvas)


def encode(rgb, format: str = "jpeg") -> bytes:
    """Bytes for `ipywidgets.Image`: "jpeg" for photographs and overlays, "png" (exact) for label maps."""
    options = {"jpeg": {"quality": 88, "subsampling": 0}, "png": {"compress_level": 1}}
    buffer = io.BytesIO()
    Image.fromarray(to_rgb(rgb)).save(buffer, format, **options[format])
    return buffer.getvalue()
