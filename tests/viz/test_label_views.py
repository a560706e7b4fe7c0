"""Views of pseudo-labels: what each colour of a pixel means, by hand."""

import numpy as np
import pytest
import torch

from minida.types import CLASSES, IGNORE, PALETTE
from minida.viz.label_views import (
    RIGHT,
    STRIPE,
    VIEWS,
    WRONG,
    believed_map,
    crosshair,
    label_view,
    pale,
    quality_bars,
    share_bars,
    sure_map,
    verdict_map,
)
from minida.viz.views import VOID, colorize, outline

SIZE = (24, 48)
MAN, CAR, POLE = (CLASSES.index(name) for name in ("person", "car", "pole"))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def test_pale_is_grey_light_and_still_the_image(image):
    ground = pale(image)
    assert (ground[..., 0] == ground[..., 1]).all() and (ground[..., 0] == ground[..., 2]).all()
    assert ground.min() >= 180 and ground.std() > 5
    assert (ground == pale(torch.from_numpy(image).permute(2, 0, 1))).all()


def test_believed_pixels_have_their_class_colour_and_others_are_pale(image):
    pseudo = np.full(SIZE, IGNORE)
    pseudo[:, :10] = CAR
    picture = believed_map(image, pseudo)
    assert (picture[:, :10] == PALETTE[CAR]).all() and (picture[:, 11:] == pale(image)[:, 11:]).all()
    other = believed_map(image, pseudo, 255 - PALETTE)
    assert (other[:, :10] == 255 - PALETTE[CAR]).all()


def test_a_dark_line_runs_around_what_is_believed_and_a_white_one_between_its_classes(image):
    pseudo = np.full(SIZE, IGNORE)
    pseudo[4:8, 4:8], pseudo[4:8, 8:12], pseudo[16, 30] = CAR, MAN, POLE
    picture, light = believed_map(image, pseudo), pale(image).astype(int)
    expected = np.where((pseudo == IGNORE)[..., None], light, PALETTE[np.minimum(pseudo, 18)].astype(int))
    expected[4:8, 7] = (PALETTE[CAR].astype(int) + 2 * 255) // 3
    for row, column in np.ndindex(SIZE):
        beside = [(row + y, column + x) for y, x in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        if pseudo[row, column] == IGNORE and any(
            0 <= y < SIZE[0] and 0 <= x < SIZE[1] and pseudo[y, x] != IGNORE for y, x in beside
        ):
            expected[row, column] = (light[row, column] + 2 * 34) // 3
    assert np.array_equal(picture, expected), "a believed pixel alone keeps its colour, in a frame of four"


def test_verdict_tells_right_wrong_unknown_and_not_believed_apart(image):
    truth, pseudo = np.full(SIZE, CAR), np.full(SIZE, CAR)
    pseudo[:, 12:24] = MAN
    pseudo[:, 24:] = IGNORE
    truth[:, 36:] = IGNORE  # not believed: stays pale
    truth[:4, :4] = IGNORE  # believed, but nobody knows
    picture = verdict_map(image, pseudo, truth)
    assert (picture[:4, :4] == VOID).all()
    right = picture[4:, :12].astype(int)
    assert (right[..., 2] > right[..., 0] + 80).all(), "blue"
    assert right[..., 0].std() > 5, "the image shines through"
    wrong = picture[:, 12:24].reshape(-1, 3)
    assert {tuple(colour) for colour in wrong.tolist()} == {WRONG, STRIPE}
    assert 0.2 < (wrong == STRIPE).all(1).mean() < 0.5, "stripes, so that it is not told by colour alone"
    assert (picture[:, 24:] == pale(image)[:, 24:]).all()


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_shows_its_own(view, image):
    truth, predictions, pseudo = (np.full(SIZE, c) for c in (MAN, CAR, CAR))
    truth[:5], predictions[:7], pseudo[:9] = 0, 1, IGNORE
    palette, sureness, other = PALETTE[::-1].copy(), np.linspace(0, 1, truth.size).reshape(SIZE), pseudo.copy()
    other[:15] = IGNORE
    only = np.where(other == IGNORE, pseudo, IGNORE)
    expected = {
        "image": image,
        "truth": outline(colorize(truth, palette), truth),
        "prediction": outline(colorize(predictions, palette), predictions),
        "believed": believed_map(image, pseudo, palette),
        "right or wrong": verdict_map(image, pseudo, truth),
        "confidence": sure_map(sureness),
        "difference": verdict_map(image, only, truth),
    }[view]
    tensor, more = torch.from_numpy(image).permute(2, 0, 1), {"sureness": sureness, "other": other}
    picture = label_view(view, tensor, truth, predictions, pseudo, palette, **more)
    assert picture.shape == (480, 960, 3), "twenty times"
    assert (picture[::20, ::20] == expected).all() and (picture[19::20, 19::20] == expected).all()


@pytest.mark.parametrize("width, shown", [(192, 960), (512, 1024), (960, 960), (2048, 2048)])
def test_pixels_are_repeated_whole_and_never_left_out(width, shown):
    view = label_view("image", np.zeros((2, width, 3), np.uint8), *[np.zeros((2, width))] * 3)
    assert view.shape[1] == shown and view.shape[0] * width == 2 * shown


def test_sure_pixels_are_bright():
    picture = sure_map(np.linspace(-0.1, 1.1, 13)[None])[0].astype(int)
    weights = picture @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(weights)[1:-1] > 0).all() and weights[-1] > weights[0] + 150, "brightness tells, not colour"
    assert (picture[:2] == picture[0]).all(), "below 0 is 0"


