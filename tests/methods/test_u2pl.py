"""U2PL's update, derived by hand. Its configuration and its runs: test_u2pl_runs.py."""

import copy
import types

import pytest
import torch
import torch.nn.functional as F
from test_contrast import Loops
from torch.utils._python_dispatch import TorchDispatchMode

import minida
from minida.config import make_config
from minida.data.cutmix import boxes
from minida.labeling import Thresholds, base
from minida.methods import U2PL
from minida.methods.contrast import View
from minida.methods.u2pl import sampled


def make_batch(number=0, size=(64, 96)):
    generator = torch.Generator().manual_seed(number)
    labels = torch.randint(0, 4, (2, *size), generator=generator)
    labels[:, :9] = minida.IGNORE
    images = torch.randn(2, 2, 3, *size, generator=generator)
    return minida.Batch(images[0], labels, 2 * images[1] + 1)


def make_method(**options):
    config = make_config("u2pl", "smoke", **{"precision": "float32", "embedding": 8, "bank": 300, **options})
    torch.manual_seed(0)
    model = minida.BiSeNet(4, "slim", embedding=U2PL.embedding(config))
    with torch.no_grad():  # a teacher that has an opinion: running averages, and logits that differ
        for number in range(10):
            batch = make_batch(number)
            model(batch.target if config.batch_norm == "target" else torch.cat((batch.source, batch.target)))
        model.head.weight.mul_(6)
    return U2PL(config, model)


def same(network, other):
    """Whether two networks are equal to the last bit, running averages included."""
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(value, wanted) for value, wanted in pairs)


