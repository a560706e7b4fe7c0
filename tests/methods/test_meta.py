"""Meta Pseudo Labels: the feedback and its sign, both updates by hand, and what its configuration means."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import minida
from minida import trainer
from minida.config import make_config
from minida.labeling import DARS
from minida.methods import MetaPseudoLabels, configure, meta
from minida.methods.meta import MovingAverage, exact_feedback


def make_batch(seed=1):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (2, 64, 96), generator=generator)
    labels[:, :9] = minida.IGNORE
    images = torch.randn(2, 2, 3, 64, 96, generator=generator)
    return minida.Batch(images[0], labels, 2 * images[1] + 1)


def make_method(**options):
    options = {
        "precision": "float32", "discriminator": "none", "lr": 1e-2, "student": "adversarial", "strategy": "mpt",
        "consistency": "none", **options,
    }  # fmt: skip
    torch.manual_seed(0)
    return MetaPseudoLabels(make_config("mpl", "smoke", **options), minida.BiSeNet(4, "slim"))


# ---- the feedback


@pytest.mark.parametrize(("pseudo", "helps"), [(2.0, True), (1.2, True), (-3.0, False), (0.5, False)])
def test_its_sign_on_a_quadratic(pseudo, helps):
    """Labels want θ = 1, pseudo-labels θ = `pseudo`; the student is at 0.9 and takes a small step towards them."""
    theta, rate = torch.tensor([0.9], dtype=torch.float64, requires_grad=True), 1e-4

    def loss(goal):
        return ((theta - goal) ** 2).sum()

    h = exact_feedback(lambda: loss(1.0), lambda: loss(pseudo), [theta], rate)
    assert (h.item() > 0) == helps and theta.item() == pytest.approx(0.9), "θ is put back"
    old = loss(1.0).item()
    with torch.no_grad():
        theta -= rate * 2 * (theta - pseudo)
    assert (old - loss(1.0).item() > 0) == helps
    assert h.item() == pytest.approx(old - loss(1.0).item(), rel=1e-2)


def test_the_change_of_the_loss_is_the_exact_product():
    """A linear student, plain SGD at 1e-3: old - new within 1 % of η ⟨∇L_labelled(θ'), ∇L_pseudo(θ)⟩."""
    generator = torch.Generator().manual_seed(0)
    labelled, target = torch.randn(2, 200, 5, generator=generator, dtype=torch.float64)
    labels, pseudo = labelled[:, :4].argmax(1), (target[:, :4] + 0.3).argmax(1)
    weights = (0.1 * torch.randn(5, 4, generator=generator, dtype=torch.float64)).requires_grad_()
    losses = (lambda: F.cross_entropy(labelled @ weights, labels), lambda: F.cross_entropy(target @ weights, pseudo))
    exact, old = exact_feedback(*losses, [weights], 1e-3), losses[0]().item()
    (gradient,) = torch.autograd.grad(losses[1](), [weights])
    with torch.no_grad():
        weights -= 1e-3 * gradient
    assert exact.item() == pytest.approx(old - losses[0]().item(), rel=1e-2) and exact.item() > 1e-5
    turned = exact_feedback(losses[0], lambda: -losses[1](), [weights], 1e-3)
    assert turned.item() < 0, "labels that lead away"


def test_the_baseline_is_the_average_before():
    baseline = MovingAverage(0.9)
    assert baseline.difference(torch.tensor(2.0)) == 0 and baseline.value == 2
    assert baseline.difference(torch.tensor(4.0)) == 2 and baseline.value.item() == pytest.approx(2.2)
    assert baseline.difference(torch.tensor(1.0)).item() == pytest.approx(-1.2)
    other = MovingAverage(0.9)
    other.load_state_dict(baseline.state_dict())
    assert other.difference(torch.tensor(1.0)) == baseline.difference(torch.tensor(1.0))


def test_the_product_grows_from_nothing_and_is_never_negative():
    method, batch = make_method(feedback="product", lr=2e-2, growth=2.0), make_batch()
    for step, share in ((0, 0.0), (2, 0.25)):  # of 4 steps
        method.schedule(step)
        terms = method.step(batch)
        rate = method.optimizers["model"].param_groups[0]["lr"]
        wanted = share * rate * terms["segmentation"].item() * terms["pseudo"].item()
        assert terms["feedback"].item() == pytest.approx(wanted, rel=1e-5) and terms["feedback"] >= 0


# ---- the two updates


def losses(network, images, labels):
    output = network(images)
    return sum(F.cross_entropy(head, labels, ignore_index=255) for head in (output.logits, *output.aux))


def descend(network, loss, rate=1e-2):
    """One step of SGD with weight decay; momentum starts at nothing."""
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter -= rate * (gradient + 1e-4 * parameter)


@pytest.mark.parametrize("feedback", ["meta", "product", "none"])
def test_a_step_derived_by_hand(feedback):
    """The teacher's three terms and the student's steps, written out; without momentum, BN's averages of both."""
    batch, method = make_batch(), make_method(feedback=feedback, momentum=0.0, batch_norm="separate")
    method.baseline.value = torch.tensor(-0.5)  # so that the first feedback is not 0
    method.schedule(2)
    rate = method.optimizers["model"].param_groups[0]["lr"]
    teacher, student = copy.deepcopy(method.teacher).train(), copy.deepcopy(method.model).train()
    teacher_loss = losses(teacher, batch.source, batch.source_labels)
    target = teacher(batch.target)
    probs = target.logits.softmax(1).detach()
    limit = torch.stack([  # MPT: the median of the confidences of a class, at most 0.9
        probs.amax(1)[probs.argmax(1) == c].quantile(0.5).clamp(max=0.9) if (probs.argmax(1) == c).any()
        else torch.tensor(2.0) for c in range(4)
    ])  # fmt: skip
    labels = probs.argmax(1).masked_fill(probs.amax(1) < limit[probs.argmax(1)], 255)
    method.window.label = lambda given, ids: labels
    weight = ((labels != 255).sum() / (batch.source_labels != 255).sum()).clamp(max=1)
    if feedback != "product":
        first = weight * losses(student, batch.target, labels)
        gradients = torch.autograd.grad(first, list(student.parameters()), retain_graph=True)
        descend(student, first, rate)
        second = losses(student, batch.source, batch.source_labels)
        others = torch.autograd.grad(second, list(student.parameters()), retain_graph=True)
        h = rate * sum((a * b).sum() for a, b in zip(gradients, others, strict=True)) + 0.5
        h = h if feedback == "meta" else torch.zeros(())
        descend(student, second, rate)
    else:
        first = losses(student, batch.source, batch.source_labels)
        second = weight * losses(student, batch.target, labels)
        h = 0.5 * rate * first.detach() * second.detach()
        descend(student, first + second, rate)
    own_labels = weight * sum(F.cross_entropy(head, labels, ignore_index=255) for head in (target.logits, *target.aux))
    descend(teacher, teacher_loss + h * own_labels, rate)
    terms = method.step(batch)
    assert terms["feedback"].item() == pytest.approx(h.item(), rel=1e-3)
    assert not any(term.requires_grad for term in terms.values())
    for ours, theirs in ((method.model, student), (method.teacher, teacher)):
        for (name, value), wanted in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(value, wanted, rtol=1e-3, atol=2e-5, msg=name)


def test_positive_feedback_draws_the_teacher_to_its_labels_and_negative_pushes_it_away():
    moved = {}
    for sign in (1.0, -1.0):
        method, batch = make_method(momentum=0.0), make_batch()
        method.baseline.value = torch.tensor(-sign * 1e3)  # the difference is about ± 1000
        for group in method.optimizers["teacher"].param_groups:
            group["lr"] = 1e-6
        before = copy.deepcopy(method.teacher).train()
        probs = before(batch.target).logits.softmax(1).detach()
        method.step(batch)
        labels = method.window.label(probs)
        with torch.no_grad():
            old, new = (losses(network.train(), batch.target, labels).item() for network in (before, method.teacher))
        moved[sign] = new - old
    assert moved[1.0] < 0 < moved[-1.0]


def test_labels_that_lead_away_are_pushed_away_also_with_momentum():
    """Momentum carries the student down the labelled loss whatever the pseudo-labels are; h is theirs alone."""
    method, batch = make_method(momentum=0.9, lr=1e-4), make_batch()
    right = torch.full_like(batch.source_labels, 1)
    batch = batch._replace(source_labels=right)
    for _ in range(3):  # speed
        method.window.label = lambda probs, ids: right
        method.step(batch)
    same = batch._replace(target=batch.source)  # the same images, rightly and wrongly labelled
    for labels, positive in ((right, True), ((right + 2) % 4, False)):
        learner = copy.deepcopy(method)
        learner.window.label = lambda probs, ids, labels=labels: labels
        assert (learner.step(same)["h"].item() > 0) == positive


def test_each_discriminator_sees_its_own_network():
    """Target and source in its own step, the target once more where its network tries to fool it; and it learns."""
    options = {"discriminator": "dsc", "discriminator_width": 4, "batch_norm": "separate", "student": "scratch"}
    method, batch = make_method(**options), make_batch()
    seen, answers, before = {}, {}, {}
    for name, adversary in method.adversaries.items():
        before[name] = [weights.detach().clone() for weights in adversary.network.parameters()]
        seen[name], answers[name] = [], []
        adversary.network.register_forward_hook(lambda part, inputs, out, name=name: seen[name].append(inputs[0]))
        method.networks[name].register_forward_hook(
            lambda part, inputs, out, name=name: answers[name].append(out.logits.detach().softmax(1))
        )
    method.step(batch)
    for name, given in seen.items():
        assert len(given) == 3 and len(answers[name]) == 2, name
        for shown in given:
            assert any(torch.equal(shown.detach(), answer) for answer in answers[name]), name
        pairs = zip(before[name], method.adversaries[name].network.parameters(), strict=True)
        assert not all(torch.equal(a, b) for a, b in pairs), f"{name}'s discriminator learned nothing"
    assert method.adversaries["model"].network is not method.adversaries["teacher"].network
    assert {"discriminator", "teacher_discriminator"} < set(method.networks) == set(method.optimizers)


# ---- consistency


def test_noise_lies_in_a_box_and_is_the_same_every_time():
    method, images = make_method(consistency="noise"), torch.zeros(2, 3, 64, 96)
    shown = []
    method.teacher.register_forward_pre_hook(lambda part, inputs: shown.append(inputs[0].clone()))
    target = method.teacher.train()(make_batch().target)
    averages = [buffer.clone() for buffer in method.teacher.buffers()]
    losses_ = [method.consistency(images, target, number).item() for number in (3, 3, 4)]
    assert losses_[0] == losses_[1] != losses_[2]
    changed = shown[1] != 0
    assert torch.equal(shown[1], shown[2]) and not torch.equal(changed[0], changed[1])
    assert 0.4 < changed.float().mean() < 0.6
    assert shown[1][changed].std().item() == pytest.approx(0.02 / np.mean([0.229, 0.224, 0.225]), rel=0.05)
    assert all(torch.equal(a, b) for a, b in zip(averages, method.teacher.buffers(), strict=True)), "recorded nothing"


def test_an_answer_that_does_not_change_costs_its_entropy(monkeypatch):
    monkeypatch.setattr(meta, "boxes", lambda *given: [])
    method, images = make_method(consistency="none"), make_batch().target
    target = method.teacher.train()(images)
    method.config = make_config("mpl", "smoke", consistency="cutmix", precision="float32")
    cost = method.consistency(images, target, 0).item()
    probs = target.logits.softmax(1)
    assert cost == pytest.approx(torch.special.entr(probs).sum(1).mean().item(), rel=1e-4)
    target.logits.retain_grad()
    method.consistency(images, target, 0).backward()
    assert target.logits.grad is None, "the goal is no one's to move"


# ---- its configuration


def test_defaults_and_students():
    uda = configure("mpl", "smoke")
    assert (uda.strategy, uda.student, uda.discriminator, uda.target) == ("mpt", "adversarial", "dsc", "minicity:real")
    ssl = configure("mpl", "smoke", protocol="ssl", labeled="1/4")
    assert (ssl.discriminator, ssl.batch_norm, ssl.feedback) == ("none", "separate", "meta")
    same, fresh = make_method(), make_method(student="scratch")
    pairs = zip(same.teacher.parameters(), same.model.parameters(), strict=True)
    assert all(torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in pairs)
    assert not torch.equal(fresh.teacher.head.weight, fresh.model.head.weight)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"feedback": "both"}, "feedback is 'both'; expected meta, product or none"),
        ({"growth": 0.0}, "growth is 0.0; expected a positive number"),
        ({"consistency": "blur"}, "consistency is 'blur'; expected noise, cutmix or none"),
    ],
)
def test_wrong_options_are_one_line(options, line):
    with pytest.raises(ValueError) as caught:
        configure("mpl", "smoke", **options)
    assert str(caught.value) == line