def test_the_crosshair_leaves_its_place_free():
    grey = np.full((100, 200, 3), 120, np.uint8)
    picture = crosshair(grey, 0.5, 0.25)
    changed = (picture != grey).any(2)
    rows, columns = changed.nonzero()
    assert abs(rows.mean() - 50) < 1 and abs(columns.mean() - 50) < 1, "around row 50, column 50"
    assert not changed[45:56, 45:56].any() and changed.sum() > 400 and (grey == 120).all()
    assert {tuple(colour) for colour in picture[changed].tolist()} == {(20, 20, 20), (255, 255, 255)}


def test_shares_have_a_logarithmic_scale():
    picture = share_bars(
        ("road", "car", "train"), PALETTE[[0, CAR, 16]], np.array([1, 0.1, 0]), np.array([0.01, 1e-9, 1])
    )
    rows = [picture[46 + 36 * row + 18] for row in range(3)]
    assert [(row == RIGHT).all(1).sum() for row in rows] == [240, 160, 0]
    assert [(row == (107, 107, 107)).all(1)[600:840].sum() for row in rows] == [80, 0, 240]


def test_bars_are_as_long_as_the_shares():
    coverage, accuracy = np.array([0.25, 0.0, 1.0, np.nan]), np.array([0.75, np.nan, 0.0, np.nan])
    picture = quality_bars(("all", "road", "car", "train"), PALETTE[[0, CAR, 16]], coverage, accuracy)
    assert picture.shape == (46 + 4 * 36, 960, 3) and picture.dtype == np.uint8
    rows = [picture[46 + 36 * row + 18] for row in range(4)]
    grey, light = [(row == (107, 107, 107)).all(1)[212:452].sum() for row in rows], [
        (row == 232).all(1)[212:452].sum() for row in rows
    ]  # fmt: skip
    assert grey == [60, 0, 240, 0] and light == [180, 240, 0, 0], "no bar where there is no share"
    blue = [(row == RIGHT).all(1).sum() for row in rows]
    wrong = [((row == WRONG).all(1) | (row == STRIPE).all(1)).sum() for row in rows]
    assert blue == [180, 0, 0, 0] and wrong == [60, 0, 240, 0]
    assert [tuple(row[12]) for row in rows[1:]] == [tuple(PALETTE[c]) for c in (0, CAR, 16)], "swatches"
    # numbers: the darkest column right of a bar is text; a dash is shorter than a number
    ink = [(row < 100).all(2)[:, 452:560].sum() for row in np.split(picture[46:], 4)]
    assert ink[3] < 40 < min(ink[:3])
    name = [(row[:, 38:200].min()) for row in np.split(picture[46:], 4)]
    assert name[2] < 60 < name[3], "the name of a class without numbers is grey"
