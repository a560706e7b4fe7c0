import functools
import math

import numpy as np
import pytest
import torch

from minida import IGNORE
from minida.labeling import DARS, STRATEGIES, ClassBalanced, Confidence, EntropyPartition, MedianConfidence
from minida.labeling.statistic import bin_of
from minida.metrics import PseudoLabelQuality

pytestmark = pytest.mark.filterwarnings("error")


@functools.cache
def predict(classes, sharpness, images=4, size=(96, 128)):
    """(B, C, H, W) softmax; some classes are predicted more often than others."""
    logits = torch.randn(images, classes, *size, generator=torch.Generator().manual_seed(classes))
    logits += torch.linspace(0, 0.3, classes)[None, :, None, None]
    return (sharpness * logits).softmax(1)


def frequency(classes):
    return 1 + np.arange(classes) % 3


def make(name, classes, ratio=0.3):
    return {
        "st": lambda: Confidence(classes, ratio=ratio),
        "mpt": lambda: MedianConfidence(classes),
        "cbst": lambda: ClassBalanced(classes, ratio),
        "da": lambda: DARS(frequency(classes), ratio, sample=False),
        "dars": lambda: DARS(frequency(classes), ratio),
        "entropy": lambda: EntropyPartition(classes, alpha0=0.2),
    }[name]()


def nth(values, number):
    """The n-th largest (n rounded up; of all, if there are fewer), by a sort; inf where none is wanted."""
    values = values.sort(descending=True).values
    number = min(math.ceil(number - 1e-9), len(values))
    return values[number - 1].item() if number else math.inf


def naive(name, probs, ratio=0.3):
    """Thresholds (C,) from the definitions, by exact sorts, and how many pixels each class is to keep."""
    best, predicted = probs.max(1)
    classes, total = probs.shape[1], best.numel()
    own = [best[predicted == c] for c in range(classes)]
    if name == "st":
        limits = [nth(best.flatten(), ratio * total)] * classes
    elif name == "mpt":
        limits = [min(nth(part, len(part) / 2), 0.9) if len(part) else math.inf for part in own]
    elif name == "cbst":
        limits = [nth(part, ratio * len(part)) for part in own]
    elif name in ("da", "dars"):
        wanted = ratio * total * frequency(classes) / frequency(classes).sum()
        limits = [nth(part, n) for part, n in zip(own, wanted, strict=True)]
    else:
        entropy = -(probs.double() * probs.double().clamp(min=1e-300).log()).sum(1)
        limits = [-nth(-entropy.flatten(), 0.8 * total)] * classes
        return torch.tensor(limits), [int((entropy[predicted == c] <= limits[c]).sum()) for c in range(classes)]
    kept = [int((part >= limit).sum()) for part, limit in zip(own, limits, strict=True)]
    if name == "dars":
        kept = [min(len(part), n) for part, n in zip(own, wanted, strict=True)]
    return torch.tensor(limits), kept


def fitted(strategy, probs, progress=0.0):
    for part in probs.split(3):
        strategy.observe(part)
    return strategy, strategy.fit(progress)


def kept_of_each(labels, classes):
    return torch.bincount(labels[labels != IGNORE], minlength=classes).tolist()


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("classes", [2, 19, 150])
@pytest.mark.parametrize("sharpness", [0.3, 1, 3, 8])
def test_thresholds_and_counts_against_an_exact_sort(name, classes, sharpness):
    probs = predict(classes, sharpness)
    strategy, (score, keep) = fitted(make(name, classes), probs)
    limits, wanted = naive(name, probs)
    torch.testing.assert_close(score, limits.float(), atol=0.002, rtol=0)
    scale = math.log(classes) if name == "entropy" else 1
    doubts = [(x / scale if name == "entropy" else 1 - x)[limits.isfinite()] for x in (score, limits.float())]
    assert (bin_of(doubts[0]) - bin_of(doubts[1])).abs().max() <= 1
    labels, predicted = strategy.label(probs), probs.max(1).indices
    assert labels.shape == predicted.shape and labels.dtype == torch.int64
    assert ((labels == predicted) | (labels == IGNORE)).all()
    drawn = keep.numpy() * (1 - keep.numpy()) * np.array(wanted)  # a binomial draw's variance, near enough
    few = 5 if (classes, sharpness) == (150, 0.3) else 3  # there a bin holds several pixels of the 150 that are wanted
    for kept, n, variance in zip(kept_of_each(labels, classes), wanted, drawn, strict=True):
        assert abs(kept - n) <= max(0.01 * n, few, 3 * variance**0.5)


