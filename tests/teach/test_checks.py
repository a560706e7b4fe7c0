"""Exercises: the solution passes, every named mistake is recognised, an untouched cell goes on."""

import math

import numpy as np
import pytest
import torch

from minida import teach
from minida.labeling import DARS, MedianConfidence
from minida.losses import SOURCE, TARGET, cross_entropy, domain_loss
from minida.metrics import ConfusionMatrix, PseudoLabelQuality
from minida.models import DISCRIMINATORS
from minida.models.bisenet import AttentionRefinement, BiSeNet
from minida.teach.checks import _close, _exercises, _run
from minida.types import IGNORE

EXERCISES = {id: task for n in range(9) for id, task in _exercises(f"0{n}").items()}
MISTAKES = [(id, name) for id, task in EXERCISES.items() for name in task.mistakes]
GOES_ON = "The notebook goes on with the library's own function.\n"


@pytest.mark.parametrize("id", EXERCISES)
def test_solution_passes(id, capsys):
    task = EXERCISES[id]
    assert not any(isinstance(answer, Exception) for answer in _run(task.solution, task.cases))
    assert teach.check(id, task.solution) is task.solution
    assert capsys.readouterr().out == f"{id}: right, in all {len(task.cases)} cases.\n"


@pytest.mark.parametrize(("id", "name"), MISTAKES, ids=[f"{id}-{name[:40]}" for id, name in MISTAKES])
def test_mistake_is_named(id, name, capsys):
    task = EXERCISES[id]
    mistake = task.mistakes[name]

    def raises(*case):
        raise mistake("wrong")

    assert teach.check(id, raises if isinstance(mistake, type) else mistake) is task.solution
    assert capsys.readouterr().out == f"{id}: not right yet. The likely mistake: {name}.\n{GOES_ON}"


def bare(*case):
    raise NotImplementedError


@pytest.mark.parametrize("attempt", [lambda *case: None, lambda *case: ..., bare])
@pytest.mark.parametrize("id", EXERCISES)
def test_untouched_goes_on(id, attempt, capsys):
    assert teach.check(id, attempt) is EXERCISES[id].solution
    assert capsys.readouterr().out == f"{id}: not tried yet.\n{GOES_ON}"


def test_an_error_of_pytorch_is_an_attempt(capsys):
    def negative_mask(*case):
        raise NotImplementedError("negation is not implemented for 'Bool'")

    teach.check("01.poly", negative_mask)
    assert "stops with NotImplementedError: negation" in capsys.readouterr().out


def test_two_mistakes_at_once_name_one_of_them(capsys):
    def recall_and_zero(labels, predictions, class_id):
        truth = labels == class_id
        return ((predictions == class_id) & truth).sum() / truth.sum() if truth.any() else 0.0

    teach.check("00.iou", recall_and_zero)
    assert "recall" in capsys.readouterr().out


def test_an_unknown_mistake_shows_the_case(capsys):
    teach.check("00.tail", lambda frequency, tail: torch.tensor(3.14159))
    assert "Case 1 of 2: expected 0.0718, got 3.1416." in capsys.readouterr().out
    teach.check("01.attention", lambda features, conv, norm: features[:1])
    assert "got shape (1, 4, 3, 5) with mean" in capsys.readouterr().out
    teach.check("00.tail", lambda frequency, tail: "a word")
    assert "got 'a word'" in capsys.readouterr().out


def test_an_attempt_cannot_spoil_the_cases():
    def vandal(labels, predictions, class_id):
        labels.fill_(0)
        predictions.fill_(0)
        return 0.5

    teach.check("00.iou", vandal)
    labels, predictions, _ = EXERCISES["00.iou"].cases[0]
    assert labels.any() and predictions.any()


def test_unknown_exercises():
    for id in ("00.iuo", "77.x"):
        with pytest.raises(ValueError, match="unknown"):
            teach.check(id, bare)


def test_solutions_agree_with_the_library():
    labels, predictions = torch.randint(0, 5, (2, 40, 40), generator=torch.Generator().manual_seed(0))
    labels[:5] = IGNORE
    matrix = ConfusionMatrix(6)
    matrix.update(labels, predictions)
    iou = [EXERCISES["00.iou"].solution(labels, predictions, index) for index in range(6)]
    assert np.allclose(iou, matrix.iou(), equal_nan=True) and math.isnan(iou[5])
    assert EXERCISES["00.miou"].solution(torch.from_numpy(matrix.counts)) == pytest.approx(matrix.miou())
    scores = torch.randn(1, 6, 40, 40)
    loss = torch.nn.functional.cross_entropy(scores, labels[None], ignore_index=IGNORE)
    assert EXERCISES["01.loss"].solution(scores, labels[None]).item() == pytest.approx(loss.item(), rel=1e-4)


