"""A data set with a teacher's labels: whole on disk or not at all, and its own labels never read."""

import gc
import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from minida.data.base import SegmentationDataset, Subset
from minida.data.loaders import TrainingBatches
from minida.data.pseudo import PseudoLabelled, coverage, store_labels
from minida.data.transforms import Augmentation, denormalise
from minida.types import IGNORE, ClassTable

SIZE = (8, 12)


class Secret(SegmentationDataset):
    """Image i is filled with i; whoever reads its labels, or prepares them, fails."""

    def __init__(self, n: int) -> None:
        self.n, self.size, self.spec, self.prepared = n, SIZE, f"secret:{n}", []
        self.table = ClassTable(("a", "b", "c"), np.zeros((3, 3), np.uint8), (0, 1, 2))
        self.classes, self.split = (0, 1, 2), "train"

    def __len__(self) -> int:
        return self.n

    def image(self, index: int) -> torch.Tensor:
        return torch.full((3, *SIZE), index, dtype=torch.uint8)

    def labels(self, index: int) -> torch.Tensor:
        raise AssertionError("the data set's own labels were read")

    def prepare(self, labels: object = True) -> None:
        assert labels is False
        self.prepared.append(labels)


def plane(index: int) -> torch.Tensor:
    """What the teacher says of image `index`: its number modulo 3, and nothing of the first row."""
    labels = torch.full(SIZE, index % 3, dtype=torch.uint8)
    labels[0] = IGNORE
    return labels


def stored(path: Path, n: int = 5) -> PseudoLabelled:
    return store_labels(Secret(n), path, lambda: map(plane, range(n)))


def test_labels_are_stored_in_order_and_given_with_their_images(tmp_path: Path) -> None:
    data = stored(tmp_path / "labels.npy")
    on_disk = np.load(tmp_path / "labels.npy")
    assert on_disk.dtype == np.uint8 and on_disk.shape == (5, *SIZE)
    assert len(data) == 5 and data.has_labels and data.size == SIZE and data.table.names == ("a", "b", "c")
    assert data.spec == "secret:5 with labels.npy"
    for index in range(5):
        image, labels = data[index]
        assert int(image[0, 0, 0]) == index and labels.dtype == torch.int64
        assert torch.equal(labels, plane(index).long()) and torch.equal(labels, data.labels(index))
        np.testing.assert_array_equal(on_disk[index], plane(index))
    assert data.class_frequency().tolist() == [0.4, 0.4, 0.2]
    data.prepare()
    assert data.dataset.prepared == [False]


def test_coverage_is_the_share_of_labelled_pixels(tmp_path: Path) -> None:
    stored(tmp_path / "labels.npy")
    assert coverage(tmp_path / "labels.npy") == pytest.approx(7 / 8)


def test_a_part_of_a_data_set_keeps_its_images_numbers(tmp_path: Path) -> None:
    part = Subset(Secret(9), [7, 2])
    data = store_labels(part, tmp_path / "labels.npy", lambda: map(plane, (0, 1)))
    assert [int(data.image(i)[0, 0, 0]) for i in (0, 1)] == [data.image_id(i) for i in (0, 1)] == [7, 2]
    assert [int(data[i][1][4, 4]) for i in (0, 1)] == [0, 1], "the file's order is the part's, not the whole set's"


def test_what_fails_half_way_leaves_no_labels_and_starts_again(tmp_path: Path) -> None:
    path, part = tmp_path / "labels.npy", tmp_path / ".labels.npy.part"

    def failing():
        yield plane(0)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        store_labels(Secret(3), path, failing)
    assert not path.exists() and part.exists()
    part.write_bytes(b"\0" * 10_000)  # a killed process may leave anything
    assert [int(stored(path, 3).labels(i)[4, 4]) for i in range(3)] == [0, 1, 2] and not part.exists()
    for wrong in (range(2), range(4)):
        path.unlink(missing_ok=True)
        with pytest.raises(ValueError, match="zip"):
            store_labels(Secret(3), path, lambda wrong=wrong: map(plane, wrong))
        assert not path.exists()


def test_what_is_whole_is_kept(tmp_path: Path) -> None:
    stored(tmp_path / "labels.npy")
    before = (tmp_path / "labels.npy").read_bytes()

    def never():
        raise AssertionError("labelled again")

    data = store_labels(Secret(5), tmp_path / "labels.npy", never)
    assert torch.equal(data.labels(4), plane(4).long()) and (tmp_path / "labels.npy").read_bytes() == before


def test_the_name_is_given_last_and_to_a_closed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows renames no file that is open, and a full disk kills whoever writes into a memory map."""
    rename, opened, plain, seen = Path.replace, [], Path.open, []
    monkeypatch.setattr(Path, "open", lambda self, *given: opened.append(plain(self, *given)) or opened[-1])

    def replace(self, target):
        content = [int(labels[4, 4]) for labels in np.load(self)]
        maps = [
            each
            for each in gc.get_objects()
            if issubclass(type(each), np.memmap) and each.filename and Path(each.filename) == self
        ]
        seen.append((content, all(file.closed for file in opened), len(maps)))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    stored(tmp_path / "labels.npy")
    assert seen == [([0, 1, 2, 0, 1], True, 0)] and len(opened) == 1


def test_workers_open_the_file_themselves(tmp_path: Path) -> None:
    data = store_labels(Secret(500), tmp_path / "labels.npy", lambda: map(plane, range(500)))
    sent = pickle.dumps(data)
    assert len(sent) < 20_000 < (tmp_path / "labels.npy").stat().st_size
    assert torch.equal(pickle.loads(sent).labels(499), plane(499).long())
    assert torch.equal(data.labels(499), plane(499).long()), "what was sent is whole still"


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_images_and_what_the_teacher_said_of_them(tmp_path: Path, workers: int) -> None:
    data = stored(tmp_path / "labels.npy", 6)
    options = {"batch_size": 3, "augmentation": Augmentation(SIZE, scale=(1, 1), jitter=0, blur=0, noise=0), "seed": 1}
    for batch in islice(TrainingBatches(data, data, workers=workers, **options), 3):
        assert batch.pseudo_labels.shape == (3, *SIZE) and batch.pseudo_labels.dtype == torch.int64
        for image, labels in zip(denormalise(batch.target), batch.pseudo_labels, strict=True):
            assert torch.equal(labels, plane(int(image[0, 0, 0])).long())
    without = next(iter(TrainingBatches(data, Secret(6), workers=workers, **options)))
    assert without.pseudo_labels is None and without.target is not None