def two_classes(first, second):
    """(1, 2, 1, N) probabilities with these confidences of class 0, then of class 1."""
    top = torch.tensor([*first, *(1 - torch.tensor(second))])
    return torch.stack((top, 1 - top))[None, :, None]


def test_st_by_hand():
    probs = two_classes([0.6, 0.95, 0.8], [0.9, 0.7])
    strategy, (score, keep) = fitted(Confidence(2, threshold=0.8), probs)
    assert score.tolist() == pytest.approx([0.8, 0.8]) and keep.tolist() == [1, 1]
    assert strategy.label(probs).tolist() == [[[255, 0, 0, 1, 255]]]
    strategy, (score, _) = fitted(Confidence(2, ratio=0.4), probs)
    assert score.tolist() == pytest.approx([0.9, 0.9], abs=0.002)
    assert strategy.label(probs).tolist() == [[[255, 0, 255, 1, 255]]]


def test_mpt_by_hand():
    """The medians are 0.7 of (0.6, 0.7, 0.8), and 0.97 of (0.95, 0.97, 0.99), which the cap lowers to 0.9."""
    probs = two_classes([0.6, 0.7, 0.8], [0.95, 0.97, 0.99, 0.85, 0.98])
    strategy, (score, _) = fitted(MedianConfidence(2), probs)
    assert score[0].item() == pytest.approx(0.7, abs=0.002) and score[1] == torch.tensor(0.9)
    assert strategy.label(probs).tolist() == [[[255, 0, 0, 1, 1, 1, 255, 1]]]
    _, (score, _) = fitted(MedianConfidence(2, cap=0.995), probs)
    assert score[1].item() == pytest.approx(0.97, abs=0.002)


def test_mpt_keeps_a_confidence_of_exactly_the_cap():
    nine = torch.tensor(0.9)
    below = torch.nextafter(nine, torch.tensor(0.0))
    top = torch.stack((nine, below, *[torch.tensor(0.99)] * 5))
    probs = torch.stack((top, 1 - top))[None, :, None]
    strategy, (score, _) = fitted(MedianConfidence(2), probs)
    assert score[0] == nine and strategy.label(probs).tolist() == [[[0, 255, 0, 0, 0, 0, 0]]]


def test_cbst_by_hand():
    probs = two_classes([0.6, 0.7, 0.8, 0.9], [0.55, 0.65])
    strategy, (score, _) = fitted(ClassBalanced(2, ratio=0.5), probs)
    assert score.tolist() == pytest.approx([0.8, 0.65], abs=0.002)
    assert strategy.label(probs).tolist() == [[[255, 255, 0, 0, 255, 1]]]


def test_dars_by_hand():
    """N = 14, ratio 0.5, prior 4 : 3, so n = (4, 3). Of class 0 six reach t = 0.9, of class 1 five reach 0.7."""
    probs = two_classes([0.6, 0.9, 0.9, 0.9, 0.9, 0.9, 0.95], [0.6, 0.65, 0.7, 0.7, 0.7, 0.7, 0.7])
    strategy, (score, keep) = fitted(DARS([4, 3], ratio=0.5), probs)
    assert score.tolist() == pytest.approx([0.9, 0.7], abs=0.002)
    assert keep.tolist() == pytest.approx([4 / 6, 3 / 5])
    plain, (score, keep) = fitted(DARS([4, 3], ratio=0.5, sample=False), probs)
    assert keep.tolist() == [1, 1] and plain.label(probs).tolist() == [[[255] + 6 * [0] + [255, 255] + 5 * [1]]]
    strategy, (score, keep) = fitted(DARS([0, 1], ratio=0.75), probs)  # n = (0, 10.5), but only 7 are predicted
    assert score[0] == math.inf and score[1].item() == pytest.approx(0.6, abs=0.002) and keep[1] == 1
    assert strategy.label(probs).tolist() == [[[255] * 7 + [1] * 7]]