def test_sizes_and_refinement_agree_with_bisenet():
    model = BiSeNet(backbone="slim").eval()
    with torch.no_grad():
        maps = model.features(torch.zeros(1, 3, 72, 104))
        refine = AttentionRefinement(8).eval()
        features = torch.randn(2, 8, 3, 4)
        ours = EXERCISES["01.attention"].solution(features, refine.conv, refine.norm)
        assert torch.allclose(ours, refine(features))
    assert tuple(tuple(x.shape[2:]) for x in maps) == EXERCISES["01.sizes"].solution(72, 104)


def test_the_game_of_notebook_02_agrees_with_the_library():
    source, target = torch.randn(2, 1, 3, 6), torch.randn(4, 1, 2, 2)
    ours = EXERCISES["02.adversarial"].solution(target)
    torch.testing.assert_close(ours, domain_loss(target, SOURCE))
    ours = EXERCISES["02.discriminator"].solution(source, target)
    torch.testing.assert_close(ours, (domain_loss(source, SOURCE) + domain_loss(target, TARGET)) / 2)
    for kind, network in DISCRIMINATORS.items():
        for classes, width in ((19, 64), (5, 6)):
            counted = sum(p.numel() for p in network(classes, width).parameters())
            assert EXERCISES["02.parameters"].solution(kind, classes, width) == counted
    a, b = torch.randn(8, 5), 3 * torch.randn(8, 5) + 1
    parts = [statistic for half in (a, b) for statistic in (half.mean(0), half.var(0, correction=0))]
    mean, variance = EXERCISES["02.statistics"].solution(*parts)
    torch.testing.assert_close(mean, torch.cat((a, b)).mean(0))
    torch.testing.assert_close(variance, torch.cat((a, b)).var(0, correction=0))


def test_distribution_alignment_of_notebook_05_agrees_with_the_library():
    kl, quotas, align, share = (EXERCISES[f"05.{name}"].solution for name in ("kl", "quotas", "align", "share"))
    probs = (3 * torch.randn(4, 5, 30, 40, generator=torch.Generator().manual_seed(0))).softmax(1)
    probs[:, :2] = probs[:, :2] * 8
    probs = (probs / probs.sum(1, keepdim=True) * 100).round() / 100  # ties
    prior, truth = torch.tensor([1.0, 5.0, 2.0, 2.0, 1.0]), torch.zeros(4, 30, 40, dtype=torch.long)
    strategy, quality = DARS(prior.tolist(), ratio=0.4), PseudoLabelQuality(5)
    strategy.observe(probs)
    limit, keep = strategy.fit()
    confidences, predictions = (part.flatten() for part in probs.max(1))
    wanted = quotas(prior, 0.4, torch.bincount(predictions, minlength=5).float())
    limits = align(confidences, predictions, wanted.ceil().int())
    torch.testing.assert_close(limits, limit, atol=2e-3, rtol=0)
    reached = torch.tensor([((predictions == c) & (confidences >= t)).sum() for c, t in enumerate(limits)])
    torch.testing.assert_close(share(wanted, reached), keep, atol=0.03, rtol=0)
    quality.update(strategy.label(probs), truth)
    assert kl(prior.double(), torch.tensor(quality.shares())).item() == pytest.approx(quality.kl(prior.numpy()))


def test_the_rule_of_notebook_03_agrees_with_the_library():
    generator = torch.Generator().manual_seed(3)
    probs = (4 * torch.randn(3, 6, 40, 41, generator=generator)).softmax(1)
    probs[:, 2] = 0  # an absent class
    probs /= probs.sum(1, keepdim=True)
    confidence, prediction = probs.max(1)
    strategy = MedianConfidence(6, cap=0.8)
    strategy.observe(probs)
    ours = EXERCISES["03.thresholds"].solution(confidence, prediction, 6, 0.8)
    torch.testing.assert_close(strategy.fit().score, ours, atol=2e-3, rtol=0)
    score = strategy.thresholds.score
    score[0] = confidence[prediction == 0][7]  # a pixel exactly at its threshold
    pseudo = EXERCISES["03.believe"].solution(confidence, prediction, score)
    assert torch.equal(pseudo, strategy.label(probs))
    truth = torch.randint(0, 6, pseudo.shape, generator=generator)
    truth[:, :5] = IGNORE
    quality = PseudoLabelQuality(6)
    quality.update(pseudo, truth)
    wanted = (quality.coverage().overall, quality.accuracy().overall)
    assert EXERCISES["03.coverage"].solution(pseudo, truth) == pytest.approx(wanted)
    for given in (pseudo, torch.full_like(pseudo, IGNORE)):
        wanted = 0.1 * torch.tensor(0.7) + cross_entropy(probs.log().clamp(min=-30), given)
        ours = EXERCISES["03.loss"].solution(torch.tensor(0.7), probs.log().clamp(min=-30), given, 0.1)
        torch.testing.assert_close(ours, wanted)


def test_close():
    assert _close(torch.tensor([1.0, math.nan]), [1.0, math.nan])
    assert not _close(1.0, [1.0]) and not _close(None, 1.0) and not _close([[1], [1, 2]], 1.0)
