"""CutMix: a box of another image of the batch, pasted with whatever is known of it."""

import numpy as np
from torch import Tensor

CELL = 8  # sides of a box are multiples of this, so that a box can be cut from features at 1/8 too
Box = tuple[int, int, int, int]  # top, left, bottom, right


def boxes(count: int, size: tuple[int, int], key: tuple[int, ...]) -> list[Box]:
    """A random box of half the area for each of `count` images of `size`; it depends on `key` alone.

    Source: Yun et al., ICCV 2019, in the form that semi-supervised segmentation uses (French et al., BMVC 2020).
    """
    rng, (rows, columns) = np.random.default_rng(key), (side // CELL for side in size)
    found = []
    for _ in range(count):
        wide = int(rng.integers(-(-columns // 2), columns + 1))
        high = max(1, round(rows * columns / 2 / wide))
        top, left = int(rng.integers(rows - high + 1)), int(rng.integers(columns - wide + 1))
        found.append(tuple(CELL * n for n in (top, left, top + high, left + wide)))
    return found


def paste(maps: Tensor, cut: list[Box], scale: int = 1) -> Tensor:
    """(B, ..., H / scale, W / scale): a copy in which image i shows, in its box, what image i + 1 shows there."""
    mixed = maps.clone()
    for i, box in enumerate(cut):
        top, left, bottom, right = (side // scale for side in box)
        mixed[i, ..., top:bottom, left:right] = maps[(i + 1) % len(maps), ..., top:bottom, left:right]
    return mixed
