import copy
import json
import os
import signal

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import minida
from minida import storage, trainer
from minida.config import make_config
from minida.data import Augmentation
from minida.losses import SOURCE, TARGET, domain_loss
from minida.methods import Adversarial, Supervised
from minida.methods.base import split
from minida.types import SegmentationOutput

TINY = {"source": "minicity:game?n=8", "target": "minicity:real?n=8", "precision": "float32", "progress": False}


def make_batch(classes=4, size=(64, 96)):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, classes, (2, *size), generator=generator)
    labels[:, :9] = minida.IGNORE
    images = torch.randn(2, 2, 3, *size, generator=generator)
    return minida.Batch(images[0], labels, 2 * images[1] + 1)


def make_method(**options):
    options = {"precision": "float32", "discriminator_width": 8, "lambda_adv": 0.5, **options}
    torch.manual_seed(0)
    return Adversarial(make_config("adversarial", "smoke", **options), minida.BiSeNet(4, "slim"))


def same(network, other):
    """Whether two networks are equal to the last bit, running averages included."""
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(value, wanted) for value, wanted in pairs)


def test_domain_loss_by_hand():
    logits = torch.tensor([[[[0.0, 2.0]]]])
    assert domain_loss(torch.zeros(1, 1, 2, 3), TARGET).item() == pytest.approx(0.693147, abs=1e-5)
    # -log(1 - sigmoid(z)) = log(1 + e^z) for the source, log(1 + e^-z) for the target
    assert domain_loss(logits, SOURCE).item() == pytest.approx((0.693147 + 2.126928) / 2, abs=1e-5)
    assert domain_loss(logits.bfloat16(), TARGET).item() == pytest.approx((0.693147 + 0.126928) / 2, abs=1e-5)


class ByHand:
    """Eq. 1-4 written out: SGD with momentum for the network, Adam for the discriminator."""

    def __init__(self, method):
        self.model, self.discriminator = copy.deepcopy(method.model), copy.deepcopy(method.discriminator)
        self.mode = method.config.batch_norm
        self.velocity = [torch.zeros_like(p) for p in self.model.parameters()]
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.discriminator.parameters()]
        self.steps = 0

    def outputs(self, batch):
        self.model.train()
        if self.mode == "joint":
            both = self.model(torch.cat([batch.source, batch.target]))
            return both.logits[:2], [part[:2] for part in both.aux], both.logits[2:]
        self.before = copy.deepcopy(dict(self.model.named_buffers()))
        source = self.model(batch.source)
        self.after_source = copy.deepcopy(dict(self.model.named_buffers()))
        target = self.model(batch.target)
        return source.logits, source.aux, target.logits

    def step(self, batch):
        source, aux, target = self.outputs(batch)
        loss = sum(F.cross_entropy(head, batch.source_labels, ignore_index=255) for head in (source, *aux))
        on_target = self.discriminator(target.softmax(1)).sigmoid()
        loss = loss - 0.5 * (1 - on_target).log().mean()
        gradients = torch.autograd.grad(loss, list(self.model.parameters()), allow_unused=True)

        a, b = (self.discriminator(x.detach().softmax(1)).sigmoid() for x in (source, target))
        guess = -((1 - a).log().mean() + b.log().mean()) / 2
        own = torch.autograd.grad(guess, list(self.discriminator.parameters()))
        if self.mode == "source":
            for name, buffer in self.model.named_buffers():
                buffer.copy_(self.after_source[name])
        if self.mode == "target":  # of the source pass's tenth nothing is left
            for name, buffer in self.model.named_buffers():
                if "running" in name:
                    buffer.copy_(buffer - 0.9 * (self.after_source[name] - self.before[name]))
        self.steps += 1
        with torch.no_grad():
            for p, v, gradient in zip(self.model.parameters(), self.velocity, gradients, strict=True):
                v.copy_(0.9 * v + gradient + 1e-4 * p)
                p -= 8e-2 * v
            for p, (m, s), gradient in zip(self.discriminator.parameters(), self.moments, own, strict=True):
                m.copy_(0.9 * m + 0.1 * gradient)
                s.copy_(0.99 * s + 0.01 * gradient**2)
                root = (s / (1 - 0.99**self.steps)).sqrt() + 1e-8
                p -= 1e-4 * m / (1 - 0.9**self.steps) / root
        return loss, guess


