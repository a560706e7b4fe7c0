import math

import numpy as np
import pytest
import torch

import minida
from minida.metrics import ConfusionMatrix, PseudoLabelQuality


def naive_iou(labels, predictions, classes):
    """From the definition, class by class and pixel by pixel."""
    iou = []
    for c in range(classes):
        hit = miss = wrong = 0
        for truth, guess in zip(labels.flatten().tolist(), predictions.flatten().tolist(), strict=True):
            if truth == minida.IGNORE:
                continue
            hit += truth == c and guess == c
            miss += truth == c and guess != c
            wrong += truth != c and guess == c
        iou.append(hit / (hit + miss + wrong) if hit + miss + wrong else math.nan)
    return np.array(iou)


def random_maps(classes=6):
    labels = torch.randint(0, classes - 1, (3, 8, 9))  # the last class is absent from the labels
    labels[:, :2] = minida.IGNORE
    return labels, torch.randint(0, classes - 2, (3, 8, 9))


def test_against_the_definition():
    labels, predictions = random_maps()
    matrix = ConfusionMatrix(6)
    for truth, guess in zip(labels, predictions, strict=True):
        matrix.update(truth, guess)
    np.testing.assert_allclose(matrix.iou(), naive_iou(labels, predictions, 6))
    assert math.isnan(matrix.iou()[5])
    assert matrix.miou() == pytest.approx(np.nanmean(naive_iou(labels, predictions, 6)))


def test_by_hand():
    matrix = ConfusionMatrix(3)
    matrix.update(torch.tensor([[0, 0, 1, 255]]), torch.tensor([[0, 1, 1, 2]]))
    np.testing.assert_array_equal(matrix.counts, [[1, 1, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(matrix.iou(), [1 / 2, 1 / 2, np.nan])
    assert matrix.pixel_accuracy() == pytest.approx(2 / 3)


def test_a_predicted_class_that_the_data_lack_is_an_error_of_the_true_class():
    matrix = ConfusionMatrix(3)
    matrix.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 1, 1]))
    assert matrix.miou(classes=(0, 1)) == pytest.approx((1 / 2 + 1) / 2)


def test_counts_of_shards_add_up_to_the_whole():
    labels, predictions = random_maps()
    whole, a, b = ConfusionMatrix(6), ConfusionMatrix(6), ConfusionMatrix(6)
    whole.update(labels, predictions)
    a.update(labels[:1], predictions[:1])
    b.update(labels[1:], predictions[1:])
    np.testing.assert_array_equal(a.counts + b.counts, whole.counts)


def test_nothing_counted_is_nan_without_a_warning(recwarn):
    matrix = ConfusionMatrix(2)
    matrix.update(torch.full((2, 2), minida.IGNORE), torch.zeros(2, 2, dtype=torch.long))
    assert math.isnan(matrix.miou()) and math.isnan(matrix.pixel_accuracy())
    assert not recwarn.list


@pytest.mark.parametrize(
    ("labels", "predictions"), [([[0, 1]], [[0, 3]]), ([[3, 1]], [[0, 1]]), ([[0, 1]], [[0]]), ([[0, 0]], [[0, -1]])]
)
def test_values_that_are_no_class_are_refused(labels, predictions):
    with pytest.raises(ValueError, match="expected"):
        ConfusionMatrix(3).update(torch.tensor(labels), torch.tensor(predictions))


def test_int32_and_uint8_tensors_count_the_same():
    a, b = ConfusionMatrix(19), ConfusionMatrix(19)
    labels, predictions = torch.randint(0, 19, (4, 5)), torch.randint(0, 19, (4, 5))
    a.update(labels, predictions)
    b.update(labels.to(torch.uint8), predictions.to(torch.uint8))
    np.testing.assert_array_equal(a.counts, b.counts)


def naive_quality(pseudo, truth, classes):
    """Coverage, accuracy and shares from their definitions, pixel by pixel."""
    pairs = list(zip(pseudo.flatten().tolist(), truth.flatten().tolist(), strict=True))
    ratio = lambda hits, of: sum(hits) / len(of) if of else math.nan  # noqa: E731
    given, known = [p for p in pairs if p[0] != 255], [p for p in pairs if 255 not in p]
    coverage = [[p for p in pairs if p[1] == c] for c in range(classes)]
    accuracy = [[p for p in known if p[0] == c] for c in range(classes)]
    return (
        [ratio([p[0] != 255 for p in part], part) for part in coverage], len(given) / len(pairs),
        [ratio([p[0] == p[1] for p in part], part) for part in accuracy], ratio([p[0] == p[1] for p in known], known),
        [ratio([p[0] == c for p in given], given) for c in range(classes)],
    )  # fmt: skip


