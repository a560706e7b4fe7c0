"""The centroid explorer: its controls reach the picture, its bars are counts, all of it redraws at once."""

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from minida.data.base import SegmentationDataset
from minida.data.transforms import Augmentation
from minida.types import IGNORE, ClassTable
from minida.viz.centroid_widget import CentroidExplorer, window_view

SIZE = (32, 64)


class Corners(SegmentationDataset):
    """Ground, and a block of class 1 in another corner of each image; class 2 in the last image alone."""

    def __init__(self, size=SIZE) -> None:
        self.size, self.spec = size, "corners"
        self.table = ClassTable(("ground", "block", "rare"), np.array([[90, 90, 90], [0, 0, 200], [200, 0, 0]]), (0, 1))
        self.classes = (0, 1, 2)

    def __len__(self) -> int:
        return 4

    def image(self, index):
        rows = torch.arange(self.size[0])[:, None].expand(self.size)
        columns = torch.arange(self.size[1])[None].expand(self.size)
        return torch.stack([torch.full(self.size, 20 * index), rows % 256, columns % 256]).to(torch.uint8)

    def labels(self, index):
        labels = torch.zeros(self.size, dtype=torch.long)
        labels[-4:] = IGNORE
        y, x = (0, self.size[0] - 12)[index % 2], (0, self.size[1] - 8)[index // 2]
        labels[y : y + 8, x : x + 8] = 1
        if index == 3:
            labels[10:13, 20:23] = 2
        return labels


@pytest.fixture
def explorer(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDA_CACHE", str(tmp_path))
    return CentroidExplorer(Corners(), draws=30)


def shown(widget):
    return np.asarray(Image.open(io.BytesIO(widget.value)).convert("RGB")).astype(int)


def test_every_control_reaches_the_picture(explorer):
    for control, value in ((explorer.number, 5), (explorer.zoom, 3.0), (explorer.part, 1.0)):
        before = [part.value for part in (explorer.where, explorer.crop, explorer.bars)] + [explorer.words.value]
        control.value = value
        after = [part.value for part in (explorer.where, explorer.crop, explorer.bars)] + [explorer.words.value]
        assert before != after, control.description
    assert [row.children[1].description for row in explorer.children[:3]] == ["Draw =", "Scale =", "Share ="]
    explorer.children[0].children[1].value = 7  # the typed box
    assert explorer.number.value == 7 and "Draw 7:" in explorer.words.value


def test_the_window_is_what_an_augmentation_shows(explorer):
    image, labels = Corners()[2]
    for zoom in (1.0, 1.6, 2.0, 4.0):
        for centre in ((0, 0), (16, 30), (31, 63), (5, 60)):
            top, left, height, width = explorer.window(centre, zoom)
            same = Augmentation(SIZE, scale=(zoom, zoom), flip=0, jitter=0, blur=0, noise=0)
            crop = same(image, labels, seed=1, centre=centre)[1]
            found = np.bincount(labels[top : top + height, left : left + width].flatten(), minlength=256)
            seen = np.bincount(crop.flatten(), minlength=256)
            np.testing.assert_allclose(found / found.sum(), seen / seen.sum(), atol=0.02)


def test_bars_are_counted(explorer):
    explorer.zoom.value, explorer.part.value = 2.0, 1.0
    totals = np.zeros(3)
    for number in range(30):
        draw = explorer.index.draw(number)
        labels = Corners().labels(draw.index).numpy()
        top, left = np.clip(draw.y - 8, 0, 16), np.clip(draw.x - 16, 0, 32)
        inside = labels[top : top + 16, left : left + 32]
        totals += [(inside == kind).sum() for kind in range(3)]
    plain, drawn = explorer.mixed()
    np.testing.assert_allclose(drawn, totals / totals.sum())
    assert plain.sum() == pytest.approx(1) and drawn[2] > 2 * plain[2], "the rare class is drawn in its turn"
    explorer.part.value = 0.25
    np.testing.assert_allclose(explorer.mixed()[1], 0.75 * plain + 0.25 * drawn)
    explorer.part.value = 0.0
    np.testing.assert_array_equal(explorer.mixed()[1], plain)


def test_random_crops_are_those_of_an_augmentation(tmp_path, monkeypatch):
    """Their corner is drawn evenly, not their centre: a border is seen less often than the middle."""
    monkeypatch.setenv("MINIDA_CACHE", str(tmp_path))
    explorer, totals = CentroidExplorer(Corners(), draws=2000), np.zeros(256)
    explorer.zoom.value = 2.0
    random = Augmentation(SIZE, scale=(2, 2), flip=0, jitter=0, blur=0, noise=0)
    for n in range(2000):
        totals += np.bincount(random(*Corners()[n % 4], seed=n)[1].flatten(), minlength=256)
    np.testing.assert_allclose(
        explorer.mixed()[0], totals[:3] / totals[:3].sum(), rtol=0.25
    )  # drawn centres would show corners twice as often


def test_words_say_what_is_drawn(explorer):
    number = next(n for n in range(9) if explorer.index.draw(n).kind == 2)
    explorer.number.value = number
    words = explorer.describe()
    assert words.startswith(f"Draw {number}: rare, around row 11, column 21 of image 3; one of the 1 regions")
    plain, mixed = explorer.mixed()
    assert f"{plain[2]:.2%} of the pixels in random crops, {mixed[2]:.2%} with" in words
    assert 'role="status"' in explorer.words.value


def test_a_frame_and_a_mark(explorer):
    image, labels = Corners()[3]
    picture = window_view(image, labels, 2, (8, 16, 16, 32), np.array([[11, 21]]), Corners().table.palette)
    assert picture.shape == (480, 960, 3) and picture.dtype == np.uint8
    assert picture[8 * 15, 16 * 15 + 100].tolist() == [0, 0, 0] and picture[8 * 15 + 4, 600].tolist() == [255, 200, 0]
    assert picture[round(11.5 * 15), round(21.5 * 15)].tolist() == [255, 255, 255], "the region's centre"
    assert picture[10 * 15 + 2, 22 * 15 + 8, 0] > 1.5 * picture[10 * 15 + 2, 22 * 15 + 8, 1], "the region is red"


def test_the_crop_is_what_the_frame_holds(explorer):
    explorer.number.value, explorer.zoom.value = 4, 4.0
    draw = explorer.index.draw(4)
    top, left, height, width = explorer.window((draw.y, draw.x), 4.0)
    crop = explorer.paint()[1]
    assert (height, width) == (8, 16) and crop.shape == (480, 960, 3)
    y, x = 60 * (draw.y - top) + 30, 60 * (draw.x - left) + 30
    strongest = Corners().table.palette[draw.kind].argmax()
    assert crop[y, x].argmax() == strongest or draw.kind == 0


def test_it_redraws_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDA_CACHE", str(tmp_path))
    explorer = CentroidExplorer(Corners((256, 512)))
    for control, values in ((explorer.number, range(1, 8)), (explorer.zoom, (1.2, 1.4, 1.8, 2.0, 2.4, 2.8, 3.2))):
        times = []
        for value in values:
            started = time.perf_counter()
            control.value = value
            times.append(time.perf_counter() - started)
        assert sorted(times)[3] < 0.5, "100 ms are asked for on an idle machine; tests run on busy ones"


def test_the_static_figure_says_the_same(explorer):
    figure = explorer.static()
    titles = [ax.get_title(loc="center") or ax.get_title(loc="left") for ax in figure.axes]
    draw = explorer.index.draw(0)
    assert titles[0] == f"drawn: {explorer.table.names[draw.kind]}" and len(titles) == 3
    assert repr(explorer).startswith("CentroidExplorer: run this cell")
