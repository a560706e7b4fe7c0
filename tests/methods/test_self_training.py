"""The update of self-training, derived by hand, and what its configuration means. Its rounds: tests/test_rounds.py."""

import copy

import pytest
import torch
import torch.nn.functional as F

import minida
from minida.config import make_config
from minida.labeling import DARS, ClassBalanced, Confidence, EntropyPartition, MedianConfidence
from minida.methods import METHODS, Adversarial, AlignedSelfTraining, PseudoLabels, SelfTraining, Supervised, configure

SGD = {"discriminator_optimizer": "sgd", "discriminator_lr": 20.0}


def make_batch(pseudo="some"):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 4, (2, 2, 64, 96), generator=generator)
    labels[:, :, :9] = minida.IGNORE
    labels[1, 1, 20:] = minida.IGNORE  # of the second pseudo-labelled image little is believed
    images = torch.randn(2, 2, 3, 64, 96, generator=generator)
    if pseudo == "teacher":
        return minida.Batch(images[0], labels[0])
    believed = {"none": torch.full_like(labels[1], minida.IGNORE), "some": labels[1], "unlabelled": None}[pseudo]
    return minida.Batch(images[0], labels[0], 2 * images[1] + 1, believed)


def make_method(kind=SelfTraining, name="self-training", **options):
    options = {"precision": "float32", "discriminator": "none", **options}
    torch.manual_seed(0)
    return kind(make_config(name, "smoke", **options), minida.BiSeNet(4, "slim"))


def same(network, other):
    """Whether two networks are equal to the last bit, running averages included."""
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(value, wanted) for value, wanted in pairs)


class ByHand:
    """Eq. 5 written out, with and without its adversarial part; SGD with momentum for both networks."""

    def __init__(self, method):
        self.model, self.discriminator = (
            copy.deepcopy(method.model),
            copy.deepcopy(method.networks.get("discriminator")),
        )
        self.joint = method.config.batch_norm == "joint"
        self.velocity = {}

    def outputs(self, batch):
        """The three heads for the source, and for the target; running averages by the configuration."""
        self.model.train()
        if self.joint:
            both = self.model(torch.cat([batch.source, batch.target]))
            heads = (both.logits, *both.aux)
            return [head[:2] for head in heads], [head[2:] for head in heads]
        before = copy.deepcopy(dict(self.model.named_buffers()))
        source = self.model(batch.source)
        for name, buffer in self.model.named_buffers():  # as if the source had not been seen
            if "running" in name:
                buffer.data = before[name]
        target = self.model(batch.target)
        return (source.logits, *source.aux), (target.logits, *target.aux)

    def descend(self, network, gradients, rate, decay):
        with torch.no_grad():
            for (name, p), gradient in zip(network.named_parameters(), gradients, strict=True):
                key = (network, name)
                self.velocity[key] = 0.9 * self.velocity.get(key, 0) + gradient + decay * p
                p -= rate * self.velocity[key]

    def step(self, batch):
        source, target = self.outputs(batch)
        segmentation = sum(F.cross_entropy(head, batch.source_labels, ignore_index=255) for head in source)
        sums = [F.cross_entropy(head, batch.pseudo_labels, ignore_index=255, reduction="sum") for head in target]
        pseudo = sum(sums) / (batch.source_labels != 255).sum()  # every pixel weighs the same
        loss = segmentation + pseudo
        if self.discriminator is not None:
            loss = loss - 0.5 * (1 - self.discriminator(target[0].softmax(1)).sigmoid()).log().mean()
            a, b = (self.discriminator(heads[0].detach().softmax(1)).sigmoid() for heads in (source, target))
            guess = -((1 - a).log().mean() + b.log().mean()) / 2
            own = torch.autograd.grad(guess, list(self.discriminator.parameters()))
        self.descend(self.model, torch.autograd.grad(loss, list(self.model.parameters())), 2e-2, 1e-4)
        if self.discriminator is not None:
            self.descend(self.discriminator, own, 20.0, 0)
        return {"segmentation": segmentation, "pseudo": pseudo, "loss": loss}