def pseudo_labels(classes=6):
    truth, pseudo = random_maps(classes)
    guesses = torch.where(torch.rand(truth.shape) < 0.5, truth, pseudo)
    return guesses.masked_fill(torch.rand(truth.shape) < 0.3, minida.IGNORE), truth


def test_quality_against_the_definition(recwarn):
    pseudo, truth = pseudo_labels()
    quality = PseudoLabelQuality(6)
    for pair in zip(pseudo, truth, strict=True):
        quality.update(*pair)
    coverage, covered, accuracy, right, shares = naive_quality(pseudo, truth, 6)
    np.testing.assert_allclose(quality.coverage().per_class, coverage)
    np.testing.assert_allclose(quality.accuracy().per_class, accuracy)
    np.testing.assert_allclose(quality.shares(), shares)
    assert quality.coverage().overall == pytest.approx(covered) and quality.accuracy().overall == pytest.approx(right)
    assert math.isnan(coverage[5]) and math.isnan(accuracy[5]) and not recwarn.list


def test_quality_by_hand():
    """Three true 0, two true 1, one unknown; rightly, wrongly and not labelled."""
    quality = PseudoLabelQuality(3)
    quality.update(torch.tensor([[0, 1, 255, 1, 255, 0]]), torch.tensor([[0, 0, 0, 1, 1, 255]]).byte())
    np.testing.assert_allclose(quality.coverage().per_class, [2 / 3, 1 / 2, np.nan])
    np.testing.assert_allclose(quality.accuracy().per_class, [1, 1 / 2, np.nan])
    assert quality.coverage().overall == pytest.approx(4 / 6) and quality.accuracy().overall == pytest.approx(2 / 3)
    np.testing.assert_allclose(quality.shares(), [1 / 2, 1 / 2, 0])
    smooth = 1 + 3e-6  # 1e-6 more for each of three classes
    first, second = [(x + 1e-6) / smooth for x in (0.25, 0.25, 0.5)], [(x + 1e-6) / smooth for x in (0.5, 0.5, 0)]
    wanted = sum(a * math.log(a / b) for a, b in zip(first, second, strict=True))
    assert quality.kl(np.array([0.25, 0.25, 0.5])) == pytest.approx(wanted, rel=1e-9)
    assert quality.kl([1, 1, 2]) == pytest.approx(wanted, rel=1e-9) and wanted > 6  # of a class that lacks
    assert quality.kl(quality.shares()) == pytest.approx(0, abs=1e-12)


def test_nothing_labelled_is_nan_without_a_warning_too(recwarn):
    for truth in (torch.zeros(2, 2), torch.full((2, 2), minida.IGNORE)):
        quality = PseudoLabelQuality(2)
        quality.update(torch.full((2, 2), minida.IGNORE), truth.long())
        assert quality.coverage().overall == 0 and math.isnan(quality.accuracy().overall)
        assert np.isnan(quality.shares()).all() and math.isnan(quality.kl([1, 2]))
    assert math.isnan(PseudoLabelQuality(2).coverage().overall) and not recwarn.list


def test_quality_of_halves_adds_up_to_the_whole(monkeypatch):
    pseudo, truth = pseudo_labels()
    whole, a, b = PseudoLabelQuality(6), PseudoLabelQuality(6), PseudoLabelQuality(6)
    whole.update(pseudo, truth), a.update(pseudo[:1], truth[:1]), b.update(pseudo[1:], truth[1:])
    monkeypatch.setattr(minida.distributed, "total", lambda counts: counts + b.counts)  # as of two processes
    a.merge()
    np.testing.assert_array_equal(a.counts, whole.counts)


@pytest.mark.parametrize("pseudo", [[[0, 3]], [[0, 4]], [[0, -1]], [[0]]])
def test_pseudo_labels_that_are_no_class_are_refused(pseudo):
    with pytest.raises(ValueError, match="expected"):
        PseudoLabelQuality(3).update(torch.tensor(pseudo), torch.tensor([[0, 1]]))
    with pytest.raises(ValueError, match="expected"):
        PseudoLabelQuality(3).update(torch.tensor([[0, 1]]), torch.tensor(pseudo))