class ByHand:
    """L_s + λ_u L_u + λ_c L_c written out, SGD with momentum, the averaged teacher; γ_t is the library's."""

    def __init__(self, method):
        self.config, self.window = method.config, method.window
        self.student, self.teacher = copy.deepcopy(method.model), copy.deepcopy(method.model).eval()
        self.velocity = [torch.zeros_like(p) for p in self.student.parameters()]
        self.contrast, self.steps, self.kept = Loops(4, method.config.bank, 12, 7), 0, []

    def outputs(self, batch, target):
        """Three heads and the embedding, of the source and of the target; running averages by the configuration."""
        self.student.train()
        if self.config.batch_norm == "joint":
            both = self.student(torch.cat([batch.source, target]))
            parts = (both.logits, *both.aux, *([both.embedding] if both.embedding is not None else []))
            return [part[:2] for part in parts], [part[2:] for part in parts]
        before = copy.deepcopy(dict(self.student.named_buffers()))
        source = self.student(batch.source)
        for name, buffer in self.student.named_buffers():  # as if the source had not been seen
            if "running" in name:
                buffer.data = before[name]
        target = self.student(target)
        return [[out.logits, *out.aux, out.embedding] for out in (source, target)]

    def mixed(self, maps, scale=1):
        """CutMix, a box and an image at a time."""
        out = maps.clone()
        if self.config.cutmix:
            cut = boxes(2, (64, 96), (self.config.seed, 0, self.steps))
            for i, (top, left, bottom, right) in enumerate(cut):
                place = slice(top // scale, bottom // scale), slice(left // scale, right // scale)
                out[i][..., *place] = maps[1 - i][..., *place]
        return out

    def pseudo_labels(self, probs):
        entropy = torch.special.entr(probs).sum(1)  # (B, H, W); to the last bit: one pixel lies at gamma
        gamma = self.window.strategy.thresholds.score[0]
        return probs.argmax(1).masked_fill(entropy >= gamma, minida.IGNORE)

    def contrastive(self, batch, student, teacher, labels):
        """λ_c L_c by the loops, on the pixel in the middle of each cell of 8x8."""
        source, target = teacher

        def middle(maps):
            return maps[..., 4::8, 4::8]

        view = View(
            embedding=torch.cat([outputs[3] for outputs in student]),
            keys=torch.cat([source.embedding, self.mixed(target.embedding, 8)]),
            probs=torch.cat([middle(source.logits), middle(self.mixed(target.logits))]).softmax(1),
            labels=torch.cat([middle(batch.source_labels), middle(labels)]),
            labelled=2, ids=4 * self.steps + torch.arange(4),
        )  # fmt: skip
        return self.config.lambda_c * self.contrast(view, self.steps)

    def step(self, batch):
        with torch.no_grad():
            teacher = self.teacher(batch.source), self.teacher(batch.target)
        labels = self.mixed(self.pseudo_labels(teacher[1].logits.softmax(1)))
        source, target = self.outputs(batch, self.mixed(batch.target))
        supervised = sum(F.cross_entropy(head, batch.source_labels, ignore_index=255) for head in source[:3])
        self.kept.append((labels != 255).float().mean().item())
        unsupervised = sum(F.cross_entropy(head, labels, ignore_index=255) for head in target[:3]) / self.kept[-1]
        terms = {"supervised": supervised, "unsupervised": unsupervised}
        if self.config.lambda_c:
            terms["contrastive"] = self.contrastive(batch, (source, target), teacher, labels)
        terms["loss"] = sum(terms.values())
        gradients = torch.autograd.grad(terms["loss"], list(self.student.parameters()))
        with torch.no_grad():
            for p, v, gradient in zip(self.student.parameters(), self.velocity, gradients, strict=True):
                v.copy_(0.9 * v + gradient + 1e-4 * p)
                p -= self.config.lr * v
        self.follow()
        return terms

    def follow(self):
        decay = min(1 - 1 / (self.steps + 1), 0.99)
        student = self.student.state_dict()
        for name, value in self.teacher.state_dict().items():
            value.copy_(decay * value + (1 - decay) * student[name] if value.is_floating_point() else student[name])
        self.steps += 1


@pytest.mark.parametrize("batch_norm", ["joint", "target"])
@pytest.mark.parametrize(("lambda_c", "cutmix"), [(0.0, True), (0.5, True), (0.5, False)])
def test_two_steps_derived_by_hand(lambda_c, cutmix, batch_norm):
    method = make_method(lambda_c=lambda_c, cutmix=cutmix, batch_norm=batch_norm, lr=5e-3, alpha=(0.4, 0.0))
    method.window.length = 1
    if lambda_c:
        method.contrast.anchors, method.contrast.negatives = 12, 7  # loops are slow
    hand, start = ByHand(method), copy.deepcopy(method.model)
    for number in range(2):  # a third one turns 1e-6 into 1e-3
        method.model.eval()  # as an evaluation leaves it
        method.window.older = None  # thresholds of each batch alone: a network's first steps are leaps
        terms, wanted = method.step(make_batch(number)), hand.step(make_batch(number))
        assert set(terms) == set(wanted) and all(not term.requires_grad for term in terms.values())
        for name, value in wanted.items():
            assert terms[name].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-4), name
    assert all(0.3 < kept < 0.85 for kept in hand.kept)
    for ours, theirs in ((method.model, hand.student), (method.networks["teacher"], hand.teacher)):
        for name, value in ours.state_dict().items():
            if "num_batches" not in name:
                torch.testing.assert_close(value, theirs.state_dict()[name], rtol=1e-3, atol=1e-3, msg=name)
    moved = zip(method.model.parameters(), start.parameters(), strict=True)
    assert max((ours - before).abs().max() for ours, before in moved) > 1e-2  # far more than the tolerance


def test_the_share_that_is_kept_grows_with_the_schedule():
    """α_t of what was observed: teacher's predictions for the target, about 1 of 81 pixels."""
    for alpha, wanted in (((0.4, 0.0), (0.4, 0.2, 0.1)), ((0.4, 0.4), (0.4, 0.4, 0.4))):
        for step, share in zip((0, 2, 3), wanted, strict=True):
            method, seen = make_method(alpha=alpha), []
            observe, batch = method.window.observe, make_batch(size=(192, 256))
            method.window.observe = lambda probs, *more, seen=seen, observe=observe: (
                seen.append(probs) or observe(probs, *more)
            )
            method.schedule(step)  # of 4 steps
            method.ask_teacher(batch.target)
            assert seen[0].numel() >= 2 * 4 * 192 * 256 / 90 and len(seen[0]) == 2
            labels = method.window.label(seen[0])
            assert (labels == minida.IGNORE).float().mean().item() == pytest.approx(share, abs=0.01)


def believing(method, labels):
    """The method, whose teacher is taken to be sure of these labels."""
    method.window.label = lambda probs: labels
    return method