@pytest.mark.parametrize("batch_norm", ["joint", "separate", "source", "target"])
@pytest.mark.parametrize("discriminator", ["fcd", "dsc"])
def test_three_steps_derived_by_hand(discriminator, batch_norm):
    method = make_method(discriminator=discriminator, batch_norm=batch_norm, discriminator_lr=1e-4)
    hand, start = ByHand(method), copy.deepcopy(method.discriminator)
    for _ in range(3):
        terms, (loss, guess) = method.step(make_batch()), hand.step(make_batch())
        assert terms["loss"].item() == pytest.approx(loss.item(), abs=1e-4)
        assert terms["discriminator"].item() == pytest.approx(guess.item(), abs=1e-4)
        assert all(not term.requires_grad for term in terms.values())
        norms = [part for part in method.model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        assert norms and all(norm.track_running_stats for norm in norms), "the next evaluation needs them"
    for ours, wanted in ((method.model, hand.model), (method.discriminator, hand.discriminator)):
        for name, value in ours.state_dict().items():
            if "num_batches" not in name:
                close = 2e-5 if ours is method.discriminator else 3e-4  # two threads add in another order
                torch.testing.assert_close(value, wanted.state_dict()[name], rtol=1e-3, atol=close, msg=name)
    moved = max((a - b).abs().max() for a, b in zip(start.parameters(), hand.discriminator.parameters(), strict=True))
    assert moved > 1e-4  # far more than the tolerance


@pytest.mark.parametrize("heads", [2, 0])
def test_a_joint_pass_is_parted_with_and_without_auxiliary_heads(heads):
    parts = torch.arange(5.0).reshape(5, 1, 1, 1)
    first, rest = split(SegmentationOutput(parts, (parts + 10, parts + 20)[:heads]), 2)
    assert first.logits.flatten().tolist() == [0, 1] and rest.logits.flatten().tolist() == [2, 3, 4]
    assert [head.flatten().tolist() for head in first.aux] == [[10, 11], [20, 21]][:heads]
    assert [head.flatten().tolist() for head in rest.aux] == [[12, 13, 14], [22, 23, 24]][:heads]


def test_each_update_leaves_the_other_network_alone(monkeypatch):
    method, seen = make_method(), []
    before = copy.deepcopy(method.discriminator)
    first, second = method.optimizers["model"], method.optimizers["discriminator"]

    def watch_first():
        assert same(method.discriminator, before), "the discriminator moved in the segmentation network's update"
        assert all(p.grad is None for p in method.discriminator.parameters()), "it was given a gradient there"
        seen.append([None if p.grad is None else p.grad.clone() for p in method.model.parameters()])

    def watch_second():
        for p, gradient in zip(method.model.parameters(), seen[0], strict=True):
            assert gradient is None or torch.equal(p.grad, gradient), "the discriminator's update reached the network"
        seen.append([p.grad.clone() for p in method.discriminator.parameters()])

    monkeypatch.setattr(first, "step", watch_first)
    monkeypatch.setattr(second, "step", watch_second)
    method.step(make_batch())
    assert len(seen) == 2 and all(gradient.abs().max() > 0 for gradient in seen[1])


def test_the_adversarial_term_pulls_towards_the_source():
    """With a large weight, a step makes the target look more like source to the same discriminator."""
    gains = {}
    for weight in (0.0, 20.0):
        method = make_method(lambda_adv=weight, lr=1e-3, batch_norm="separate")
        method.optimizers["discriminator"].param_groups[0]["lr"] = 0.0
        with torch.no_grad():  # a discriminator that has an opinion
            [parameter.mul_(4) for parameter in method.discriminator.parameters()]
        first, second = (method.step(make_batch())["adversarial"] for _ in range(2))
        gains[weight] = (first - second).item()
    assert gains[20.0] > 0 and gains[20.0] > 2 * gains[0.0]


@pytest.mark.parametrize(
    ("batch_norm", "parameters", "averages"), [("source", 1, 1), ("separate", 1, 0), ("target", 1, 0), ("joint", 0, 0)]
)
def test_without_weight_only_batch_norm_is_left(batch_norm, parameters, averages):
    """λ = 0: what equals source-only to the last bit, and what batch norm changes all the same."""
    method = make_method(lambda_adv=0.0, batch_norm=batch_norm)
    torch.manual_seed(0)
    alone = Supervised(make_config("supervised", "smoke", precision="float32"), minida.BiSeNet(4, "slim"))
    for _ in range(3):
        method.step(make_batch())
        alone.step(make_batch())

    def equal(names):
        ours, theirs = dict(method.model.state_dict()), alone.model.state_dict()
        return all(torch.equal(ours[name], theirs[name]) for name in names)

    assert equal(name for name, _ in alone.model.named_parameters()) == bool(parameters)
    assert equal(name for name, _ in alone.model.named_buffers() if "running" in name) == bool(averages)


def test_pseudo_labels_need_no_second_step():
    """Eq. 5 is a subclass with one method: its term enters the loss and its gradient the network."""

    class WithLabels(Adversarial):
        def target_terms(self, target: SegmentationOutput, batch):
            return {"pseudo": 3 * F.cross_entropy(target.logits, torch.zeros_like(batch.source_labels))}

    plain = make_method()
    other = WithLabels(plain.config, copy.deepcopy(plain.model))
    assert same(plain.discriminator, other.discriminator), "the seed decides the discriminator"
    target = copy.deepcopy(plain).outputs(make_batch())[1].logits
    extra = 3 * F.cross_entropy(target, torch.zeros_like(make_batch().source_labels))
    a, b = plain.step(make_batch()), other.step(make_batch())
    assert (b["loss"] - a["loss"]).item() == pytest.approx(extra.item(), abs=1e-4)
    assert b["pseudo"].item() == pytest.approx(extra.item(), abs=1e-4) and not b["pseudo"].requires_grad
    assert not same(plain.model, other.model)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_the_discriminators_optimiser(optimizer):
    method = make_method(discriminator_optimizer=optimizer, discriminator_lr=0.25)
    chosen = method.optimizers["discriminator"]
    assert type(chosen).__name__.lower() == optimizer and chosen.param_groups[0]["lr"] == 0.25
    assert {"adam": ("betas", (0.9, 0.99)), "sgd": ("momentum", 0.9), "rmsprop": ("momentum", 0)}[optimizer] in (
        chosen.param_groups[0].items()
    )
    method.schedule(2)  # of 4 steps
    assert chosen.param_groups[0]["lr"] == pytest.approx(0.25 * 0.5**0.9)


def test_a_run_resumes_exactly_and_keeps_its_discriminator(tmp_path):
    options = {**TINY, "steps": 6, "eval_every": 6, "discriminator_width": 8, "lambda_adv": 0.5}
    whole = minida.train("adversarial", "smoke", out=tmp_path / "whole", **options)

    def stop(step, record):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match="stopped after step 3"):
        minida.train("adversarial", "smoke", out=tmp_path / "cut", callback=stop, **options)
    resumed = minida.train("adversarial", "smoke", out=tmp_path / "cut", resume=True, **options)
    assert same(resumed.model, whole.model)
    ours, wanted = (storage.load_discriminator(result.folder) for result in (resumed, whole))
    assert same(ours, wanted) and type(ours) is minida.DSCDiscriminator and ours.width == 8
    torch.manual_seed(0)
    options.pop("progress")
    assert not same(ours, Adversarial(make_config("adversarial", "smoke", **options), whole.model).discriminator)
    for mine, theirs in zip(resumed.history, whole.history, strict=True):
        assert {k: v for k, v in mine.items() if k != "seconds"} == {k: v for k, v in theirs.items() if k != "seconds"}
    assert {"loss", "segmentation", "adversarial", "discriminator"} <= set(whole.history[0])


