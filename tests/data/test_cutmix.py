"""CutMix: where its boxes lie, and what is seen in them."""

import numpy as np
import pytest
import torch

from minida.data.cutmix import CELL, boxes, paste

SIZES = [(32, 32), (64, 128), (96, 192), (100, 84), (33, 47)]


@pytest.mark.parametrize("size", SIZES)
def test_boxes_lie_inside_on_the_grid_and_cover_half(size):
    cut = boxes(300, size, (1, 2))
    shapes, places, cells = set(), set(), [side // CELL for side in size]
    for top, left, bottom, right in cut:
        assert 0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]
        assert not any(side % 8 for side in (top, left, bottom, right))
        high, wide = (bottom - top) // CELL, (right - left) // CELL
        assert abs(high * wide - cells[0] * cells[1] / 2) <= wide / 2, "half the area, as near as whole rows come"
        assert wide >= cells[1] / 2, "and as high as the image at most"
        shapes.add((high, wide))
        places.add((top, left))
    widths = {wide for _, wide in shapes}
    assert widths == set(range(-(-cells[1] // 2), cells[1] + 1)), "from half the width to the whole"
    assert max(bottom for _, _, bottom, _ in cut) == CELL * cells[0], "the last row and the first, too"
    assert max(right for _, _, _, right in cut) == CELL * cells[1]
    assert min(top for top, *_ in cut) == min(left for _, left, *_ in cut) == 0 and len(places) > 3


def test_boxes_depend_on_the_key_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    cut = boxes(8, (96, 192), (3, 0, 5))
    np.random.seed(1)
    assert boxes(8, (96, 192), (3, 0, 5)) == cut and boxes(4, (96, 192), (3, 0, 5)) == cut[:4]
    others = [boxes(8, (96, 192), key) for key in ((3, 0, 6), (3, 1, 5), (4, 0, 5))]
    assert all(other != cut for other in others) and len(set(cut)) > 1
    assert boxes(0, (96, 192), (3,)) == []


@pytest.mark.parametrize("size", SIZES)
def test_an_image_shows_the_next_one_inside_its_box_alone(size):
    images = torch.randn(3, 2, *size, generator=torch.Generator().manual_seed(0))
    before, cut = images.clone(), boxes(3, size, (7,))
    mixed = paste(images, cut)
    for i, (top, left, bottom, right) in enumerate(cut):
        for y in range(size[0]):
            for x in range(size[1]):
                inside = top <= y < bottom and left <= x < right
                assert torch.equal(mixed[i, :, y, x], images[(i + 1) % 3 if inside else i, :, y, x])
    assert torch.equal(images, before) and mixed.data_ptr() != images.data_ptr()
    labels = images[:, 0]
    assert torch.equal(paste(labels, cut), mixed[:, 0]), "labels have no channels"
    assert torch.equal(paste(images, []), images), "no boxes: nothing is pasted"


@pytest.mark.parametrize("size", SIZES)
def test_features_are_cut_where_the_images_are(size):
    cells = torch.randn(3, 2, *(-(-side // CELL) for side in size), generator=torch.Generator().manual_seed(0))
    full = cells.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)[..., : size[0], : size[1]]
    cut = boxes(3, size, (5,))
    assert torch.equal(paste(cells, cut, CELL), paste(full, cut)[..., ::CELL, ::CELL])
    assert not torch.equal(paste(cells, cut, CELL), cells)