def test_a_pixel_weighs_more_where_few_are_kept():
    """λ_u = 1 / kept, beside the mean over what is kept."""
    labels = make_batch(5).source_labels
    for rows in (0, 32, 48):
        some = labels.clone()
        some[:, :rows] = minida.IGNORE
        method = believing(make_method(cutmix=False, lambda_c=0.0), some)
        model = copy.deepcopy(method.model).train()
        model(make_batch().source)
        out = model(make_batch().target)
        mean = sum(F.cross_entropy(head, some, ignore_index=255) for head in (out.logits, *out.aux))
        weight = some.numel() / (some != 255).sum()
        assert method.step(make_batch())["unsupervised"].item() == pytest.approx((weight * mean).item(), rel=1e-5)


@pytest.mark.parametrize("batch_norm", ["joint", "target"])
def test_where_everything_is_unreliable_the_pseudo_labels_teach_nothing(batch_norm):
    method = believing(make_method(batch_norm=batch_norm), torch.full((2, 64, 96), minida.IGNORE))
    for number in range(2):
        terms = method.step(make_batch(number))
        assert terms["unsupervised"].item() == 0 and terms["contrastive"].item() > 0
    for network in method.networks.values():
        assert all(value.isfinite().all() for value in network.state_dict().values())
    none = make_method(batch_norm=batch_norm, alpha=(1.0, 1.0))
    assert none.step(make_batch())["unsupervised"].item() == 0


def test_a_batch_without_a_single_label_is_no_nan():
    ignored = torch.full((2, 64, 96), minida.IGNORE)
    method = believing(make_method(), ignored)
    terms = method.step(make_batch()._replace(source_labels=ignored))
    assert [terms[name].item() for name in ("supervised", "unsupervised", "contrastive", "loss")] == [0, 0, 0, 0]
    assert all(value.isfinite().all() for value in method.model.state_dict().values())


def test_labels_of_the_target_are_not_looked_at():
    plain, given = make_method(), make_method()
    plain.step(make_batch())
    given.step(make_batch()._replace(pseudo_labels=make_batch(3).source_labels))
    assert same(plain.model, given.model) and U2PL.uses_target


def test_the_teacher_follows_and_is_not_the_student():
    method = make_method()
    teacher = method.networks["teacher"]
    assert same(teacher, method.model)
    method.step(make_batch(0))
    assert same(teacher, method.model), "the first update copies"
    modes = []
    teacher.register_forward_hook(lambda part, *_: modes.append((part.training, torch.is_grad_enabled())))
    method.step(make_batch(1))
    assert not same(teacher, method.model) and modes == [(False, False)] * 2
    assert not {id(p) for p in teacher.parameters()} & {
        id(p) for optimizer in method.optimizers.values() for group in optimizer.param_groups for p in group["params"]
    }


def test_the_student_sees_mixed_images_and_the_teacher_whole_ones():
    seen = {}
    for cutmix in (True, False):
        method, images = make_method(cutmix=cutmix), []
        method.model.register_forward_pre_hook(lambda part, given, images=images: images.append(given[0]))
        method.networks["teacher"].register_forward_pre_hook(lambda part, given, images=images: images.append(given[0]))
        method.step(make_batch())
        seen[cutmix] = images
    batch = make_batch()
    for images in seen.values():  # the teacher's target, the student's source and target, the teacher's source
        assert [image.equal(batch.source) for image in images] == [False, True, False, True]
        assert images[0].equal(batch.target)
    assert seen[False][2].equal(batch.target) and not seen[True][2].equal(batch.target)
    changed = (seen[True][2] != batch.target).any(1).float().mean((1, 2))
    assert changed.tolist() == pytest.approx([0.5, 0.5], abs=0.07)


