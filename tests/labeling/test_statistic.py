import numpy as np
import pytest
import torch

from minida.labeling import Counts, confidence
from minida.labeling.base import max_probability, uniform
from minida.labeling.statistic import BINS, bin_of

pytestmark = pytest.mark.filterwarnings("error")


def counts(*rows):
    """Counts of rows of {bin: pixels}."""
    bins = np.zeros((len(rows), BINS), np.int64)
    for row, filled in zip(bins, rows, strict=True):
        row[list(filled)] = list(filled.values())
    return Counts(bins)


def edge(number):
    """The doubt at which bin `number` begins."""
    return 1 / (1 + np.exp(17 - np.asarray(number) / 256))


def place(doubt):
    """The inverse: where a doubt lies among the bins."""
    return 256 * (np.log(doubt / (1 - doubt)) + 17)


def counted(values):
    """Counts of confidences in one row."""
    return Counts(torch.bincount(bin_of(1 - values), minlength=BINS).numpy()[None])


def test_bins_are_even_in_the_log_odds_of_doubt():
    doubt = torch.linspace(0, 1, 100_001)
    bins = bin_of(doubt)
    assert bins.dtype == torch.int32 and (bins.diff() >= 0).all() and bins[0] == 0 and bins[-1] == BINS - 1
    inner = doubt.double().numpy()[1:-1]
    np.testing.assert_allclose(bins[1:-1], np.minimum(place(inner), BINS - 1), atol=1.001)
    assert bin_of(torch.tensor([-1e-7, 1.0000001])).tolist() == [0, BINS - 1]  # a softmax may sum to a little more
    assert bin_of(torch.tensor([0, 2.0**-24, 2.0**-23])).unique().numel() == 3  # next to 0, a bin for each float32
    assert np.diff(edge(np.arange(BINS + 1))).max() < 0.001 and 19 * BINS * 8 < 2**20


def test_a_limit_by_hand():
    seen = counts({3000: 10, 3001: 10, 3002: 10}, {3000: 10, 3001: 10, 3002: 10}, {3000: 4}, {5: 8, 6: 8, 7: 8}, {})
    np.testing.assert_array_equal(seen.total, [30, 30, 4, 24, 0])
    np.testing.assert_array_equal(seen.merged().bins, seen.bins.sum(0, keepdims=True))
    limit, reached = seen.limit(np.array([15, 10, 1, 9, 0]))
    # within a bin; at its end; a bin that stands out, and one as fine as a float32, are whole; nothing
    np.testing.assert_allclose(place(limit[:4]), [3001.5, 3001, 3001, 7], atol=0.01)
    assert limit[4] == -np.inf
    np.testing.assert_allclose(reached, [15, 10, 4, 16, 0])


def test_wanting_nothing_or_too_much():
    limit, reached = counts({4000: 10}, {4000: 10}, {}).limit(np.array([0, 99, 99]))
    assert limit[0] == limit[2] == -np.inf and place(limit[1]) == pytest.approx(4001, abs=0.01)
    np.testing.assert_array_equal(reached, [0, 10, 0])
    limit, reached = counts({4000: 10, 4005: 10}).limit(np.array([10 * (1 + 1e-15)]))  # a product's rounding
    assert place(limit[0]) == pytest.approx(4001, abs=0.01) and reached[0] == 10
    limit, reached = counts({BINS - 1: 10}, {0: 10}).limit(np.array([10, 10]))  # the bins at the ends
    assert limit[0] >= 1 and 0 < limit[1] < 2.0**-24 and reached.tolist() == [10, 10]


def test_limits_as_confidences_are_rounded_up():
    assert confidence(np.array([-np.inf, 1.001, 0.0])).tolist() == [np.inf, 0, 1]
    exact = 1 - np.random.default_rng(0).random(10_000) ** 4
    rounded = confidence(1 - exact)
    assert rounded.dtype == torch.float32
    below = np.nextafter(rounded.numpy(), np.float32(-1)).astype(np.float64)
    assert (rounded.double().numpy() >= 1 - (1 - exact)).all() and (below < 1 - (1 - exact)).all()