def test_both_domains_fill_their_crops(tmp_path, monkeypatch):
    """Source images alone could be padded, and then the discriminator would learn the border."""
    seen = []
    monkeypatch.setattr(trainer, "Augmentation", lambda *a, **k: seen.append(k["fill"]) or Augmentation(*a, **k))
    for name in ("supervised", "adversarial"):
        minida.train(name, "smoke", out=tmp_path / name, steps=1, **TINY)
    assert seen == [False, True]


def test_the_record_says_what_it_was(tmp_path):
    result = minida.train(
        "adversarial", "smoke", out=tmp_path / "run", discriminator="fcd", discriminator_width=4, progress=False
    )
    record = json.loads((result.folder / "result.json").read_text())
    assert (record["source"], record["target"]) == ("minicity:game", "minicity:real")  # what it adapts unless told
    assert (record["discriminator"], record["discriminator_width"]) == ("fcd", 4)
    assert (record["lambda_adv"], record["discriminator_lr"], record["batch_norm"]) == (1e-3, 1e-3, "target")


def test_the_gpu_preset_is_the_reports():
    config = make_config("adversarial", "gpu")
    assert (config.lambda_adv, config.discriminator_learning_rate, config.batch_norm) == (1e-3, 1e-4, "separate")
    assert (config.learning_rate, config.discriminator_width) == (2.5e-2, 64)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"discriminator": "patch"}, "discriminator is 'patch'; expected fcd or dsc (or none in self-training)"),
        ({"discriminator_width": 0}, "discriminator_width is 0; expected 1 or more"),
        ({"discriminator_optimizer": "lion"}, "discriminator_optimizer is 'lion'; expected sgd, adam or rmsprop"),
        ({"discriminator_lr": 0.0}, "discriminator_lr is 0.0; expected a positive number"),
        ({"lambda_adv": -1.0}, "lambda_adv is -1.0; expected 0 or more, and finite"),
        ({"lambda_adv": float("nan")}, "lambda_adv is nan; expected 0 or more, and finite"),
        ({"lambda_adv": float("inf")}, "lambda_adv is inf; expected 0 or more, and finite"),
        ({"batch_norm": "mixed"}, "batch_norm is 'mixed'; expected joint, separate, source, target"),
    ],
)
def test_wrong_options_are_one_line(wrong, line):
    with pytest.raises(ValueError) as caught:
        make_config("adversarial", "smoke", **wrong)
    assert str(caught.value) == line


