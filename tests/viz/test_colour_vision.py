"""Nothing is told by colour alone: it has another form, a line around it, or is seen by everyone."""

import itertools

import numpy as np
import pytest
from contrast import SIGHT, TAIL_BAND, WHITE, apart, contrast, lab
from matplotlib.colors import to_rgb

from minida.types import CLASSES, IGNORE, PALETTE
from minida.viz import diagrams, figures, label_views, ladder, style
from minida.viz.widgets import StreetState, street_view


def test_the_measures():
    assert contrast((0, 0, 0), WHITE) == pytest.approx(21)
    assert contrast(to_rgb("#767676"), WHITE) == pytest.approx(4.54, abs=0.01), "the lightest grey that passes"
    assert lab((1, 0, 0), "all cones") == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    for sight in SIGHT:
        assert lab((0.5, 0.5, 0.5), sight)[1:] == pytest.approx([0, 0], abs=0.05), "grey stays grey"
    assert apart(to_rgb("#767676"), to_rgb("#767676")) == 0


def test_right_wrong_and_not_believed_stay_apart_for_everyone():
    greys = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2)  # (256, 1, 3): each is an image's pixel
    seen = {}
    for name, label, truth in (("right", 0, 0), ("wrong", 1, 0), ("pale", 255, 0), ("unknown", 0, 255)):
        picture = label_views.verdict_map(greys, np.full((256, 1), label), np.full((256, 1), truth))
        seen[name] = np.unique(picture.reshape(-1, 3), axis=0) / 255
    assert len(seen["wrong"]) == 2 and apart(*seen["wrong"]) > 20, "stripes are seen"
    light = seen["wrong"][seen["wrong"].sum(1).argmax()]
    assert apart(seen["right"], light) > 40 and apart(seen["pale"], light) > 40
    assert apart(seen["right"], seen["pale"]) > 15
    assert apart(seen["unknown"], light) > 40 and apart(seen["unknown"], seen["pale"]) > 40


def test_two_curves_differ_in_marker_and_in_dash_or_colour():
    looks = [(style.LINES[hue], str(dash), marker) for hue, dash, marker in style._LOOKS]
    for (hue, dash, marker), (other, dash_, marker_) in itertools.combinations(looks, 2):
        assert marker != marker_
        assert dash != dash_ or apart(to_rgb(hue), to_rgb(other)) > 25, f"{hue} and {other}, both {dash}"
        assert hue == other or apart(to_rgb(hue), to_rgb(other)) > 15, f"{hue} and {other}"


def test_every_look_has_contrast_on_white_and_on_the_band_of_tail_classes():
    for look in style.styles_of(style._FIXED).values():
        assert min(contrast(to_rgb(look["color"]), ground) for ground in (WHITE, TAIL_BAND)) >= 3, look
        assert contrast(to_rgb(style.text_colour(look["color"])), WHITE) >= 4.5, look


def test_marks_and_bars_have_a_form_beside_their_colour():
    assert len({mark for _, mark, _ in ladder.MARKS.values()}) == len(ladder.MARKS)
    assert len({words for *_, words in ladder.MARKS.values()}) == len(ladder.MARKS)
    assert len(set(style.HATCHES)) == len(style.HATCHES) >= 4


HARD = {  # classes whose colours are closer than 12 to somebody; the palette is given, so lines and names help
    ("road", "wall"), ("road", "bus"), ("road", "train"), ("wall", "sky"), ("fence", "pole"), ("bus", "train"),
    ("traffic light", "traffic sign"), ("vegetation", "person"),
}  # fmt: skip


def test_the_class_colours_that_need_a_second_cue_are_known():
    pairs = itertools.combinations(range(19), 2)
    close = {(CLASSES[a], CLASSES[b]) for a, b in pairs if apart(PALETTE[a] / 255, PALETTE[b] / 255) < 12}
    assert close == HARD


LABELS = np.array([[CLASSES.index("bus")] * 4 + [CLASSES.index("train")] * 4] * 8)  # nobody tells their colours apart
GREY = np.full((8, 8, 3), 90, np.uint8)
OUTLINED = {
    "truth": lambda: label_views.label_view("truth", GREY, LABELS, LABELS, LABELS)[::120, ::120],
    "prediction": lambda: label_views.label_view("prediction", GREY, LABELS, LABELS, LABELS)[::120, ::120],
    "believed": lambda: label_views.label_view("believed", GREY, LABELS, LABELS, LABELS)[::120, ::120],
    "labels": lambda: street_view(StreetState(view="labels"), GREY, LABELS),
    "overlay": lambda: street_view(StreetState(), GREY, LABELS),
    "gallery": lambda: figures.gallery([[LABELS.repeat(40, 0).repeat(40, 1)]]).axes[0].images[0].get_array(),
}


@pytest.mark.parametrize("name", OUTLINED)
def test_a_line_runs_between_classes_in_every_label_picture(name):
    picture = np.asarray(OUTLINED[name]()) / 255
    row = picture[len(picture) // 2]
    line = contrast(row, row[0]) >= 3
    assert line.any() and not line[: len(row) // 4].any() and line.mean() <= 0.25, "one line, in the middle"


@pytest.mark.parametrize("grey", [0, 255])
def test_believed_pixels_of_a_pale_class_are_framed(grey):
    pseudo = np.full((3, 3), IGNORE)
    pseudo[1, 1] = CLASSES.index("fence")
    picture = label_views.believed_map(np.full((3, 3, 3), grey, np.uint8), pseudo) / 255
    assert contrast(picture[0, 1], picture[0, 0]) >= 3 and np.array_equal(255 * picture[1, 1], PALETTE[pseudo[1, 1]])


def test_the_games_predictions_are_outlined():
    for ax in diagrams.game_diagram().axes:
        pictures = [image.get_array() for image in ax.images if image.get_extent()[0] > 30]
        assert len(pictures) == 2
        for picture in pictures:
            bare = (picture[:, :, None] == PALETTE).all(-1).any(-1)
            assert 0.02 < 1 - bare.mean() < 0.4, "pixels that are no class's colour: lines"
