import math

import numpy as np
import pytest
import torch

import minida
from minida.metrics import ConfusionMatrix


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