def test_what_was_counted_up_to_a_bin_is_believed():
    """At bins' ends, where log-odds in float32 may be rounded to either side."""
    edges = np.r_[100:3000:37, 3000:4700:3, 4700 : BINS - 150 : 37]  # up to a confidence of 1/600
    limit, _ = counts(*({edge - 1: 9} for edge in edges)).limit(np.ones(len(edges)))  # all of the bin before
    threshold = confidence(limit)[:, None]
    near = torch.from_numpy(1 - edge(edges)).float()[:, None] + torch.arange(-40, 41) * 2**-26  # (E, 81)
    near = near.clamp(0, 1)
    inside = bin_of(1 - near) < torch.from_numpy(edges)[:, None]
    assert inside.any() and not inside.all()
    assert (near >= threshold)[inside].all(), "counted, but not believed"
    beyond = 1 - near.double() > torch.from_numpy(edge(edges + 0.03))[:, None]
    assert not (near >= threshold)[~inside & beyond].any(), "believed, but counted in the next bin"


@pytest.mark.parametrize("kind", ["saturated", "bfloat16"])
def test_of_equal_confidences_the_number_reached_is_what_the_threshold_keeps(kind):
    if kind == "saturated":
        steps = torch.arange(400)
        values = 1 - steps.repeat_interleave(50) * 2.0**-24  # each float32 below 1 fifty times
    else:
        values = torch.rand(20_000, generator=torch.Generator().manual_seed(0)).bfloat16().float()
        values = values[values > 0.3]  # below, bfloat16 is finer than a bin, and nothing stands out
    seen = counted(values)
    for wanted in np.linspace(1, len(values), 97):
        limit, reached = seen.limit(np.array([wanted]))
        kept = int((values >= confidence(limit)).sum())
        assert kept == pytest.approx(reached[0], abs=1e-6) and kept > wanted - 1e-3
        nth = values.sort(descending=True).values[int(np.ceil(wanted)) - 1]
        assert kept - int((values >= nth).sum()) <= (150 if kind == "saturated" else 0)  # a bin has four at most


@pytest.mark.parametrize("classes", [1, 2, 19, 255])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_largest_probability_and_its_class(classes, layout):
    probs = torch.randn(2, classes, 9, 7, generator=torch.Generator().manual_seed(0)).softmax(1)
    for odd in (
        probs,
        probs.mul(8 * classes).round().div(8 * classes),
        torch.zeros_like(probs),
        probs.flip(3)[..., 1:],
    ):
        best, index = max_probability(odd.to(memory_format=layout))
        wanted, first = odd.max(1).values, (odd == odd.amax(1, keepdim=True)).int().argmax(1)  # of equal ones the first
        assert torch.equal(best, wanted) and torch.equal(index.long(), first)
    assert (odd[:, :1] <= odd).any()


def test_random_numbers_are_even_and_neighbours_unrelated():
    like = torch.empty(2, 512, 512)
    plane = uniform(3, torch.tensor([7, 8]), like).double()
    assert plane.shape == like.shape and plane.min() >= 0 and plane.max() < 1
    assert plane.histc(20, 0, 1).div(plane.numel()).sub(0.05).abs().max() < 0.002
    for shifted in (plane[:, 1:], plane[:, :, 1:], plane[:, 1:, 1:], plane.flip(0)):
        here = plane[:, : shifted.shape[1], : shifted.shape[2]]
        assert abs(torch.corrcoef(torch.stack((here.flatten(), shifted.flatten())))[0, 1]) < 0.02
    other = uniform(4, torch.tensor([7, 8]), like).double()
    assert abs(torch.corrcoef(torch.stack((plane.flatten(), other.flatten())))[0, 1]) < 0.02
    assert not torch.equal(uniform(4, torch.tensor([7, 8]), like)[0], plane[1].float())
    big = uniform(2**40, torch.tensor([2**40, -1]), like[:, :3])  # any whole numbers
    assert big.min() >= 0 and big.max() < 1 and not torch.equal(big[0], big[1])
