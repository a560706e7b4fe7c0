import pytest
import torch

import minida
from minida.labeling import DARS, ClassBalanced, Confidence, EntropyPartition, MedianConfidence, fit_temperature

pytestmark = pytest.mark.filterwarnings("error")


def logits_and_labels(seed, shape=(2, 5, 48, 64)):
    """Logits, and labels drawn from their softmax: at T = 1 the confidences are honest."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape, generator=generator)
    flat = logits.softmax(1).movedim(1, -1).flatten(0, -2)  # (N, C)
    labels = torch.multinomial(flat, 1, generator=generator).view(shape[0], *shape[2:])
    return logits, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0])
def test_a_known_temperature_is_found(temperature):
    pairs = []
    for seed in range(10):
        logits, labels = logits_and_labels(seed)
        wrong = torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed)) < 0.1
        logits = logits.where(~wrong[:, None], -logits)  # would raise T, if these pixels counted
        pairs.append(((temperature * logits).softmax(1), labels.masked_fill(wrong, minida.IGNORE)))
    assert fit_temperature(iter(pairs)) == pytest.approx(temperature, rel=0.03)


def test_it_stays_within_its_ends():
    logits, labels = logits_and_labels(0)
    assert fit_temperature([((20 * logits).softmax(1), labels)]) == pytest.approx(8, rel=0.01)
    assert fit_temperature([((20 * logits).softmax(1), labels)], high=3) == pytest.approx(3, rel=0.01)
    assert fit_temperature([((0.1 * logits).softmax(1), labels)]) == pytest.approx(0.25, rel=0.01)


def test_pixels_are_spaced_over_the_whole_image():
    """Of a large image a sample is used, from the first row to the last."""
    logits, labels = logits_and_labels(0, (1, 3, 400, 200))
    probs = torch.cat(((3 * logits[:, :, :200]).softmax(1), logits[:, :, 200:].softmax(1)), 2)
    upper, lower = (fit_temperature([(probs[:, :, rows], labels[:, rows])]) for rows in (slice(200), slice(200, 400)))
    assert upper == pytest.approx(3, rel=0.1) and lower == pytest.approx(1, rel=0.1)
    assert lower + 0.2 < fit_temperature([(probs, labels)]) < upper - 0.2


def test_nothing_labelled_is_one_clear_line():
    logits, labels = logits_and_labels(0, (1, 3, 4, 4))
    with pytest.raises(ValueError, match="no labelled pixel") as error:
        fit_temperature([(logits.softmax(1), torch.full_like(labels, minida.IGNORE))])
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no labelled pixel"):
        fit_temperature([])


@pytest.mark.parametrize("temperature", [0.5, 3.0])
@pytest.mark.parametrize(
    "make",
    [
        lambda **t: Confidence(5, threshold=0.6, **t),
        lambda **t: ClassBalanced(5, 0.3, **t),
        lambda **t: MedianConfidence(5, **t),
        lambda **t: DARS([1, 2, 3, 4, 5], 0.2, **t),
        lambda **t: EntropyPartition(5, **t),
    ],
)
def test_labels_at_a_temperature_are_those_of_the_divided_logits(make, temperature):
    logits, _ = logits_and_labels(0)
    hot, plain = make(temperature=temperature), make()
    hot.observe(logits.softmax(1)), plain.observe((logits / temperature).softmax(1))
    torch.testing.assert_close(hot.fit().score, plain.fit().score, atol=2e-4, rtol=0)
    ours, wanted = hot.label(logits.softmax(1)), plain.label((logits / temperature).softmax(1))
    assert (ours != wanted).float().mean() < 5e-4 and (ours != minida.IGNORE).any()  # a rounded one here and there


def test_certain_predictions_stay_certain():
    probs = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[None, :, None]  # (1, 2, 1, 2): the others are exactly 0
    strategy = Confidence(2, threshold=1.0, temperature=4.0)
    strategy.fit()
    assert strategy.label(probs).tolist() == [[[0, 1]]]


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf"), float("nan")])
def test_a_bad_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature is .*; expected a positive number"):
        Confidence(3, threshold=0.5, temperature=temperature)
