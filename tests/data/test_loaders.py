"""Batches depend on (seed, step) alone; splits and subsets keep what their data set knows."""

import signal
from itertools import islice

import numpy as np
import pytest
import torch

from minida.data.base import SegmentationDataset, Subset, labeled_split, resize_labels
from minida.data.loaders import TrainingBatches, evaluation_batches
from minida.data.transforms import Augmentation, denormalise, normalise
from minida.types import IGNORE, Batch, ClassTable

SIZE = (8, 12)
STILL = Augmentation(SIZE, scale=(1, 1), flip=0, jitter=0, blur=0, noise=0)


class Numbered(SegmentationDataset):
    """Image i is filled with `first` + i; its labels, at twice the size, with i % 3."""

    def __init__(self, n: int, first: int = 0) -> None:
        self.n, self.first, self.size, self.spec, self.prepared = n, first, SIZE, f"numbered:{n}", 0
        self.table = ClassTable(("a", "b", "c", "d"), np.zeros((4, 3), np.uint8), (0, 1, 2, 3))
        self.classes = (0, 1, 2)

    def __len__(self) -> int:
        return self.n

    def image(self, index: int) -> torch.Tensor:
        return torch.full((3, *SIZE), self.first + index, dtype=torch.uint8)

    def labels(self, index: int) -> torch.Tensor:
        labels = torch.full((16, 24), index % 3)
        labels[0, :4] = IGNORE
        return labels

    def prepare(self, labels: bool = True) -> None:
        self.prepared += 1
        self.asked = labels


class Unlabelled(Numbered):
    def labels(self, index: int) -> torch.Tensor:
        raise AssertionError("target labels were read")


def numbers(images: torch.Tensor) -> list[int]:
    return denormalise(images)[:, 0, 0, 0].tolist()


def batches(n: int = 10, target: SegmentationDataset | None = None, **options: object) -> TrainingBatches:
    options = {"batch_size": 4, "augmentation": STILL, "seed": 0, **options}
    return TrainingBatches(Numbered(n), target, **options)


def equal(one: Batch, two: Batch) -> bool:
    return all(a is b is None or torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_shapes_types_and_matching_labels() -> None:
    batch = next(iter(batches(target=Unlabelled(5, first=100))))
    assert batch.source.shape == batch.target.shape == (4, 3, *SIZE)
    assert batch.source.dtype == torch.float32 and batch.source_labels.dtype == torch.int64
    assert batch.source_labels.shape == (4, *SIZE)
    assert batch.source_labels[:, 4, 4].tolist() == [number % 3 for number in numbers(batch.source)]
    assert torch.equal(batch.source[0], normalise(Numbered(10).image(numbers(batch.source)[0])))


def test_an_epoch_is_a_permutation_without_its_short_batch() -> None:
    epochs = []
    stream = iter(batches(10))
    for _ in range(20):
        seen = numbers(next(stream).source) + numbers(next(stream).source)  # 10 images: two batches of 4
        assert len(set(seen)) == 8
        epochs.append(tuple(seen))
    assert len(set(epochs)) == 20  # another order every epoch
    assert set().union(*epochs) == set(range(10))  # what one epoch drops, others show


def test_source_and_target_run_through_their_own_epochs() -> None:
    stream = list(islice(batches(8, Unlabelled(12, first=100)), 6))
    for start in (0, 2, 4):
        assert sorted(sum((numbers(b.source) for b in stream[start : start + 2]), [])) == list(range(8))
    for start in (0, 3):
        seen = sum((numbers(b.target) for b in stream[start : start + 3]), [])
        assert sorted(seen) == list(range(100, 112))
    same = next(iter(batches(64, Unlabelled(64), batch_size=32)))
    assert numbers(same.source) != numbers(same.target)  # the two orders are not one


@pytest.mark.parametrize("with_target", [False, True])
def test_batches_do_not_depend_on_the_number_of_workers(with_target: bool) -> None:
    target = Unlabelled(7, first=50) if with_target else None
    options = {"augmentation": Augmentation((6, 10), blur=0.5), "seed": 3}
    alone = list(islice(batches(9, target, **options), 5))
    shared = list(islice(batches(9, target, workers=2, **options), 5))
    assert all(equal(a, b) for a, b in zip(alone, shared, strict=True))


def test_a_resumed_stream_continues_as_the_uninterrupted_one() -> None:
    options = {"augmentation": Augmentation((6, 10)), "seed": 5, "target": Unlabelled(6)}
    whole = list(islice(batches(9, **options), 7))
    resumed = list(islice(batches(9, start=4, **options), 3))
    assert all(equal(a, b) for a, b in zip(whole[4:], resumed, strict=True))
    assert not equal(whole[0], resumed[0])


def test_every_pass_begins_at_the_start_and_seeds_differ() -> None:
    same = batches(30)
    assert equal(next(iter(same)), next(iter(same)))
    assert numbers(next(iter(batches(30, seed=1))).source) != numbers(next(iter(same)).source)


def test_augmentation_differs_between_samples_steps_and_epochs() -> None:
    noisy = Augmentation(SIZE, scale=(1, 1), flip=0, jitter=0, blur=0, noise=0.5)
    data = Numbered(4)
    data.image = lambda index: torch.full((3, *SIZE), 128, dtype=torch.uint8)
    stream = TrainingBatches(data, data, batch_size=4, augmentation=noisy, seed=0)
    images = torch.cat([torch.cat((batch.source, batch.target)) for batch in islice(stream, 3)])
    assert len(images.flatten(1).unique(dim=0)) == 24


def test_the_global_generators_and_the_thread_count_stay_untouched() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    state, before, threads = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    torch.set_num_threads(3)
    list(islice(batches(9, augmentation=Augmentation(SIZE)), 3))
    list(evaluation_batches(Numbered(5)))
    assert torch.get_num_threads() == 3
    torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == before).all()