def test_both_halves_run_in_the_precision_of_the_configuration():
    method, seen = make_method(precision="bfloat16", discriminator="fcd"), []
    method.discriminator.layers[0].register_forward_hook(lambda part, inputs, output: seen.append(output.dtype))
    method.model.fusion.register_forward_hook(lambda part, inputs, output: seen.append(output.dtype))
    terms = method.step(make_batch())
    assert seen == [torch.bfloat16] * 5  # two domains, then the discriminator: once against, twice for itself
    assert all(term.isfinite() for term in terms.values())


def test_another_methods_options_are_refused():
    for option, value in (("lambda_adv", 0.5), ("discriminator", "fcd"), ("batch_norm", "joint")):
        with pytest.raises(ValueError, match=f"{option} is .*, but supervised does not use it; leave it out"):
            minida.train("supervised", "smoke", **{option: value}, **TINY)


def test_another_optimiser_brings_its_own_rate():
    for preset, rate in (("gpu", 1e-4), ("cpu", 1e-3)):
        assert make_config("adversarial", preset).discriminator_learning_rate == rate
        assert make_config("adversarial", preset, discriminator_optimizer="adam").discriminator_learning_rate == rate
        assert make_config("adversarial", preset, discriminator_optimizer="sgd").discriminator_learning_rate == 1.0
    given = make_config("adversarial", "gpu", discriminator_optimizer="sgd", discriminator_lr=0.5)
    assert given.discriminator_learning_rate == 0.5
    assert make_config("supervised", "gpu").learning_rate == 2.5e-2
    assert make_config("supervised", "gpu", optimizer="adam").learning_rate == 1e-2


def test_a_broken_game_names_both_rates(tmp_path):
    with pytest.raises(FloatingPointError) as caught:
        minida.train("adversarial", "smoke", out=tmp_path / "run", discriminator_lr=1e30, **{**TINY, "log_every": 4})
    line = "lower the learning rate (0.08 of the model, 1e+30 of the discriminator) or set precision=float32"
    assert line in str(caught.value) and "term 'loss'" not in str(caught.value)


def test_both_domains_need_the_same_classes(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for number in range(4):
        Image.new("RGB", (64, 64)).save(tmp_path / "images" / f"{number}.png")
        Image.new("L", (64, 64)).save(tmp_path / "labels" / f"{number}.png")
    table = [{"name": name, "color": [index, 0, 0], "id": index} for index, name in enumerate(("road", "car"))]
    (tmp_path / "classes.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match="has other classes than minicity:game") as caught:
        minida.train("adversarial", "smoke", out=tmp_path / "run", **{**TINY, "target": f"folder:{tmp_path}"})
    assert "\n" not in str(caught.value)


def test_ssl_has_no_other_target():
    with pytest.raises(ValueError, match="target is 'minicity:real'; expected none: ssl takes the rest of the source"):
        make_config("adversarial", "smoke", protocol="ssl", labeled="1/4", target="minicity:real")


def test_a_target_is_needed_where_the_source_is_not_the_game():
    with pytest.raises(ValueError, match="adversarial needs an unlabelled target; give target=SPEC"):
        minida.train("adversarial", "smoke", source="minicity:real", progress=False)
