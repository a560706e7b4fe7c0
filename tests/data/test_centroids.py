"""Regions and their order: against a flood fill, by hand, and by counting what an epoch shows."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch

from minida.data import centroids
from minida.data.base import SegmentationDataset
from minida.data.centroids import Centroids, components, regions
from minida.data.loaders import TrainingBatches
from minida.data.pseudo import PseudoLabelled
from minida.data.transforms import Augmentation, denormalise
from minida.types import IGNORE, ClassTable

SIZE = (16, 24)
STILL = {"flip": 0, "jitter": 0, "blur": 0, "noise": 0}


def flooded(labels: np.ndarray) -> np.ndarray:
    """Components by a flood fill, numbered as they are met row by row."""
    found = np.full(labels.shape, -1)
    for start in np.ndindex(labels.shape):
        if found[start] < 0:
            number, open_ends = found.max() + 1, [start]
            found[start] = number
            while open_ends:
                y, x = open_ends.pop()
                for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    inside = 0 <= near[0] < labels.shape[0] and 0 <= near[1] < labels.shape[1]
                    if inside and found[near] < 0 and labels[near] == labels[start]:
                        found[near] = number
                        open_ends.append(near)
    return found


class Spots(SegmentationDataset):
    """Random labels of four classes in blocks; class 3 is in image 0 alone. A pixel of an image holds its place."""

    def __init__(self, n: int = 6, spec: str = "spots") -> None:
        self.n, self.size, self.spec = n, SIZE, spec
        self.table = ClassTable(("a", "b", "c", "d"), np.zeros((4, 3), np.uint8), (0, 1, 2, 3))
        self.classes = (0, 1, 2, 3)

    def __len__(self) -> int:
        return self.n

    def image(self, index: int) -> torch.Tensor:
        rows, columns = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
        return torch.stack([torch.full(SIZE, index), rows, columns]).to(torch.uint8)

    def labels(self, index: int) -> torch.Tensor:
        blocks = np.random.default_rng(index).choice([0, 0, 0, 1, 2, IGNORE], (4, 6))
        if index == 0:
            blocks[2, 3] = 3
        return torch.from_numpy(np.kron(blocks, np.ones((4, 4), int)))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDA_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("seed", range(12))
def test_components_are_those_of_a_flood_fill(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 1 + seed % 4, rng.integers(1, 40, 2)).astype(np.uint8)
    np.testing.assert_array_equal(components(labels), flooded(labels))


def test_components_of_shapes_that_wind():
    spiral = np.zeros((9, 9), np.uint8)
    for ring in (0, 2, 4):  # square rings, opened and joined to one line
        spiral[ring, ring : 9 - ring] = spiral[8 - ring, ring : 9 - ring] = 1
        spiral[ring : 9 - ring, ring] = spiral[ring : 9 - ring, 8 - ring] = 1
    spiral[1, 0], spiral[1, 1], spiral[3, 2], spiral[3, 3] = 0, 1, 0, 1
    comb = np.zeros((5, 400), np.uint8)
    comb[:, ::2] = comb[4] = 1  # 200 teeth that meet in the last row alone
    for labels in (spiral, spiral.T.copy(), comb, comb[::-1].copy()):
        np.testing.assert_array_equal(components(labels), flooded(labels))


def test_regions_by_hand():
    labels = np.full((6, 10), IGNORE, np.uint8)
    labels[0:3, 0:3] = 1  # nine pixels around (1, 1)
    labels[0:5, 4:9] = 2  # a U: its centroid (2.3, 6) is not in it ...
    labels[0:4, 5:8] = 1  # ... but in this block, whose (1.5, 6) is as near to (1, 6) as to (2, 6)
    labels[5, 0:3] = 1  # three pixels: a speck
    labels[4, 0] = 3  # one pixel, but the largest of its class
    found = regions(labels)
    assert found.tolist() == [[1, 9, 1, 1], [2, 13, 4, 6], [1, 12, 1, 6], [3, 1, 4, 0]]
    assert regions(np.full((4, 4), IGNORE, np.uint8)).shape == (0, 4)


def test_every_region_is_named_by_a_pixel_of_its_own():
    for index in range(6):
        labels = Spots().labels(index).byte().numpy()
        number = flooded(labels)
        kept = [
            (labels[number == n][0], (number == n).sum())
            for n in range(number.max() + 1)
            if labels[number == n][0] != IGNORE
        ]
        found = regions(labels)
        assert sorted(map(tuple, found[:, :2].tolist())) == sorted(kept), "blocks of 16 pixels are no specks"
        assert len({number[y, x] for _, _, y, x in found}) == len(found)
        for kind, pixels, y, x in found:
            rows, columns = np.nonzero(number == number[y, x])
            far = (rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2
            assert labels[y, x] == kind and pixels == len(rows)
            assert (y - rows.mean()) ** 2 + (x - columns.mean()) ** 2 == pytest.approx(far.min())


def test_an_epoch_of_a_class_has_each_of_its_regions_once():
    index = Centroids.of(Spots(), key=(7,))
    counts = Counter(index.table[:, 1].tolist())
    assert len(set(counts.values())) > 2 and counts[3] == 1, "a test of classes that differ"
    draws = [index.draw(number) for number in range(4 * 3 * max(counts.values()))]
    for start in range(0, len(draws), 4):  # a cycle: each class once
        assert sorted(draw.kind for draw in draws[start : start + 4]) == [0, 1, 2, 3]
    for kind, count in counts.items():
        mine = [draw for draw in draws if draw.kind == kind]
        known = {(i, y, x) for i, k, _, y, x in index.table.tolist() if k == kind}
        epochs = [mine[start : start + count] for start in range(0, len(mine) - count + 1, count)]
        for epoch in epochs:
            assert {(draw.index, draw.y, draw.x) for draw in epoch} == known and len(epoch) == len(known)
        if count > 2:
            assert len({tuple(epoch) for epoch in epochs}) > 1, "another order every time"
    assert draws == [index.draw(number) for number in range(len(draws))]
    assert draws != [Centroids.of(Spots(), key=(8,)).draw(number) for number in range(len(draws))]


def test_a_crop_lies_around_its_centre():
    image, crop = Spots().image(3), Augmentation((6, 10), scale=(1, 1), **STILL)
    for (y, x), (top, left) in (((8, 12), (5, 7)), ((0, 0), (0, 0)), ((15, 23), (10, 14)), ((2, 20), (0, 14))):
        seen, labels = crop(image, image[1].long(), seed=y, centre=(y, x))
        assert seen[1, 0, 0] == top and seen[2, 0, 0] == left, "as central as the border lets"
        assert torch.equal(labels, seen[1].long())
    zoomed = Augmentation((16, 24), scale=(2, 2), **STILL)(image, None, seed=0, centre=(8, 12))[0]
    assert abs(int(zoomed[1, 8, 12]) - 8) <= 1 and abs(int(zoomed[2, 8, 12]) - 12) <= 1
    small = Augmentation((16, 24), scale=(0.5, 0.5), **STILL)(image, image[0].long(), seed=5, centre=(0, 0))
    assert (small[1] == 3).sum() == 8 * 12, "a whole image that is smaller than the crop lies anywhere in it"


def stream(**options):
    options = {"batch_size": 4, "augmentation": Augmentation((5, 7), scale=(1, 1), **STILL), "seed": 1, **options}
    return TrainingBatches(Spots(), **options)


def middles(images):
    """(image, y, x) of the middle of every crop."""
    return [tuple(pixel) for pixel in denormalise(images)[:, :, 2, 3].tolist()]


def test_the_batches_show_every_region():
    """All that an epoch of the class with the most regions draws, seen in the crops themselves."""
    index = Centroids.of(Spots(), (1, 0, 2))
    most = max(len(rows) for rows in index.rows.values())
    crops = []
    for batch in islice(stream(centroids=1.0), most):
        for labels, (i, y, x) in zip(batch.source_labels, middles(batch.source), strict=True):
            crops.append((i, y, x))
            assert torch.equal(labels, Spots().labels(i)[y - 2 : y + 3, x - 3 : x + 4])
    for i, _, _, y, x in index.table.tolist():
        near = [(y - b, x - c) for a, b, c in crops if a == i and abs(y - b) <= 2 and abs(x - c) <= 3]
        assert near, f"the region at {(y, x)} of image {i} was in no crop"


def test_a_share_is_drawn_and_the_rest_is_as_it_was():
    mixed, plain = (list(islice(stream(centroids=share, batch_size=size), 12)) for share, size in ((0.5, 4), (0, 2)))
    draws = iter(map(Centroids.of(Spots(), (1, 0, 2)).draw, range(24)))
    for batch, other in zip(mixed, plain, strict=True):
        centres = middles(batch.source)
        for (i, y, x), draw in zip(centres[:2], draws, strict=False):
            assert i == draw.index and y == min(max(draw.y, 2), 13) and x == min(max(draw.x, 3), 20)
        assert [i for i, _, _ in centres[2:]] == [i for i, _, _ in middles(other.source)]
    again = list(islice(stream(centroids=0.5, start=5, workers=2), 7))
    for batch, other in zip(mixed[5:], again, strict=True):
        assert torch.equal(batch.source, other.source) and torch.equal(batch.source_labels, other.source_labels)


def test_pseudo_labels_are_drawn_from_and_unlabelled_images_are_not(tmp_path):
    planes = np.full((5, *SIZE), IGNORE, np.uint8)
    planes[4, 2:6, 3:8] = 2
    np.save(tmp_path / "pseudo-labels-0.npy", planes)
    pseudo = PseudoLabelled(Spots(5, "others"), tmp_path / "pseudo-labels-0.npy")
    batch = next(iter(stream(target=pseudo, centroids=0.5)))
    assert middles(batch.target)[:2] == [(4, 3, 5)] * 2, "the one region, again and again"
    batch = next(iter(stream(target=Spots(5, "others"), centroids=0.5)))
    assert batch.pseudo_labels is None
    plain = next(iter(stream(target=Spots(5, "others"))))
    assert torch.equal(batch.target, plain.target)


def test_no_label_no_region(tmp_path):
    np.save(tmp_path / "pseudo-labels-0.npy", np.full((5, *SIZE), IGNORE, np.uint8))
    pseudo = PseudoLabelled(Spots(5), tmp_path / "pseudo-labels-0.npy")
    with pytest.raises(ValueError, match="no pixel has a label.*centroids=0"):
        stream(target=pseudo, centroids=0.5)


def test_pseudo_labels_keep_their_regions_beside_them(tmp_path):
    np.save(tmp_path / "pseudo-labels-3.npy", np.stack([Spots().labels(n) for n in range(6)]).astype(np.uint8))
    pseudo = PseudoLabelled(Spots(), tmp_path / "pseudo-labels-3.npy")
    found = Centroids.of(pseudo).table
    np.testing.assert_array_equal(found, Centroids.of(Spots()).table)
    np.testing.assert_array_equal(np.load(tmp_path / "regions-of-pseudo-labels-3.npy"), found)
    assert len(list((tmp_path / "cache").iterdir())) == 1, "the cache holds those of the true labels alone"


def test_a_data_set_is_looked_through_once(monkeypatch):
    data, read = Spots(), []
    labels = data.training_labels
    monkeypatch.setattr(data, "training_labels", lambda index: read.append(index) or labels(index))
    monkeypatch.setattr(data, "image", None)  # regions need no image
    tables = [Centroids.of(data).table for _ in range(3)]
    assert len(read) == 2 * len(data) and tables[0] is tables[2], "for the hash, and for the regions"


def test_regions_are_found_once_for_the_same_labels(monkeypatch):
    first = Centroids.of(Spots()).table
    monkeypatch.setattr(centroids, "regions", None)
    np.testing.assert_array_equal(Centroids.of(Spots(spec="of another name")).table, first)
    monkeypatch.setattr(Spots, "labels", lambda self, index: torch.zeros(SIZE, dtype=torch.long))
    with pytest.raises(TypeError):  # other labels: they are looked for again
        Centroids.of(Spots())


def test_a_broken_or_read_only_cache_costs_time_alone(tmp_path, monkeypatch):
    first = Centroids.of(Spots()).table
    (file,) = (tmp_path / "cache").glob("centroids-*.npy")
    file.write_bytes(file.read_bytes()[:50])
    np.testing.assert_array_equal(Centroids.of(Spots()).table, first)
    assert np.load(file).shape == first.shape and list((tmp_path / "cache").iterdir()) == [file]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIDA_CACHE", str(tmp_path / "file" / "cache"))
    np.testing.assert_array_equal(Centroids.of(Spots()).table, first)
