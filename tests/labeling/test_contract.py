import numpy as np
import pytest
import torch

import minida
from minida.labeling import DARS, STRATEGIES, Confidence, LabelingStrategy, Thresholds, make_strategy, problems
from minida.labeling.base import max_probability


def make(name, classes, **options):
    options = {"ratio": 0.3} if name == "st" else options
    return make_strategy(name, num_classes=classes, class_frequency=np.arange(1, classes + 1), **options)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("classes", [1, 2, 19])
def test_our_own_strategies_keep_every_promise(name, classes):
    strategy = make(name, classes)
    assert problems(strategy) == []
    assert strategy.counts is None and strategy.thresholds is None, "the strategy was changed"


def test_so_do_a_fixed_threshold_and_a_temperature():
    assert problems(Confidence(19, threshold=0.9)) == []
    assert problems(DARS(np.ones(19), (0.2, 0.5), seed=5, temperature=2.0)) == []


class Half(LabelingStrategy):
    """The surer half of all; each class below breaks one promise."""

    def rule(self, seen, progress):
        limit, _ = seen.merged().limit(seen.total.sum() / 2)
        return Thresholds(np.full(self.num_classes, 1 - limit), np.ones(self.num_classes))


class SortsAList(Half):
    def observe(self, probs):
        self.everything = sorted([*getattr(self, "everything", []), *probs.amax(1).flatten().tolist()])
        super().observe(probs)


class ThresholdsOfAnImage(Half):
    def label(self, probs, ids=None):
        super().label(probs, ids)
        best, classes = probs.max(1)
        return classes.masked_fill(best < best.flatten(1).median(1).values[:, None, None], minida.IGNORE)


class ThresholdsOfABatch(Half):
    def label(self, probs, ids=None):
        super().label(probs, ids)
        best, classes = probs.max(1)
        return classes.masked_fill(best < best.median(), minida.IGNORE)


class GlobalGenerator(Half):
    def believes(self, score, threshold):
        return super().believes(score, threshold) & (torch.rand(score.shape) < 0.5)


class ChangesInPlace(Half):
    def observe(self, probs):
        super().observe(probs.clamp_(max=0.9))


class ForgetsToForget(Half):
    def reset(self):
        self.thresholds, self.counts = None, getattr(self, "counts", None)


class BelievesTheAbsent(Half):
    def label(self, probs, ids=None):
        labels = super().label(probs, ids)
        labels[:, 0, 0] = self.num_classes - 1
        return labels


class KnowsTheLastBatch(Half):
    def observe(self, probs):
        self.reset()
        super().observe(probs)


class LargerBatchesReplace(Half):
    sign = 1

    def observe(self, probs):
        if self.counts is not None and self.sign * len(probs) > self.sign * self.before:
            self.reset()
        self.before = len(probs)
        super().observe(probs)


class SmallerBatchesReplace(LargerBatchesReplace):
    sign = -1


class DrawsByPlace(DARS):
    def label(self, probs, ids=None):
        return super().label(probs)


class ReturnsBytes(Half):
    def label(self, probs, ids=None):
        return super().label(probs, ids).to(torch.uint8)


class IgnoresWithMinusOne(Half):
    def label(self, probs, ids=None):
        labels = super().label(probs, ids)
        return labels.where(labels != minida.IGNORE, -1)


class AnswersUnfitted(Half):
    def label(self, probs, ids=None):
        return probs.argmax(1).fill_(minida.IGNORE) if self.thresholds is None else super().label(probs, ids)


class NeedsEvenSizes(Half):
    def label(self, probs, ids=None):
        labels = super().label(probs, ids)
        return labels[:, : labels.shape[1] // 2 * 2]


class Stops(Half):
    def rule(self, seen, progress):
        raise KeyError("oh")


class Warns(Half):
    def rule(self, seen, progress):
        return Thresholds(1 - np.zeros(self.num_classes) / seen.total, np.ones(self.num_classes))


def test_the_strategy_that_the_faults_start_from_is_sound():
    assert problems(Half(5)) == [] and problems(DARS([1, 2, 3, 4, 5], 0.2)) == []


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (SortsAList, "the statistic grows"),
        (ThresholdsOfAnImage, "a pixel's label depends on the other pixels of its image"),
        (ThresholdsOfABatch, "depend on the other images of its batch"),
        (GlobalGenerator, "depend on how the images were divided"),
        (ChangesInPlace, "the predictions are changed in place"),
        (ForgetsToForget, "reset does not forget"),
        (BelievesTheAbsent, "a class that nothing was predicted as gets labels"),
        (KnowsTheLastBatch, "divided into batches, or on their order"),
        (LargerBatchesReplace, "divided into batches, or on their order"),
        (SmallerBatchesReplace, "divided into batches, or on their order"),
        (DrawsByPlace, "not on its id"),
        (ReturnsBytes, "expected int64 (B, H, W)"),
        (IgnoresWithMinusOne, "neither a class, 0 to 4, nor IGNORE (255)"),
        (AnswersUnfitted, "label answers before fit"),
        (NeedsEvenSizes, "one image of (3, 5) pixels"),
        (Stops, "stops with KeyError: 'oh'"),
        (Warns, "stops with RuntimeWarning"),
    ],
)
def test_each_planted_fault_is_found(kind, line):
    strategy = kind([1, 2, 3, 4, 5], 0.2) if kind is DrawsByPlace else kind(5)
    found = problems(strategy)
    assert any(line in problem for problem in found), found
    assert all("\n" not in problem for problem in found)


def test_a_class_defined_anywhere_can_be_checked():
    """In a function, as in a file of one's own, a class cannot be pickled."""

    class Local(Half):
        pass

    assert problems(Local(3)) == []


def test_the_statistic_stays_below_a_megabyte():
    probs = torch.randn(2, 19, 32, 48).softmax(1)
    for name in STRATEGIES:
        strategy = make(name, 19)
        for _ in range(50):
            strategy.observe(probs)
        strategy.fit()
        held = [value for value in vars(strategy).values() if isinstance(value, (torch.Tensor, np.ndarray))]
        assert 0 < sum(value.nbytes for value in held) <= 2**20
        assert strategy.counts.sum() == 50 * 2 * 32 * 48 and max_probability(probs)[0].shape == (2, 32, 48)