def test_entropy_by_hand():
    """H(0.5) = ln 2 > H(0.8) > H(0.9) > H(0.99) > H(1) = 0: at alpha 0.4 the two highest of five are dropped."""
    probs = two_classes([0.5, 0.8, 0.9, 1.0], [0.99])
    strategy, (gamma, _) = fitted(EntropyPartition(2, alpha0=0.4), probs)
    assert gamma.tolist() == pytest.approx([-0.9 * math.log(0.9) - 0.1 * math.log(0.1)] * 2, abs=0.002)
    assert strategy.label(probs).tolist() == [[[255, 255, 0, 0, 1]]]
    strategy.fit(progress=0.5)  # one of five
    assert strategy.label(probs).tolist() == [[[255, 0, 0, 0, 1]]]
    strategy.fit(progress=1.0)
    assert strategy.label(probs).tolist() == [[[0, 0, 0, 0, 1]]]


def saturated():
    """Many confidences are exactly 1, many more 1 - k · 2^-24."""
    return (30 * torch.randn(4, 4, 96, 128, generator=torch.Generator().manual_seed(0))).softmax(1)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("kind", ["saturated", "nearly", "bfloat16", "equal"])
def test_ties(name, kind):
    if kind == "saturated":
        probs = saturated()
    elif kind == "nearly":
        doubt = torch.randint(0, 60, (4, 1, 96, 128), generator=torch.Generator().manual_seed(0)) * 2.0**-24
        probs = torch.cat((1 - doubt, doubt), 1)
        probs = torch.cat((probs[:2], probs[2:].flip(1)))
    elif kind == "bfloat16":
        probs = predict(4, 3).bfloat16().float()
    else:
        probs = torch.full((4, 4, 96, 128), 0.1)
        probs.scatter_(1, torch.randint(0, 4, (4, 1, 96, 128), generator=torch.Generator().manual_seed(0)), 0.7)
    classes = probs.shape[1]
    strategy, (_, keep) = fitted(make(name, classes, 0.25), probs)
    wanted = naive(name, probs, 0.25)[1]
    for kept, n, share in zip(kept_of_each(strategy.label(probs), classes), wanted, keep.tolist(), strict=True):
        assert abs(kept - n) <= max(0.01 * n, 3 * (n * (1 - share)) ** 0.5)
        assert name == "dars" or kept >= n - 3, "a tie at the threshold was dropped"
    assert name != "dars" or kind == "bfloat16" or (keep < 0.999).any()


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_absent_class_moves_no_other_threshold(name):
    probs = predict(4, 3)
    more = torch.cat((probs[:, :2], torch.zeros_like(probs[:, :1]), probs[:, 2:]), 1)  # class 2 is never predicted
    plain, seen = make(name, 4), make(name, 5)
    if name in ("da", "dars"):
        plain, seen = (DARS(prior, 0.3, sample=name == "dars") for prior in ([1, 2, 3, 1], [1, 2, 0, 3, 1]))
    (plain, limits), (seen, others) = fitted(plain, probs), fitted(seen, more)
    torch.testing.assert_close(others.score[[0, 1, 3, 4]], limits.score, atol=2e-3, rtol=0)
    labels, number = seen.label(more), torch.tensor([0, 1, 3, 4] + [IGNORE] * 252)
    assert not (labels == 2).any() and (labels != number[plain.label(probs)]).float().mean() < 0.001
    if name in ("mpt", "cbst", "da", "dars"):
        assert others.score[2] == math.inf, "nothing of an absent class may be believed"


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("classes", [1, 2, 150])
def test_one_image_and_a_class_with_one_pixel(name, classes):
    probs = torch.full((1, classes, 20, 30), 0.1 / max(classes - 1, 1))
    probs[:, 0] = 1.0 if classes == 1 else torch.linspace(0.55, 0.9, 600).view(20, 30)
    probs[0, :, 3, 4], probs[0, -1, 3, 4] = 0, 1
    strategy, (score, _) = fitted(make(name, classes), probs)
    labels = strategy.label(probs)
    assert labels[0, 3, 4] == classes - 1 or name == "dars"
    assert not score.isnan().any() and set(labels.unique().tolist()) <= {0, classes - 1, IGNORE}
    strategy.reset()
    strategy.fit()  # nothing observed
    assert (strategy.label(probs) == IGNORE).all()