def test_what_the_teacher_says_is_cut_like_the_images():
    """The view of the contrastive term: keys, probabilities and labels show in each cell the same image's."""
    method, batch, seen = make_method(), make_batch(), []
    teacher, contrast = copy.deepcopy(method.networks["teacher"]), method.contrast
    method.contrast = lambda view, number: seen.append(view) or contrast(view, number)
    method.step(batch)
    with torch.no_grad():
        source, own = (teacher(images).embedding for images in (batch.source, batch.target))
    other = own.flip(0)
    torch.testing.assert_close(seen[0].keys[:2], source, rtol=0, atol=1e-5)
    mixed = torch.zeros(2, 8, 12, dtype=torch.bool)
    for i, box in enumerate(boxes(2, (64, 96), (0, 0, 0))):
        top, left, bottom, right = (side // 8 for side in box)
        mixed[i, top:bottom, left:right] = True
    wanted = torch.where(mixed[:, None], other, own)
    torch.testing.assert_close(seen[0].keys[2:], wanted, rtol=0, atol=1e-5)
    assert (wanted - own).abs().max() > 1e-3


def test_without_weight_there_is_no_embedding_and_no_bank():
    method = make_method(lambda_c=0.0)
    assert method.model.embedding is None and set(method.memory) == {"ema", "window"}
    assert set(method.step(make_batch())) == {"supervised", "unsupervised", "loss"}
    method = make_method(embedding=24, bank=77)
    assert method.model.embedding_width == 24 and method.contrast.bank.keys.shape == (4 * 77 + 1, 24)
    assert set(method.memory) == {"ema", "window", "bank"}


def test_the_term_has_its_weight():
    found = [make_method(lambda_c=weight).step(make_batch())["contrastive"].item() for weight in (0.5, 2.0)]
    assert found[1] == pytest.approx(4 * found[0]) and found[0] > 0


class Watch(TorchDispatchMode):
    """Records what would make the processor wait for a device: a number read, or a size that depends on values."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, kinds, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        indices = args[1] if name.startswith("index") and isinstance(args[1], list | tuple) else ()
        masked = any(part is not None and part.dtype in (torch.bool, torch.uint8) for part in indices)
        waits = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "repeat_interleave", "equal")
        if masked or name.startswith(waits):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("batch_norm", ["joint", "target"])
def test_a_step_between_two_fits_waits_for_no_device(monkeypatch, batch_norm):
    monkeypatch.setattr(base, "_check_probabilities", lambda *extremes: None)  # on a GPU it is done where it fits
    method = make_method(batch_norm=batch_norm)
    method.step(make_batch())
    score, keep = method.window.strategy.thresholds
    method.window.strategy.thresholds = Thresholds(score, keep.numpy())  # these are on the CPU wherever one trains
    with Watch() as watch:
        method.step(make_batch(1))
    assert watch.found == []
    with Watch() as watch:  # it does find what it looks for
        ones = torch.ones(3)
        ones[ones > 0], bool(ones.any()), ones.nonzero()
    assert watch.found[1:] and {"index", "_local_scalar_dense", "nonzero"} <= set(watch.found)


def test_both_networks_run_in_the_precision_of_the_configuration():
    method, seen = make_method(precision="bfloat16"), []
    for network in method.networks.values():
        network.fusion.register_forward_hook(lambda part, inputs, output: seen.append(output.dtype))
    terms = method.step(make_batch())
    assert seen == [torch.bfloat16] * 4 and all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (100, 84)])
def test_a_sampled_pixel_lies_in_the_cell_it_stands_for(size):
    maps = torch.arange(size[0] * size[1]).reshape(1, *size)
    few = [-(-side // 8) for side in size]
    small = sampled(maps, few)[0]
    for i in range(few[0]):
        for j in range(few[1]):
            y, x = divmod(small[i, j].item(), size[1])
            assert (y, x) == (min(8 * i + 4, size[0] - 1), min(8 * j + 4, size[1] - 1))
            assert (y // 8, x // 8) == (i, j), "CutMix cuts along the cells"


def test_any_size_will_do():
    method = make_method()
    terms = method.step(make_batch(size=(36, 52)))
    assert all(term.isfinite() for term in terms.values()) and terms["contrastive"] > 0


def test_the_bank_and_the_window_see_the_whole_training(monkeypatch):
    """What a step is told of the training's progress, and of its number; and the learning rate."""
    method, told = make_method(), types.SimpleNamespace(progress=[], numbers=[], ids=[])
    observe, contrast = method.window.observe, method.contrast

    def watch(view, number):
        told.numbers.append(number)
        told.ids.append(view.ids.tolist())
        return contrast(view, number)

    method.window.observe = lambda probs, progress: told.progress.append(progress) or observe(probs, progress)
    method.contrast = watch
    for step in range(3):
        method.schedule(step)
        method.step(make_batch(step))
    assert method.optimizers["model"].param_groups[0]["lr"] == pytest.approx(8e-2 * 0.5**0.9)
    assert told.progress == [0, 0.25, 0.5] and told.numbers == [0, 1, 2]
    assert sum(told.ids, []) == list(range(12)), "in each step other numbers"
