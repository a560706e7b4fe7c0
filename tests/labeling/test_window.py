"""Thresholds over the last batches: those of a strategy that saw these batches and no others."""

import copy

import pytest
import torch

from minida import IGNORE
from minida.labeling import DARS, EntropyPartition
from minida.labeling.window import Window

CLASSES = 4


def batch(number):
    """(2, C, 6, 8) softmax, surer from batch to batch, so that every batch moves the thresholds."""
    generator = torch.Generator().manual_seed(number)
    return ((0.5 + 0.3 * number) * torch.randn(2, CLASSES, 6, 8, generator=generator)).softmax(1)


def fitted(numbers, progress):
    """The thresholds of a new strategy that observed exactly these batches."""
    strategy = EntropyPartition(CLASSES, 0.3)
    for number in numbers:
        strategy.observe(batch(number))
    return strategy.fit(progress)


def test_thresholds_are_those_of_the_last_batches():
    window, changes = Window(EntropyPartition(CLASSES, 0.3), length=3), []
    expected = {0: [0], 3: [0, 1, 2, 3], 6: range(1, 7), 9: range(4, 10), 12: range(7, 13)}
    for number in range(14):
        before = window.strategy.thresholds
        window.observe(batch(number), number / 20)
        if number in expected:
            wanted = fitted(expected[number], number / 20)
            assert torch.equal(window.strategy.thresholds.score, wanted.score), number
            labels = EntropyPartition(CLASSES, 0.3)
            labels.thresholds = wanted
            assert torch.equal(window.label(batch(30)), labels.label(batch(30)))
            changes.append(wanted.score[0].item())
        else:
            assert window.strategy.thresholds is before, "fitted once in `length` batches"
    assert len(set(changes)) == len(expected), "no two of these windows have the same thresholds"


def test_the_default_is_ten_batches():
    window, fits = Window(EntropyPartition(CLASSES)), []
    for number in range(21):
        before = window.strategy.thresholds
        window.observe(batch(0), 0.0)
        fits += [number] * (window.strategy.thresholds is not before)
    assert fits == [0, 10, 20]


def test_the_size_does_not_grow():
    window, sizes = Window(EntropyPartition(CLASSES), length=2), []
    for number in range(40):
        window.observe(batch(number % 3), 0.0)
        kept = [part for part in (window.older, window.strategy.counts) if part is not None]
        sizes.append(sum(part.numel() for part in kept))
    one = window.older.numel()
    assert set(sizes) == {one, 2 * one}
    seen = window.older.sum() + (0 if window.strategy.counts is None else window.strategy.counts.sum())
    assert seen <= 4 * batch(0)[:, 0].numel(), "the counts are those of the last batches, not of all"


@pytest.mark.parametrize("stop", [1, 4, 5, 6])
def test_stopped_anywhere_and_resumed_goes_on_the_same(stop):
    window, resumed = Window(EntropyPartition(CLASSES, 0.3), 3), Window(EntropyPartition(CLASSES, 0.3), 3)
    for number in range(stop):
        window.observe(batch(number), number / 12)
    resumed.load_state_dict(copy.deepcopy(window.state_dict()))
    for number in range(stop, 12):
        for each in (window, resumed):
            each.observe(batch(number), number / 12)
        assert torch.equal(window.strategy.thresholds.score, resumed.strategy.thresholds.score), number
        assert torch.equal(window.label(batch(number)), resumed.label(batch(number)))


def test_a_window_that_saw_nothing_can_be_stored():
    window = Window(EntropyPartition(CLASSES))
    window.load_state_dict(Window(EntropyPartition(CLASSES)).state_dict())
    window.observe(batch(0), 0.0)
    assert (window.label(batch(0)) != IGNORE).any()


def test_any_strategy_may_be_given_and_ids_reach_it():
    window, alone = Window(DARS([1] * CLASSES, 0.2)), DARS([1] * CLASSES, 0.2)
    ties = batch(1)[:, :, :1, :1].expand(-1, -1, 6, 8)  # which of them are kept is drawn
    window.observe(ties, 0.5)
    alone.observe(ties)
    alone.fit(0.5)
    ids = torch.tensor([7, 3])
    assert torch.equal(window.label(ties, ids), alone.label(ties, ids))
    assert not torch.equal(window.label(ties, ids), window.label(ties))


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [(0.2, (0.2, 0.1, 0)), ((0.2, 0.2), (0.2, 0.2, 0.2)), ([0.2, 0.2], (0.2, 0.2, 0.2)), ((0.5, 0.1), (0.5, 0.3, 0.1))],
)
def test_the_dropped_share_in_the_course_of_a_training(alpha, expected):
    probs = (2 * torch.randn(4, CLASSES, 50, 50, generator=torch.Generator().manual_seed(0))).softmax(1)
    for progress, share in zip((0, 0.5, 1), expected, strict=True):
        window = Window(EntropyPartition(CLASSES, alpha))
        window.observe(probs, progress)
        assert (window.label(probs) == IGNORE).float().mean().item() == pytest.approx(share, abs=2e-3)