def test_mpt_believes_a_class_of_one_pixel_however_sure_it_is():
    for confidence in torch.linspace(0.52, 0.999, 60):
        probs = two_classes([0.7, 0.8, 0.95], [confidence.item()])
        assert fitted(MedianConfidence(2), probs)[0].label(probs)[0, 0, 3] == 1


def test_entropy_keeps_an_untrained_networks_ties():
    for classes in (2, 19, 150):
        probs = torch.full((1, classes, 6, 8), 1 / classes)
        assert (fitted(EntropyPartition(classes, alpha0=0.2), probs)[0].label(probs) != IGNORE).all()


def test_a_rule_of_the_wrong_shape_is_one_line():
    class Scalar(Confidence):
        def rule(self, seen, progress):
            return torch.tensor(0.5), torch.ones(3)

    with pytest.raises(ValueError, match=r"Scalar.rule gives \(\) and \(3,\); expected score and keep, \(C,\) each"):
        Scalar(3, threshold=0.5).fit()


def test_observing_may_begin_in_inference_mode():
    probs, strategy = predict(4, 2), MedianConfidence(4)
    with torch.inference_mode():
        strategy.observe(probs)
    strategy.observe(probs)
    assert strategy.counts.sum() == 2 * probs[:, 0].numel()


def test_dars_gives_the_prior_and_the_ratio():
    for probs in (predict(19, 2, 8), predict(19, 2, 8).bfloat16().float(), torch.cat([saturated(), saturated()])):
        classes = probs.shape[1]
        prior = torch.bincount(probs.argmax(1).flatten()).numpy() * np.linspace(0.5, 2, classes)
        strategy, _ = fitted(DARS(prior, ratio=0.2), probs)
        quality = PseudoLabelQuality(classes)
        quality.update(strategy.label(probs), probs.argmax(1))
        assert quality.kl(prior) < 1e-3 and quality.coverage().overall == pytest.approx(0.2, rel=0.02)
        assert quality.kl(np.ones(classes)) > 0.02


def test_dars_keeps_fewer_where_a_class_runs_short():
    probs, prior = predict(4, 2), [1, 1, 1, 97]
    strategy, _ = fitted(DARS(prior, ratio=0.5), probs)
    quality, predicted = PseudoLabelQuality(4), probs.argmax(1)
    quality.update(strategy.label(probs), predicted)
    assert (strategy.label(probs) == 3).sum() == (predicted == 3).sum(), "of a class that runs short all are kept"
    assert quality.coverage().overall == pytest.approx(0.015 + (predicted == 3).float().mean().item(), rel=0.01)
    assert quality.kl(prior) > 1e-3
    assert DARS([1, 3]).prior.tolist() == DARS(np.array([10, 30])).prior.tolist() == [0.25, 0.75]


def test_the_draw_depends_on_seed_id_and_pixel_alone():
    probs, ids = torch.full((6, 2, 128, 128), 0.2), torch.tensor([3, 17, 4, 99, 1000, 5])
    probs[:, 0] = 0.8
    strategy, (_, keep) = fitted(DARS([1, 0], ratio=0.25), probs)
    assert keep.tolist() == pytest.approx([0.25, 0])
    labels = strategy.label(probs, ids)
    for numbers in (ids.tolist(), ids.int(), ids.float(), ids.double()):
        assert torch.equal(strategy.label(probs, numbers), labels)
    assert torch.equal(torch.cat([strategy.label(probs[i : i + 2], ids[i : i + 2]) for i in (0, 2, 4)]), labels)
    assert torch.equal(strategy.label(probs.flip(0), ids.flip(0)), labels.flip(0))
    assert torch.equal(strategy.label(probs), strategy.label(probs, [0, 1, 2, 3, 4, 5]))
    state = torch.get_rng_state()
    assert not torch.equal(strategy.label(probs), labels) and torch.equal(torch.get_rng_state(), state)
    other, _ = fitted(DARS([1, 0], ratio=0.25, seed=1), probs)
    assert (other.label(probs, ids) == labels).float().mean() == pytest.approx(0.25**2 + 0.75**2, abs=0.01)
    drawn = (labels == 0).double()  # (B, H, W)
    assert drawn.mean().item() == pytest.approx(0.25, abs=0.005)
    for a, b in ((drawn[:, 1:], drawn[:, :-1]), (drawn[..., 1:], drawn[..., :-1]), (drawn[1:], drawn[:-1])):
        assert abs(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1]) < 0.02