@pytest.mark.parametrize("batch_norm", ["joint", "target"])
@pytest.mark.parametrize("discriminator", ["none", "dsc"])
def test_three_steps_derived_by_hand(discriminator, batch_norm):
    method = make_method(
        discriminator=discriminator, batch_norm=batch_norm, discriminator_width=8, lambda_adv=0.5, lr=2e-2, **SGD
    )
    hand, start = ByHand(method), copy.deepcopy(method.networks)
    for _ in range(3):
        terms, wanted = method.step(make_batch()), hand.step(make_batch())
        for name, value in wanted.items():
            assert terms[name].item() == pytest.approx(value.item(), abs=1e-4), name
        assert all(not term.requires_grad for term in terms.values())
    networks = {"model": hand.model, "discriminator": hand.discriminator}
    assert set(method.networks) == {name for name, network in networks.items() if network is not None}
    for key, ours in method.networks.items():
        for name, value in ours.state_dict().items():
            if "num_batches" not in name:
                torch.testing.assert_close(value, networks[key].state_dict()[name], rtol=1e-3, atol=3e-4, msg=name)
        moved = zip(start[key].parameters(), ours.parameters(), strict=True)
        assert max((before - after).abs().max() for before, after in moved) > 1e-3  # the tolerance is for two threads