def test_an_order_that_was_kept_is_that_of_its_own_epoch() -> None:
    some, steps = batches(), [0, 1, 2, 0, 5, 4, 1]  # two batches an epoch
    assert [some.source.samples(step) for step in steps] == [batches().source.samples(step) for step in steps]


@pytest.mark.parametrize("size", [0, 11])
def test_a_batch_larger_than_the_data_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"numbered:10 has 10 image\(s\).*batch of {size}.*from 1 to 10"):
        batches(10, batch_size=size)
    with pytest.raises(ValueError, match=r"numbered:3 has 3 image\(s\)"):
        batches(10, Unlabelled(3))


def test_loaders_prepare_their_data_once() -> None:
    source, target = Numbered(8), Unlabelled(8)
    stream = TrainingBatches(source, target, batch_size=4, augmentation=STILL, seed=0)
    list(islice(stream, 3))
    assert source.prepared == target.prepared == 1 and (source.asked, target.asked) == (True, False)
    subset = Subset(source, [0, 1])
    list(evaluation_batches(subset))
    assert source.prepared == 2 and source.asked is False  # evaluation counts at the labels' own size


class Interruptible(Numbered):
    """Image 1 where Ctrl-C would end this process, 0 where it is ignored."""

    def image(self, index: int) -> torch.Tensor:
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        return torch.full((3, *SIZE), int(not ignored), dtype=torch.uint8)


def test_workers_leave_an_interrupt_to_the_training() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        seen = [numbers(next(iter(evaluation_batches(Interruptible(2), 2, workers)))[0]) for workers in (0, 1)]
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [[1, 1], [0, 0]]


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_reads_every_image_once_in_order(workers: int) -> None:
    loader = evaluation_batches(Numbered(10), batch_size=4, workers=workers)
    assert len(loader) == 3
    images, labels, ids = zip(*loader, strict=True)
    assert [len(part) for part in images] == [4, 4, 2]
    assert numbers(torch.cat(images)) == torch.cat(ids).tolist() == list(range(10))
    assert [tuple(item.shape) for part in labels for item in part] == [(16, 24)] * 10
    assert [int(item[5, 5]) for part in labels for item in part] == [i % 3 for i in range(10)]


def test_evaluation_without_labels_reads_none_and_numbers_images_of_the_whole_set() -> None:
    images, labels, ids = next(iter(evaluation_batches(Subset(Unlabelled(9), [7, 2]), with_labels=False)))
    assert numbers(images) == ids.tolist() == [7, 2] and labels == [None, None]


def test_labels_are_resized_to_the_nearest_pixel_centre() -> None:
    columns = torch.arange(6).expand(2, 6)
    assert resize_labels(columns, (2, 2))[0].tolist() == [1, 4]  # centres at 1.0 and 4.0 of 0 … 5
    assert resize_labels(columns, (4, 12))[0].tolist() == [i // 2 for i in range(12)]
    assert resize_labels(torch.full((3, 5), IGNORE), (7, 2)).unique().tolist() == [IGNORE]
    image, labels = Numbered(2)[1]
    assert labels.shape == image.shape[1:] == SIZE and labels.dtype == torch.int64


def test_class_frequency_by_hand_and_counted_once() -> None:
    data = Numbered(4)  # labels 0, 1, 2, 0
    assert data.class_frequency().tolist() == [0.5, 0.25, 0.25, 0]
    assert data.class_frequency().dtype == np.float64
    data.class_frequency()[:] = 0
    data.labels = None  # not read again
    assert data.class_frequency().tolist() == [0.5, 0.25, 0.25, 0]
    assert Subset(Numbered(4), [1, 2]).class_frequency().tolist() == [0, 0.5, 0.5, 0]
    empty = Numbered(1)
    empty.labels = lambda index: torch.full((4, 4), IGNORE)
    with pytest.raises(ValueError, match="no labelled pixel"):
        empty.class_frequency()


def test_labeled_split_is_disjoint_complete_and_fixed_by_the_seed() -> None:
    data = Numbered(40)
    labeled, unlabeled = labeled_split(data, 1 / 8, seed=0)
    assert (len(labeled), len(unlabeled)) == (5, 35)
    assert sorted(labeled.indices + unlabeled.indices) == list(range(40))
    assert labeled_split(data, 1 / 8, seed=0)[0].indices == labeled.indices
    assert labeled_split(data, 1 / 8, seed=1)[0].indices != labeled.indices
    assert labeled.classes == data.classes and labeled.table is data.table and labeled.size == SIZE
    assert (labeled.spec, labeled.split, labeled.has_labels) == (data.spec, "train", True)
    for i, index in enumerate(labeled.indices):
        assert labeled.image_id(i) == index == int(labeled.image(i)[0, 0, 0]) == int(labeled[i][0][0, 0, 0])
        assert labeled.labels(i)[5, 5] == labeled[i][1][5, 5] == index % 3
    nested, _ = labeled_split(unlabeled, 0.5, seed=0)
    assert all(nested.image_id(i) == int(nested.image(i)[0, 0, 0]) for i in range(len(nested)))


def test_labeled_split_keeps_an_image_on_both_sides_and_refuses_the_rest() -> None:
    assert [len(part) for part in labeled_split(Numbered(4), 0.01, seed=0)] == [1, 3]
    assert [len(part) for part in labeled_split(Numbered(4), 0.99, seed=0)] == [3, 1]
    for n, fraction in ((4, 0), (4, 1), (4, 1.5), (4, -0.5), (1, 0.5)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            labeled_split(Numbered(n), fraction, seed=0)