@pytest.mark.parametrize("kind", [Confidence, ClassBalanced, DARS])
def test_a_growing_ratio_follows_the_progress(kind):
    probs = predict(4, 2)
    first = torch.bincount(probs.argmax(1).flatten()).tolist() if kind is DARS else 4
    strategy = kind(first, ratio=(0.2, 0.6))
    strategy.observe(probs)
    for progress, ratio in ((0, 0.2), (0.5, 0.4), (1, 0.6)):
        strategy.fit(progress)
        assert (strategy.label(probs) != IGNORE).float().mean().item() == pytest.approx(ratio, rel=0.01)


def test_observing_in_parts_and_in_any_type_adds_up():
    probs = predict(4, 2)
    whole, parts = MedianConfidence(4), MedianConfidence(4)
    whole.observe(probs.to(memory_format=torch.channels_last))
    for part in probs.clone().requires_grad_():
        parts.observe(part[None])
    assert torch.equal(whole.counts, parts.counts) and whole.counts.sum() == probs[:, 0].numel()
    large = probs.repeat(15, 1, 1, 1)  # more than half a million pixels
    parts.reset(), parts.observe(large), whole.fit(), parts.fit()
    assert torch.equal(parts.counts, 15 * whole.counts) and torch.allclose(
        *(each.thresholds.score for each in (whole, parts)), atol=1e-3
    )
    assert whole.label(probs.double()).equal(whole.label(probs))


@pytest.mark.parametrize(
    ("act", "line"),
    [
        (lambda s, p: s.observe(3 * p.log()), r"apply softmax\(1\) to logits"),
        (lambda s, p: s.observe(p + 0.5), "expected 0 to 1"),
        (lambda s, p: s.observe(p.where(p < p.max(), float("nan"))), "from nan to nan; expected 0 to 1"),
        (lambda s, p: s.observe(p[:, :3]), r"probs are \(4, 3, 96, 128\); expected \(B, 4, H, W\)"),
        (lambda s, p: s.observe(p[0]), r"probs are \(4, 96, 128\); expected"),
        (lambda s, p: s.label(p), r"no thresholds yet; call observe\(probs\) and fit\(\) first"),
        (lambda s, p: (s.fit(), s.label(3 * p.log())), "apply softmax"),
        (lambda s, p: DARS([1, 2], ratio=1.2), "ratio is 1.2; expected a share from 0 to 1"),
        (lambda s, p: ClassBalanced(3, ratio=(0.1, -0.2)), r"ratio is \(0.1, -0.2\); expected a share"),
        (lambda s, p: EntropyPartition(3, alpha0=2), "alpha0 is 2; expected a share"),
        (lambda s, p: MedianConfidence(3, cap=90), "cap is 90; expected a confidence from 0 to 1"),
        (lambda s, p: MedianConfidence(0), "num_classes is 0; expected 1 to 255"),
        (lambda s, p: MedianConfidence(256), "num_classes is 256; expected 1 to 255"),
        (lambda s, p: Confidence(3), "give one of both"),
        (lambda s, p: Confidence(3, threshold=0.9, ratio=0.1), "give one of both"),
        (lambda s, p: Confidence(3, threshold=90), "threshold is 90; expected a confidence"),
        (lambda s, p: DARS([0, 0]), r"class_frequency is \[0.0, 0.0\]; expected \(C,\) numbers from 0 up"),
        (lambda s, p: DARS([1, math.nan]), "class_frequency is .*; expected"),
        (lambda s, p: DARS([1, -1]), "class_frequency is .*; expected"),
        (lambda s, p: DARS([[1, 1]]), "class_frequency is .*; expected"),
    ],
)
def test_a_mistake_is_one_clear_line(act, line):
    with pytest.raises(ValueError, match=line) as error:
        act(MedianConfidence(4), predict(4, 2))
    assert "\n" not in str(error.value)
