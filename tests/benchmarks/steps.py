"""What a step costs in numbers: `python tests/benchmarks/steps.py` (an idle machine, about two minutes).

One thread, each bound a ratio of this one run. The contrastive term with its gradient (19 classes, 256 anchors, 50
negatives, four images of 64x128 features, 256 wide, a full bank) against a loop over classes with boolean masks and
lists of keys, once with negatives for each anchor, as the released code draws them, and once with those of the class.
U2PL's whole step against the supervised one, Meta Pseudo Labels' against one on pseudo-labels, preset notebook. Exits
with 1 where a bound is missed.
"""

import minida  # noqa: I001 (before torch)

import statistics
import sys
import time
from functools import partial

import torch
import torch.nn.functional as F

from minida.methods import METHODS, configure
from minida.methods.contrast import Contrast, MemoryBank, View

CLASSES, ANCHORS, NEGATIVES, WIDTH, LENGTH = 19, 256, 50, 256, 30_000
SIZE = 64, 128  # of the features of an image of 512x1024


def seconds(ways, repeats):
    """Median seconds of each way, run in turn so that a noisy moment hits all alike; the first turn warms up."""
    times = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if repeat:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def make_view():
    """Two labelled and two unlabelled images in blocks; the teacher is right about most, and a fifth has no label."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, CLASSES, (4, SIZE[0] // 8, SIZE[1] // 8), generator=generator)
    labels = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)
    logits = torch.randn(4, CLASSES, *SIZE, generator=generator)
    logits += 3 * F.one_hot(labels, CLASSES).movedim(3, 1)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = minida.IGNORE
    embedding, keys = torch.randn(2, 4, WIDTH, *SIZE, generator=generator)
    return View(embedding.requires_grad_(), keys, logits.softmax(1), labels, 2, torch.arange(4))


def ours(view):
    bank = MemoryBank(CLASSES, WIDTH, LENGTH)
    bank.keys.normal_()
    bank.written.fill_(LENGTH)
    contrast = Contrast(bank, ANCHORS, NEGATIVES)
    return lambda: contrast(view, 0).backward()


class Loop:
    """The plain way: for each class masks, lists, torch.cat, and a loss of its own."""

    def __init__(self, view, per_anchor):
        self.view, self.per_anchor = view, per_anchor
        self.keys = [[F.normalize(torch.randn(LENGTH, WIDTH), dim=1)] for _ in range(CLASSES)]

    def push(self, c, keys):
        queue = torch.cat([*self.keys[c], keys])
        self.keys[c] = [queue[max(0, len(queue) - LENGTH) :]]  # the oldest go

    def __call__(self):
        view, total = self.view, 0
        embedding, keys = (part.movedim(1, -1) for part in (view.embedding, view.keys))  # (B, h, w, E)
        ranks = view.probs.argsort(1, descending=True).argsort(1)
        labelled = (torch.arange(len(view.labels)) < view.labelled)[:, None, None]
        ignored = view.labels == minida.IGNORE
        for c in range(CLASSES):
            own = (view.labels == c) & (view.probs[:, c] > 0.3)
            likely = labelled & ~ignored & (view.labels != c) & (ranks[:, c] < 3)
            doubted = ~labelled & ignored & (ranks[:, c] >= 3) & (ranks[:, c] < 20)
            found = keys[likely | doubted]
            self.push(c, F.normalize(found[torch.randperm(len(found))[:ANCHORS]], dim=1))
            anchors = embedding[own]
            if len(anchors) == 0:
                continue
            positive = anchors.mean(0).detach()
            anchors = anchors[torch.randint(len(anchors), (ANCHORS,))]
            queue = self.keys[c][0]
            if self.per_anchor:
                others = queue[torch.randint(len(queue), (ANCHORS * NEGATIVES,))].view(ANCHORS, NEGATIVES, WIDTH)
                candidates = torch.cat((positive.expand(ANCHORS, 1, -1), others), 1)
                logits = F.cosine_similarity(anchors[:, None], candidates, dim=2)  # (M, 1 + N)
            else:
                others = queue[torch.randint(len(queue), (NEGATIVES,))]
                candidates = F.normalize(torch.cat((positive[None], others)), dim=1)
                logits = F.normalize(anchors, dim=1) @ candidates.T
            total = total + F.cross_entropy(logits / 0.5, torch.zeros(ANCHORS, dtype=torch.long))
        (total / CLASSES).backward()


def steps():
    """One step of each method, preset notebook; self-training and Meta Pseudo Labels without discriminators."""
    alone = {"discriminator": "none", "batch_norm": "separate"}
    cases = {
        "supervised": ("supervised", {}), "u2pl": ("u2pl", {}), "pseudo-labels": ("self-training", alone),
        "mpl, product": ("mpl", {"feedback": "product", **alone}), "mpl, meta": ("mpl", {"feedback": "meta", **alone}),
    }  # fmt: skip
    generator, ways = torch.Generator().manual_seed(0), {}
    for name, (method, options) in cases.items():
        config = configure(method, "notebook", precision="float32", **options)
        images = torch.randn(2, config.batch_size, 3, *config.size, generator=generator)
        source, target = (part.contiguous(memory_format=torch.channels_last) for part in images)
        labels = torch.randint(0, CLASSES, (config.batch_size, *config.size), generator=generator)
        model = minida.BiSeNet(CLASSES, config.backbone, None, METHODS[method].embedding(config))
        learner = METHODS[method](config, model.to(memory_format=torch.channels_last))
        batch = minida.Batch(source, labels, None if method == "supervised" else target)
        batch = batch._replace(pseudo_labels=labels) if method == "self-training" else batch
        ways[name] = partial(learner.step, batch)
    return ways


def main():
    torch.set_num_threads(1)
    size = f"{CLASSES} classes, {ANCHORS} anchors, {NEGATIVES} negatives, 4 x {SIZE[0]}x{SIZE[1]} x {WIDTH}"
    print(f"torch {torch.__version__}, one thread, {size}, {LENGTH} keys a class")
    view = make_view()
    ways = {"ours": ours(view), "per anchor": Loop(view, True), "per class": Loop(view, False)}
    times, missed = seconds(ways, 5), []
    for name, least in (("per anchor", 5), ("per class", None)):
        ratio, bound = times[name] / times["ours"], "" if least is None else f" (at least {least}x)"
        line = f"loop {1e3 * times[name]:8.1f} ms, ours {1e3 * times['ours']:8.1f} ms: {ratio:5.2f}x"
        print(f"{'contrastive, negatives ' + name:36s} {line}{bound}")
        missed += [name] * (least is not None and ratio < least)
    times = seconds(steps(), 9)
    for name, base, most in (
        ("u2pl", "supervised", 4), ("mpl, product", "pseudo-labels", 3), ("mpl, meta", "pseudo-labels", 3.3),
    ):  # fmt: skip
        ratio = times[name] / times[base]
        line = f"{base} {1e3 * times[base]:.1f} ms, {name} {1e3 * times[name]:.1f} ms: {ratio:5.2f}x"
        print(f"{'training step, preset notebook':36s} {line} (at most {most}x)")
        missed += [name] * (ratio > most)
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
