"""The street explorer without a browser: set a control, look at the picture. The browser is in tests/browser."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from minida.types import CITYSCAPES
from minida.viz import widgets
from minida.viz.views import one_class


class Streets:
    """Two flat images; `gap` makes them darker."""

    table, classes = CITYSCAPES, tuple(range(19))
    painted = 0

    def __init__(self, gap: float):
        self.gap = gap

    def __len__(self) -> int:
        return 3

    def labels(self, index: int) -> torch.Tensor:
        labels = torch.zeros(32, 64, dtype=torch.int64)
        labels[:, : 16 * (index + 1)] = 10
        return labels

    def __getitem__(self, index: int):
        type(self).painted += 1
        return torch.full((3, 32, 64), round(250 - 200 * self.gap), dtype=torch.uint8), self.labels(index)


@pytest.fixture
def explorer():
    return widgets.StreetExplorer(Streets)


def shown(explorer) -> np.ndarray:
    with Image.open(io.BytesIO(explorer.image.value)) as picture:
        return np.asarray(picture.convert("RGB"))


def test_every_control_changes_the_picture_and_its_words(explorer):
    for control, value in (
        (explorer.number, 2),
        (explorer.gap, 0.25),
        (explorer.view, "image"),
        (explorer.view, "labels"),
        (explorer.one, 10),
    ):
        picture, words = explorer.image.value, explorer.words.value
        control.value = value
        assert explorer.image.value != picture and explorer.words.value != words
    assert explorer.view.value == "one class", "choosing a class shows it"
    assert np.abs(shown(explorer).astype(int) - one_class(*Streets(0.25)[2], 10)).mean() < 4


def test_typed_boxes_follow_the_sliders_and_lead_them(explorer):
    boxes = [row.children[1] for row in explorer.children[:2]]
    explorer.number.value = 1
    assert boxes[0].value == 1
    boxes[1].value = 0.5
    assert explorer.gap.value == 0.5
    boxes[0].value = 99  # beyond the last image
    assert explorer.number.value == 2
    assert all(row.children[0].description and row.children[1].description for row in explorer.children[:2])


def test_words_say_what_is_seen(explorer):
    text = re.sub("<.*?>", " ", explorer.words.value)
    assert "Image 0 of 0 to 2, gap 1.00: overlay." in text and 'role="status"' in explorer.words.value
    assert re.search(r"road 75.0%.*sky 25.0%", re.sub(r"\s+", " ", text)), "largest class first"
    explorer.one.value = 10
    assert "only sky, 25.0% of the pixels" in explorer.words.value


def test_label_maps_are_exact(explorer):
    explorer.view.value = "labels"
    assert explorer.image.format == "png"
    assert np.array_equal(shown(explorer)[0, -1], CITYSCAPES.palette[0])


def test_an_image_is_painted_once(explorer):
    before = Streets.painted
    explorer.number.value = 1
    explorer.view.value = "labels"
    explorer.number.value = 0
    assert Streets.painted == before + 1


def test_a_single_data_set_has_no_dial():
    explorer = widgets.StreetExplorer(Streets(0.5))
    assert explorer.gap not in [child for row in explorer.children for child in getattr(row, "children", ())]
    assert "gap" not in explorer.words.value.replace("margin", "")
    assert len(explorer.static().axes) == 3


def test_the_static_figure_and_the_repr_stand_in(explorer):
    fig = explorer.static()
    names = {text.get_text() for ax in fig.axes for text in [*ax.texts, ax.title]}
    assert {"gap 0", "gap 0.5", "gap 1", "image", "labels", "one class: car"} <= names
    assert "run this cell" in repr(explorer)


def test_minicity_is_the_default():
    explorer = widgets.StreetExplorer(size=(64, 128))
    picture = shown(explorer)
    explorer.gap.value = 0.0
    assert picture.shape == (64, 128, 3) and not np.array_equal(picture, shown(explorer))
