"""What is kept of photographs: the same values, made once, keyed by the files, whole or absent, disk or no disk."""

import multiprocessing
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from minida import data
from minida.data import cache, folders
from minida.data.base import Subset, labeled_split
from minida.data.loaders import TrainingBatches
from minida.data.transforms import Augmentation

COUNT, SIZE = 40, (10, 18)

# A fork has torch at once; elsewhere a fork of a process with threads is not safe.
PROCESSES = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder."""
    monkeypatch.setenv("MINIDA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """40 images and labels, no two alike."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / "plain" / folder).mkdir(parents=True)
    for i in range(COUNT):
        image, labels = rng.integers(0, 256, (20, 36, 3), np.uint8), rng.integers(0, 19, (20, 36), np.uint8)
        Image.fromarray(image).save(tmp_path / f"plain/images/{i:03}.png")
        Image.fromarray(labels).save(tmp_path / f"plain/labels/{i:03}.png")
    return tmp_path / "plain"


@pytest.fixture
def no_files(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and from then on no image file can be read."""

    def refuse(path: Path, header: bool = False) -> None:
        raise AssertionError(f"{path} was read")

    return lambda: monkeypatch.setattr(folders, "open_file", refuse)


def visible(root: Path) -> list[str]:
    """What a reader of the cache may find, without the locks."""
    return sorted(path.name for path in root.iterdir() if path.suffix != ".lock")


def same(one: data.SegmentationDataset, two: data.SegmentationDataset) -> bool:
    pairs = zip(map(one.__getitem__, range(COUNT)), map(two.__getitem__, range(COUNT)), strict=True)
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in pairs)


def test_the_same_values_made_once(plain: Path, root: Path, no_files: Callable) -> None:
    fresh, first = (data.open(f"folder:{plain}", size=SIZE) for _ in range(2))
    expected = [(fresh[i], fresh.label_counts(i)) for i in range(COUNT)]
    frequency, own = fresh.class_frequency(), fresh.labels(3)
    first.prepare()
    assert torch.equal(first.labels(3), own) and own.shape == (20, 36)  # evaluation counts at the file's own size
    no_files()
    second = data.open(f"folder:{plain}", size=SIZE)
    second.prepare()
    for dataset in (first, second):
        assert isinstance(dataset._arrays["images"][0], np.memmap)
        for i, ((image, labels), counts) in enumerate(expected):
            assert torch.equal(dataset.image(i), image) and dataset.image(i).dtype == torch.uint8
            assert torch.equal(dataset[i][1], labels) and dataset[i][1].dtype == torch.int64
            assert (dataset.label_counts(i) == counts).all()
        assert np.array_equal(dataset.class_frequency(), frequency)
    assert [name[: name.rindex("-")] for name in visible(root)] == [
        f"folder-train-10x18-{kind}" for kind in ("images", "labels")
    ]
    first.image(0).zero_()  # a caller's copy
    assert torch.equal(first.image(0), expected[0][0][0])


def test_whatever_decides_the_bytes_is_seen(plain: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(labels: bool = True, size: tuple[int, int] = SIZE) -> int:
        """How many more folders the cache has after preparing the set anew."""
        before = len(visible(root)) if root.exists() else 0
        data.open(f"folder:{plain}", size=size).prepare(labels)
        return len(visible(root)) - before

    assert (made(), made()) == (2, 0)
    Image.fromarray(np.full((20, 36, 3), 77, np.uint8)).save(plain / "images/005.png")
    assert (made(), made()) == (2, 0)
    changed = data.open(f"folder:{plain}", size=SIZE)
    changed.prepare()
    assert (changed.image(5) == 77).all()
    for folder, new in (("labels", 1), ("images", 2)):
        os.utime(plain / folder / "006.png", ns=(1, 1))  # a file of the same size, but another
        assert (made(), made()) == (new, 0)
    assert (made(False, (5, 9)), made(False, (5, 9))) == (1, 0)
    rows = [f'{{"name": "c{i}", "color": [0, 0, {i}], "id": {18 - i}}}' for i in range(19)]
    (plain / "classes.json").write_text(f"[{', '.join(rows)}]")
    assert (made(), made()) == (1, 0)  # other labels of the same images
    monkeypatch.setattr(folders.PIL, "__version__", "0")
    assert made() == 2


def test_a_targets_labels_are_never_read(plain: Path, root: Path) -> None:
    source = data.open(f"folder:{plain}?n=35", size=SIZE)
    source.prepare()
    for path in (plain / "labels").iterdir():
        path.write_bytes(b"nobody can read this")
    target = data.open(f"folder:{plain}", size=SIZE)
    target.prepare(labels=False)
    batches = TrainingBatches(source, target, batch_size=4, augmentation=Augmentation((8, 8)), seed=0)
    assert next(iter(batches)).target.shape == (4, 3, 8, 8)
    with pytest.raises(ValueError, match="cannot be read"):
        data.open(f"folder:{plain}", size=SIZE).prepare()


def test_of_a_labelled_share_only_its_own_labels_are_read(plain: Path, no_files: Callable) -> None:
    dataset = data.open(f"folder:{plain}", size=SIZE)
    labeled, rest = labeled_split(dataset, 0.85, seed=0)
    expected, counts = [labeled[i] for i in range(len(labeled))], labeled.class_frequency()
    for index in rest.indices:
        (plain / f"labels/{index:03}.png").write_bytes(b"nobody can read this")
    labeled.prepare(), rest.prepare(labels=False)
    no_files()
    labeled._frequency = None
    assert np.array_equal(labeled.class_frequency(), counts) and rest.image(0).shape == (3, *SIZE)
    for i, (image, labels) in enumerate(expected):
        assert torch.equal(labeled[i][0], image) and torch.equal(labeled[i][1], labels)
    with pytest.raises(AssertionError, match="was read"):
        rest[0]
    Subset(labeled, [2, 5]).prepare()  # they are there
    assert torch.equal(Subset(labeled, [2, 5])[1][1], expected[5][1])


def test_a_small_set_stays_in_memory(plain: Path, root: Path, no_files: Callable) -> None:
    dataset = data.open(f"folder:{plain}?n={cache.SMALL}", size=SIZE)
    before = dataset[7]
    dataset.prepare()
    packed = pickle.dumps(dataset)
    assert not root.exists() and len(packed) < 20_000  # the arrays have 17 KB and 8 KB
    dataset[7][0].zero_(), dataset[7][1].zero_()
    worker = pickle.loads(packed)
    assert torch.equal(worker[7][0], before[0]) and torch.equal(worker[7][1], before[1])  # makes its own
    no_files()
    for kept in (dataset, worker):
        assert torch.equal(kept[7][0], before[0]) and torch.equal(kept[7][1], before[1])


def test_a_worker_opens_the_cache_again(plain: Path, no_files: Callable) -> None:
    dataset = data.open(f"folder:{plain}", size=SIZE)
    dataset.prepare()
    packed = pickle.dumps(dataset)
    assert len(packed) < COUNT * 3 * SIZE[0] * SIZE[1]
    no_files()
    worker = pickle.loads(packed)
    assert same(worker, dataset) and isinstance(worker._arrays["labels"][1], np.memmap)


def prepare_slowly(plain: Path, log: Path) -> None:
    """Prepare in a process of its own: each image takes a while and leaves a line; the sum of all is written last."""
    read = folders.PairedFiles._read

    def slow(self: folders.PairedFiles, kind: str, index: int) -> cache.Arrays:
        time.sleep(0.03)
        with open(log, "a") as file:
            file.write(f"{index}\n")
        return read(self, kind, index)

    folders.PairedFiles._read = slow
    dataset = data.open(f"folder:{plain}", size=SIZE)
    dataset.prepare(labels=False)
    log.with_suffix(".sum").write_text(str(sum(int(dataset.image(i).numpy().sum()) for i in range(COUNT))))


def test_two_processes_do_the_work_once_and_what_a_killed_one_leaves_goes(plain: Path, root: Path) -> None:
    logs = [plain / f"{k}.log" for k in range(3)]
    killed, *pair = [PROCESSES.Process(target=prepare_slowly, args=(plain, log)) for log in logs]
    killed.start()
    end = time.monotonic() + 60
    while not (logs[0].exists() and len(logs[0].read_text().split()) > 5):
        assert time.monotonic() < end
        time.sleep(0.01)
    killed.kill()
    killed.join()
    (left,) = visible(root)
    assert left.startswith(".") and (root / left / "images.npy").exists()

    for process in pair:
        process.start()
    for process in pair:
        process.join(60)
    fresh = data.open(f"folder:{plain}", size=SIZE)
    total = sum(int(fresh.image(i).sum()) for i in range(COUNT))
    assert [int(log.with_suffix(".sum").read_text()) for log in logs[1:]] == [total, total]
    reads = sorted(len(log.read_text().split()) if log.exists() else 0 for log in logs[1:])
    assert reads[1] == COUNT and reads[0] <= 1  # the other process has only looked how large one is
    (made,) = visible(root)
    assert not made.startswith(".")


def test_an_error_in_the_middle_leaves_nothing(plain: Path, root: Path) -> None:
    (plain / "images/030.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match="030.png: cannot be read"):
        data.open(f"folder:{plain}", size=SIZE).prepare()
    assert visible(root) == []


def full(monkeypatch: pytest.MonkeyPatch, root: Path) -> str:
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=2000))
    return "only 2e-06 GB are free"


def full_while_writing(monkeypatch: pytest.MonkeyPatch, root: Path) -> str:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", refuse)
    return "No space left on device"


def not_writable(monkeypatch: pytest.MonkeyPatch, root: Path) -> str:
    root.write_text("a file, no folder")
    return "exists"


def without_locks(monkeypatch: pytest.MonkeyPatch, root: Path) -> str:
    def refuse(*_: object) -> None:
        raise NotImplementedError("no locks here")

    monkeypatch.setattr(cache, "FileLock", refuse)
    return "no locks here"


@pytest.mark.parametrize("break_it", [full, full_while_writing, not_writable, without_locks])
def test_without_room_there_is_one_warning_and_the_files_are_read(
    plain: Path, root: Path, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[pytest.MonkeyPatch, Path], str]
) -> None:
    reason = break_it(monkeypatch, root)
    dataset, fresh = (data.open(f"folder:{plain}", size=SIZE) for _ in range(2))
    with pytest.warns(UserWarning) as caught:
        dataset.prepare(labels=False)
    (line,) = [str(warning.message) for warning in caught]
    assert line.startswith(f"folder:{plain} is read from files each time: 2.2e-05 GB are needed in {root} (")
    assert reason in line and line.endswith("); set MINIDA_CACHE to a folder with room")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.prepare(labels=False)
        assert same(dataset, fresh) and same(pickle.loads(pickle.dumps(dataset)), fresh)
    assert root.is_file() or visible(root) == []


def test_a_cut_file_in_the_cache_is_made_again(plain: Path, root: Path) -> None:
    data.open(f"folder:{plain}", size=SIZE).prepare(labels=False)
    (path,) = root.glob("*/images.npy")
    path.write_bytes(path.read_bytes()[:500])  # as a power failure may leave it
    dataset, fresh = (data.open(f"folder:{plain}", size=SIZE) for _ in range(2))
    dataset.prepare(labels=False)
    assert same(dataset, fresh) and isinstance(dataset._arrays["images"][0], np.memmap)
