"""Views: what a pixel shows, for torch and NumPy images alike."""

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from minida.types import IGNORE, PALETTE
from minida.viz import views

LABELS = np.array([[0, 0, 13, 13], [0, 0, 13, IGNORE], [0, 0, 13, IGNORE]])
IMAGE = np.full((3, 4, 3), (10, 100, 200), np.uint8)


@pytest.mark.parametrize("image", [IMAGE, torch.from_numpy(IMAGE).permute(2, 0, 1)], ids=["numpy", "torch"])
def test_both_kinds_of_image(image):
    assert np.array_equal(views.to_rgb(image), IMAGE)


def test_a_torch_image_of_three_columns_is_not_mistaken():
    image = torch.arange(27, dtype=torch.uint8).reshape(3, 3, 3)
    assert np.array_equal(views.to_rgb(image), image.numpy().transpose(1, 2, 0))


@pytest.mark.parametrize("image", [torch.zeros(3, 4, 4), np.zeros((4, 4), np.uint8), torch.zeros(2, 3, 4, 4)])
def test_what_is_no_image_says_so(image):
    with pytest.raises(ValueError, match="before it is normalised"):
        views.to_rgb(image)


def test_colorize():
    picture = views.colorize(torch.from_numpy(LABELS))
    assert np.array_equal(picture[0, 0], PALETTE[0]) and np.array_equal(picture[0, 2], PALETTE[13])
    assert tuple(picture[1, 3]) == views.VOID and not (PALETTE == views.VOID).all(1).any()


def test_labels_are_resized_by_the_nearest_pixel_centre():
    for size in ((6, 8), (9, 12), (2, 3)):
        wanted = torch.nn.functional.interpolate(
            torch.from_numpy(LABELS)[None, None].byte(), size, mode="nearest-exact"
        )
        assert np.array_equal(views.to_labels(LABELS, size), wanted[0, 0].numpy())
    with pytest.raises(ValueError, match="one label map"):
        views.to_labels(LABELS[None])


def test_outline_draws_between_regions_only():
    picture = views.outline(np.zeros((3, 4, 3), np.uint8), LABELS)
    edge = np.array([[0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 1, 0]], bool)
    assert np.array_equal(picture > 100, edge[..., None].repeat(3, 2))
    assert (picture[edge] == 170).all(), "a third of the picture stays visible under the line"


def test_overlay_mixes_and_leaves_ignored_pixels():
    labels = np.full((3, 4), 13)
    mixed = views.overlay(IMAGE, labels, alpha=0.5)
    assert np.abs(mixed[0, 0].astype(int) - (IMAGE[0, 0].astype(int) + PALETTE[13]) / 2).max() <= 1
    assert np.array_equal(views.overlay(IMAGE, np.full((3, 4), IGNORE)), IMAGE)


def test_one_class_greys_the_rest():
    picture = views.one_class(IMAGE, LABELS, 0).astype(int)
    assert np.ptp(picture[0, 3]) == 0 and picture[0, 3].min() > 140, "another class is pale grey"
    assert np.ptp(picture[0, 0]) > 30, "the class itself is coloured"


def test_error_map_tells_right_wrong_and_ignored_apart():
    labels, predictions = np.zeros((12, 12), int), np.zeros((12, 12), int)
    labels[0], predictions[6:] = IGNORE, 1
    picture = views.error_map(labels, predictions)
    assert (picture[0] == views.VOID).all() and (picture[1:6] == 226).all()
    assert len(np.unique(picture[6:].reshape(-1, 3), axis=0)) == 2, "wrong pixels are striped, not only coloured"


def test_encode():
    picture = views.colorize(LABELS)
    with Image.open(io.BytesIO(views.encode(picture, "png"))) as decoded:
        assert np.array_equal(np.asarray(decoded), picture)
    assert views.encode(picture)[:2] == b"\xff\xd8"


def test_a_view_at_256x512_is_fast():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (256, 512, 3), np.uint8)
    labels = rng.integers(0, 19, (8, 16)).repeat(32, 0).repeat(32, 1)
    views.encode(views.overlay(image, labels))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        views.encode(views.overlay(image, labels))
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1


def judged(probability, size=(100, 192), rgb=(128, 64, 128)) -> np.ndarray:
    return views.discriminator_map(np.full((*size, 3), rgb, np.uint8), probability)


def test_discriminator_map_tints_by_the_probability_of_target():
    picture = judged([[0, 0.5, 1]], (96, 192)).astype(int)
    source, undecided, target = (picture[8, column] for column in (8, 72, 184))  # beside the numbers
    assert source[2] > source[0] + 60 and target[0] > target[2] + 60, "blue and vermillion"
    assert np.ptp(undecided) < 10 and undecided.min() > 150, "pale grey"
    pale = judged([[0.5]], rgb=(70, 130, 180)).astype(int)[8, 8]
    assert (abs(pale - undecided) > 5).any(), "another class below is another shade"


def test_discriminator_cells_cover_the_picture_where_32_does_not_divide_it():
    picture = judged([[0, 1], [1, 0], [0, 1]]).astype(int)  # 100 rows in three cells
    warm = picture[:, 4, 0] > picture[:, 4, 2]
    assert [warm[:32].any(), warm[33:66].all(), warm[67:].any()] == [False, True, False]
    assert (picture[[32, 66], 4].max(1) < 130).all() and (picture[10, 95] < 130).all(), "a dark frame"


@pytest.mark.parametrize("size", [(96, 192), (32, 64)])
def test_discriminator_numbers_are_written(size):
    a, b = judged([[0.7, 0.7]], size).astype(int), judged(torch.tensor([[0.7, 0.71]]), size).astype(int)
    changed = (abs(a - b).max(2) > 60).nonzero()
    assert len(changed[0]) > 5 and changed[1].min() > size[1] / 2, "the second cell's number, and nothing else"
    assert (a.min(2) > 250).any() and (a.max(2) < 40).any(), "dark on white"


@pytest.mark.parametrize("cell, written", [(22, True), (21, False), (64, True)])
def test_discriminator_numbers_are_large_or_left_out(cell, written, monkeypatch):
    sizes, load = [], views.ImageFont.load_default
    monkeypatch.setattr(views.ImageFont, "load_default", lambda size: sizes.append(size) or load(size))
    picture = judged([[0.5] * 3], (cell, 3 * cell)).astype(int)
    middle = picture[2:-2, cell + 2 : 2 * cell - 2]
    assert (np.ptp(middle) > 150) == written and min(sizes) >= 11