def test_a_step_of_few_labelled_and_many_pseudo_labelled_images_by_hand():
    """Two and six images: both sums are divided by the labelled pixels that a batch of four would have."""
    method, batch = make_method(batch_norm="joint", mix=3.0), make_batch()
    batch = batch._replace(target=batch.target.repeat(3, 1, 1, 1), pseudo_labels=batch.pseudo_labels.repeat(3, 1, 1))
    model = copy.deepcopy(method.model).train()
    output = model(torch.cat([batch.source, batch.target]))
    labels = torch.cat([batch.source_labels, batch.pseudo_labels])
    sums = sum(
        F.cross_entropy(head, labels, ignore_index=255, reduction="sum") for head in (output.logits, *output.aux)
    )
    loss = sums / (batch.source_labels != 255).sum() * (2 / 4)
    terms = method.step(batch)
    assert terms["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert terms["segmentation"] + terms["pseudo"] == pytest.approx(terms["loss"].item()), "terms are what is added"
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for (name, ours), before, gradient in zip(
        method.model.named_parameters(), model.parameters(), gradients, strict=True
    ):
        torch.testing.assert_close(ours, before - 8e-2 * (gradient + 1e-4 * before), rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    ("mix", "size", "expected"),
    [(1, 8, (8, 8)), (3, 8, (4, 12)), (7, 8, (2, 14)), (1 / 3, 8, (12, 4)), (7, 32, (8, 56)), (2, 8, (5, 11))],
)
def test_how_a_batch_is_mixed(mix, size, expected):
    method = make_method(mix=mix, batch_size=size)
    assert method.batch_sizes(0) == (size, size), "the teacher's round"
    assert method.batch_sizes(1) == expected and sum(expected) == 2 * size


@pytest.mark.parametrize("labelled", [0, 1, 40])
def test_a_batch_with_hardly_a_label_does_not_make_pseudo_labels_heavy(labelled):
    """They weigh at most what as many labelled images do: their mean loss, times target over source images."""
    method, batch = make_method(mix=3.0), make_batch()
    sparse = torch.full_like(batch.source_labels, 255)
    sparse.view(-1)[:labelled] = 1
    batch = batch._replace(source_labels=sparse, target=batch.target.repeat(3, 1, 1, 1))
    batch = batch._replace(pseudo_labels=batch.pseudo_labels.repeat(3, 1, 1))
    target = method.model.train()(batch.target)
    means = [F.cross_entropy(head, batch.pseudo_labels, ignore_index=255) for head in (target.logits, *target.aux)]
    found = method.target_terms(target, batch)["pseudo"]
    assert found.item() == pytest.approx(3 * sum(means).item(), rel=1e-5)
    full = batch._replace(source_labels=torch.zeros_like(sparse))
    weight = (batch.pseudo_labels != 255).sum() / sparse.numel()
    assert method.target_terms(target, full)["pseudo"].item() == pytest.approx((weight * sum(means)).item(), rel=1e-5)


def test_a_mix_is_not_for_a_discriminator():
    with pytest.raises(ValueError, match="mix is 3.*discriminator"):
        make_method(discriminator="dsc", mix=3)


def test_where_nothing_is_believed_the_target_teaches_nothing():
    """A loss of 0, no NaN, and a gradient that is exactly nothing: with the source's averages, it is source-only."""
    torch.manual_seed(0)
    alone = Supervised(make_config("supervised", "smoke", precision="float32"), minida.BiSeNet(4, "slim"))
    method = make_method(batch_norm="source")
    for _ in range(3):
        terms = method.step(make_batch("none"))
        alone.step(make_batch("teacher"))
        assert terms["pseudo"].item() == 0 and terms["loss"] == terms["segmentation"]
    for name, value in alone.model.state_dict().items():
        assert torch.equal(method.model.state_dict()[name], value), name
    for batch_norm in ("joint", "target"):
        other = make_method(batch_norm=batch_norm)
        assert other.step(make_batch("none"))["pseudo"].item() == 0
        assert all(value.isfinite().all() for value in other.model.state_dict().values())


def test_pseudo_labels_change_the_step():
    believing, doubting = make_method(), make_method()
    believing.step(make_batch())
    doubting.step(make_batch("none"))
    assert not same(believing.model, doubting.model)


def test_the_teachers_step_is_source_only_to_the_last_bit():
    torch.manual_seed(0)
    alone = Supervised(make_config("supervised", "smoke", precision="float32"), minida.BiSeNet(4, "slim"))
    method = make_method()
    for _ in range(3):
        ours, wanted = method.step(make_batch("teacher")), alone.step(make_batch("teacher"))
        assert ours["loss"] == wanted["loss"] and "pseudo" not in ours
    assert same(method.model, alone.model)


def test_with_a_discriminator_the_teachers_step_is_adversarial_to_the_last_bit():
    options = {"discriminator": "dsc", "discriminator_width": 8, "lambda_adv": 0.5}
    alone, method = make_method(Adversarial, "adversarial", **options), make_method(PseudoLabels, "pseudo", **options)
    for _ in range(3):
        ours, wanted = method.step(make_batch("unlabelled")), alone.step(make_batch("unlabelled"))
        assert ours == wanted and "pseudo" not in ours
    assert same(method.model, alone.model) and same(method.discriminator, alone.discriminator)


def test_a_step_runs_in_the_precision_of_the_configuration():
    method, seen = make_method(precision="bfloat16"), []
    method.model.fusion.register_forward_hook(lambda part, inputs, output: seen.append(output.dtype))
    terms = method.step(make_batch())
    assert seen == [torch.bfloat16] * 2 and all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize(
    ("name", "kind", "protocol", "expected"),
    [
        ("pseudo", PseudoLabels, "uda", ("mpt", "dsc", "target")),
        ("dars", AlignedSelfTraining, "uda", ("dars", "none", "target")),
        ("self-training", SelfTraining, "uda", ("st", "none", "target")),
        ("pseudo", PseudoLabels, "ssl", ("mpt", "dsc", "joint")),
        ("dars", AlignedSelfTraining, "ssl", ("dars", "none", "joint")),
        ("self-training", SelfTraining, "ssl", ("st", "none", "joint")),
    ],
)
def test_every_method_has_its_own_defaults(name, kind, protocol, expected):
    share = {"labeled": "1/4"} if protocol == "ssl" else {}
    config = configure(name, "smoke", protocol=protocol, **share)
    assert METHODS[name] is kind
    assert (config.strategy, config.discriminator, config.batch_norm) == expected
    assert config.target == ("minicity:real" if protocol == "uda" else None)
    given = configure(
        name, "smoke", protocol=protocol, strategy="da", discriminator="fcd", batch_norm="source", **share
    )
    assert (given.strategy, given.discriminator, given.batch_norm) == ("da", "fcd", "source")


@pytest.mark.parametrize(
    ("given", "rounds", "progress", "strength"),
    [
        ({}, 2, [None, 0], [1, 1]),
        ({"rounds": 3}, 4, [None, 0, 0.5, 1], [1, 1, 2, 3]),
        ({"rounds": 3, "init": "there"}, 3, [0, 0.5, 1], [1, 2, 3]),
        ({"rounds": 1, "init": "there"}, 1, [0], [1]),
        ({"rounds": 2, "teacher": "there"}, 2, [0, 1], [1, 3]),
    ],
)
def test_rounds_and_how_far_each_is(given, rounds, progress, strength):
    config = make_config("dars", "smoke", strength=(1, 3), discriminator="none", **given)
    method = AlignedSelfTraining(config, minida.BiSeNet(4, "slim"))
    assert method.rounds(config) == rounds
    assert [method.progress(number) for number in range(rounds)] == progress
    assert [method.sees_target(number) for number in range(rounds)] == [part is not None for part in progress]
    assert [method.augmentation_strength(number) for number in range(rounds)] == strength


def test_with_a_discriminator_every_round_sees_the_target():
    method = make_method(PseudoLabels, "pseudo", discriminator="dsc", discriminator_width=4)
    assert [method.sees_target(number) for number in range(2)] == [True, True]


def test_the_strategy_gets_what_the_configuration_says():
    frequency = torch.tensor([4.0, 2.0, 1.0, 1.0]).double().numpy()
    given = {"ratio": (0.2, 0.6), "cap": 0.8, "temperature": 2.0, "seed": 7}
    kinds = {
        "st": Confidence,
        "cbst": ClassBalanced,
        "dars": DARS,
        "mpt": MedianConfidence,
        "entropy": EntropyPartition,
    }
    for name, kind in kinds.items():
        strategy = make_method(strategy=name, **given).labeler(frequency)
        assert type(strategy) is kind and (strategy.num_classes, strategy.seed, strategy.temperature) == (4, 7, 2.0)
        if name in ("st", "cbst", "dars"):
            assert strategy.ratio == (0.2, 0.6)
        if name == "mpt":
            assert strategy.cap == 0.8
        if name == "dars":
            assert strategy.prior.tolist() == [0.5, 0.25, 0.125, 0.125] and strategy.sample
    mine = DARS(frequency)
    assert make_method().labeler(frequency) is not mine
    config = make_config("dars", "smoke", discriminator="none")
    assert AlignedSelfTraining(config, minida.BiSeNet(4, "slim"), mine).labeler(frequency) is mine


@pytest.mark.parametrize("option", [{"ratio": 0.5}, {"strategy": "st"}, {"rounds": 2}, {"student": "continue"}])
def test_other_methods_refuse_the_options_of_self_training(option):
    (name, value), *_ = option.items()
    for method in ("supervised", "adversarial"):
        with pytest.raises(ValueError) as caught:
            configure(method, "smoke", **option)
        assert str(caught.value) == f"{name} is {value!r}, but {method} does not use it; leave it out"


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"ratio": 1.5}, "ratio is (1.5, 1.5); expected shares, such as 0.2,0.5"),
        ({"ratio": (0.1, 0.2, 0.3)}, "ratio is (0.1, 0.2, 0.3); expected shares, such as 0.2,0.5"),
        ({"ratio": (0.5, -0.1)}, "ratio is (0.5, -0.1); expected shares, such as 0.2,0.5"),
        ({"cap": 2.0}, "cap is 2.0; expected a confidence from 0 to 1"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a positive number"),
        ({"rounds": 0}, "rounds is 0; expected 1 or more"),
        ({"rounds": 1.5}, "rounds is 1.5; expected int"),
        ({"weight_decay": float("inf")}, "weight_decay is inf; expected finite numbers"),
        ({"strength": (1.0, float("nan"))}, "strength is (1.0, nan); expected finite numbers"),
        ({"scale": (0.5, 1.0, 2.0)}, "scale is (0.5, 1.0, 2.0); expected two positive numbers: 0.5,2"),
        ({"strength": (1, -1)}, "strength is (1, -1); expected 0 or more, or two such as 1,1.5"),
        ({"strength": (1, 2, 3)}, "strength is (1, 2, 3); expected 0 or more, or two such as 1,1.5"),
        ({"student": "fresh"}, "student is 'fresh'; expected scratch or continue"),
    ],
)
def test_wrong_options_are_one_line(wrong, line):
    with pytest.raises(ValueError) as caught:
        configure("dars", "smoke", **wrong)
    assert str(caught.value) == line


def test_one_number_stands_for_both_rounds():
    config = configure("dars", "smoke", ratio=0.25, strength=2)
    assert (config.ratio, config.strength) == ((0.25, 0.25), (2, 2))
    config = configure("dars", "smoke", ratio=(0.2, 0.5), strength=[1, 1.5])
    assert (config.ratio, config.strength) == ((0.2, 0.5), (1, 1.5))


def test_adversarial_needs_its_discriminator(tmp_path):
    with pytest.raises(ValueError) as caught:
        minida.train("adversarial", "smoke", out=tmp_path / "run", discriminator="none", progress=False)
    assert str(caught.value) == "discriminator is 'none'; adversarial needs fcd or dsc"
    assert not (tmp_path / "run").exists()