def test_students_of_other_methods_are_refused():
    with pytest.raises(ValueError, match="student is 'continue'; mpl's starts from scratch"):
        make_method(student="continue")
    with pytest.raises(ValueError, match="batch_norm is 'joint'; with feedback meta expected another"):
        make_method(batch_norm="joint")
    assert make_method(batch_norm="joint", feedback="product").step(make_batch())["loss"].isfinite()
    with pytest.raises(ValueError, match="student is 'adversarial', which is mpl's"):
        minida.methods.SelfTraining(configure("dars", "smoke", student="adversarial"), minida.BiSeNet(4, "slim"))


def test_the_strategy_gets_the_frequencies_of_the_labelled_set():
    method = make_method(strategy="dars", ratio=0.4)
    method.begin(np.array([4.0, 2.0, 1.0, 1.0]))
    assert isinstance(method.window.strategy, DARS) and method.window.strategy.prior.tolist() == [
        0.5,
        0.25,
        0.125,
        0.125,
    ]
    assert method.memory["window"] is method.window


SHORT = {"source": "minicity:game?n=8", "target": "minicity:real?n=8", "size": (32, 64), "precision": "float32"}
SHORT |= {"steps": 5, "eval_every": 100, "discriminator_width": 4, "progress": False}


@pytest.mark.parametrize("feedback", ["meta", "product"])
def test_a_resumed_run_ends_with_the_same_networks(tmp_path, monkeypatch, feedback):
    def stop(step, record):
        if step == 3:
            raise RuntimeError("pulled the plug")

    options = {**SHORT, "feedback": feedback, "strategy": "dars", "student": "scratch"}
    whole = minida.train("mpl", "smoke", out=tmp_path / "whole", **options)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        minida.train("mpl", "smoke", out=tmp_path / "cut", callback=stop, **options)
    cut = minida.train("mpl", "smoke", out=tmp_path / "cut", resume=True, **options)
    for file in ("model", "teacher"):
        ours, theirs = (minida.load(r.folder / f"{file}.safetensors").state_dict() for r in (cut, whole))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), file
    assert {"discriminator.safetensors", "teacher_discriminator.safetensors"} < {p.name for p in cut.folder.iterdir()}
    assert [r["feedback"] for r in cut.history] == [r["feedback"] for r in whole.history]


def test_the_record_says_what_plays_a_part():
    """Once the learning rate of a discriminator that was there was null, and settings of one that was not were told."""
    uda, ssl = make_method(discriminator="fcd").record(), make_method(discriminator="none").record()
    assert (uda["discriminator"], uda["discriminator_lr"], uda["lambda_adv"]) == ("fcd", 1e-3, 1e-3)
    assert ssl["discriminator"] == "none" and ssl["feedback"] == "meta"
    assert not any(key.startswith(("discriminator_", "lambda_")) for key in ssl)
