"""What tests/test_distributed.py starts twice with torchrun: `python two_processes.py WAY FOLDER`.

Every process writes what it found to FOLDER/WAY-RANK.json: gloo may abort at exit, after the work is done.
"""

import minida  # noqa: I001 (before torch)

import functools
import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from minida import distributed, evaluation
from minida.__main__ import main
from minida.data import Augmentation, TrainingBatches, evaluation_batches
from minida.data.pseudo import store_labels
from minida.inference import label_dataset
from minida.labeling import DARS, label_images
from minida.losses import cross_entropy
from minida.methods import Supervised, contrast, u2pl
from minida.metrics import ConfusionMatrix

SHORT = {"source": "minicity:real?n=13", "batch_size": 4, "steps": 6, "eval_every": 3, "lr": 0.01}
SHORT |= {"precision": "float32", "progress": False}


class NoNorm(nn.Identity):
    """Stands where batch norm stood: without it two processes must compute what one does."""


class Recorded(ConfusionMatrix):
    counted: list = []

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.counted.append(self)


def uneven_loss():
    """A batch of 4 of which the ignored pixels lie in the second half: this process's mean, and the whole one."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float32)
    labels = torch.randint(0, 3, (4, 8, 8), generator=generator)
    labels[1::2, 1:] = minida.IGNORE
    share = slice(distributed.rank(), None, distributed.world_size())
    return cross_entropy(logits[share].requires_grad_(), labels[share])


def contrastive_steps():
    """U2PL's term on this process's share of eight images, step by step: mean loss, size of the gradient, bank."""
    bank, found = contrast.MemoryBank(6, 8, 20), []
    term = contrast.Contrast(bank, anchors=7, negatives=9)
    share = slice(distributed.rank(), None, distributed.world_size())
    for number in range(4):
        generator = torch.Generator().manual_seed(number)
        labels = torch.randint(0, 6, (8, 5, 6), generator=generator)
        labels[torch.rand(8, 5, 6, generator=generator) < 0.4] = minida.IGNORE
        labels[number] = minida.IGNORE  # one process has fewer anchors and negatives
        labels[labels == number] = minida.IGNORE
        embedding, keys = torch.randn(2, 8, 8, 5, 6, generator=generator)
        probs = (2 * torch.randn(8, 6, 5, 6, generator=generator)).softmax(1)
        everything = embedding, keys, probs, labels, torch.arange(8) + 8 * number
        *mine, ids = (torch.cat((part[:4][share], part[4:][share])) for part in everything)
        view = contrast.View(mine[0].requires_grad_(), *mine[1:], labelled=len(ids) // 2, ids=ids)
        loss = term(view, number)
        loss.backward()
        sizes = distributed.average(torch.stack((loss.detach(), view.embedding.grad.abs().sum())))
        found.append([*sizes.tolist(), *bank.keys[:-1].flatten().tolist(), *bank.written.tolist()])
    return found


def parts(folder):
    """Every collective and everything that shares work, one by one."""
    with distributed.process_group():  # a group of its own, before the one that is tested
        distributed.total(torch.ones(1))
    with distributed.process_group():
        rank, found = distributed.rank(), {}
        found["total"] = distributed.total(torch.tensor([1, 10 + rank])).tolist()
        found["counts"] = distributed.total(ConfusionMatrix(2).counts + rank + 1).tolist()
        found["any"] = [bool(flag) for flag in distributed.any_process(rank == 1, False)]
        found["broadcast"] = distributed.broadcast({"from": rank})
        mine = uneven_loss()
        found["loss"], found["mean"] = mine.item(), distributed.average(mine.detach()).item()
        data = minida.data.MiniCity("real", size=(32, 64), n=13)
        batches = TrainingBatches(data, data, batch_size=4, augmentation=Augmentation((32, 64)), seed=3)
        found["contrast"] = contrastive_steps()
        found["images"] = batches.source.samples(5)
        evaluation.ConfusionMatrix = Recorded
        torch.manual_seed(0)
        found["miou"] = minida.evaluate(minida.BiSeNet(19, "slim"), data, 4, precision="float32").miou
        found["confusion"] = Recorded.counted[-1].counts.tolist()
        network = nn.BatchNorm2d(2)
        network.running_mean.fill_(float(rank))
        distributed.average_statistics([network])
        found["running mean"] = network.running_mean.tolist()
    return found


def training(folder):
    """Without batch norm, as one process; with it, statistics of both."""
    norm = nn.BatchNorm2d
    nn.BatchNorm2d = NoNorm
    with distributed.process_group():
        rank = distributed.rank()
        result = minida.train("supervised", "smoke", out=folder / "plain", **SHORT)
        options = {**SHORT, "source": "minicity:game?n=13", "discriminator": "fcd", "discriminator_width": 8}
        # SGD: Adam divides by the gradient's size, so that rounding decides where a gradient is nearly 0
        options |= {"lambda_adv": 0.5, "discriminator_optimizer": "sgd", "discriminator_lr": 0.3}
        minida.train("adversarial", "smoke", out=folder / "adversarial", target="minicity:real?n=13", **options)
        # eleven steps: thresholds are fitted twice, the bank goes round; without batch norm a teacher is sure of little
        contrast.anchors_of = functools.partial(contrast.anchors_of, sure=0.05)
        u2pl.Contrast = functools.partial(contrast.Contrast, anchors=16, negatives=10)
        options = {**SHORT, "source": "minicity:game?n=13", "target": "minicity:real?n=13", "steps": 11, "lr": 0.05}
        options |= {"cutmix": False, "lambda_c": 0.5, "embedding": 8, "bank": 100}  # CutMix pairs images of a process
        minida.train("u2pl", "smoke", out=folder / "u2pl", **options)
        options = {**SHORT, "source": "minicity:game?n=13", "target": "minicity:real?n=13", "discriminator": "none"}
        for feedback in ("meta", "product"):  # the consistency's noise is each process's own
            options |= {"feedback": feedback, "student": "scratch", "consistency": "none", "strategy": "dars"}
            minida.train("mpl", "smoke", out=folder / f"mpl-{feedback}", **options)
        nn.BatchNorm2d = norm
        pair = {**SHORT, "target": "minicity:real?n=13", "batch_norm": "joint"}
        normed = minida.train("adversarial", "smoke", out=folder / f"normed-{rank}", **pair)
        average = [(name, value) for name, value in normed.model.named_buffers() if "running_mean" in name]
    return {
        "history": result.history,
        "folder": str(normed.folder),
        "statistics": {name: value.tolist() for name, value in average},
    }


def labelling(folder):
    """A teacher's labels in one file, the verb's, of one image for both, and a run that learns from them."""
    norm = nn.BatchNorm2d
    with distributed.process_group():
        torch.manual_seed(0)
        teacher, data = minida.BiSeNet(19, "slim"), minida.data.MiniCity("real", size=(32, 64), n=13)
        data.spec, batches = "streets", evaluation_batches(data, batch_size=2, with_labels=False)
        stored = store_labels(
            data, folder / "labels.npy", lambda: label_images(teacher, DARS([1] * 19, 0.9), batches, bar=False)
        )
        found = {"share": len(list(batches)), "last": stored.labels(12).tolist(), "images": len(stored)}
        store_labels(data, folder / "labels.npy", None)  # whole already: no process labels
        found["quality"] = label_dataset(
            teacher, DARS([1] * 19, 0.9), data, range(1, 20), folder / "pngs", False, False
        )
        single = evaluation_batches(minida.data.MiniCity("real", size=(32, 64), n=1), with_labels=False)
        found["single"] = len(list(label_images(teacher, DARS([1] * 19, 0.9), single, bar=False)))
        nn.BatchNorm2d = NoNorm
        options = {**SHORT, "source": "minicity:game?n=13", "target": "minicity:real?n=13", "steps": 3}
        result = minida.train("dars", "smoke", out=folder / "dars", ratio=0.4, centroids=0.5, **options)
        found["history"] = result.history
    nn.BatchNorm2d = norm
    return found


def breaking(way, folder):
    """A run in which process 1 fails at step 3: by an error, killed, or all of them interrupted."""
    plain, calls = Supervised.step, []

    def step(self, batch):
        calls.append(1)
        if len(calls) == 3 and distributed.rank() == 1:
            if way == "error":
                raise ValueError("images/007.png: cannot be read; copy it again")
            os.kill(*{"killed": (os.getpid(), signal.SIGKILL), "stopped": (os.getppid(), signal.SIGINT)}[way])
        return plain(self, batch)

    Supervised.step = step
    options = ["--source", "minicity:real?n=13", "--batch-size", "4", "--steps", "60", "--precision", "float32"]
    return main(["train", "supervised", "--preset", "smoke", *options, "--out", str(folder / way), "--json"])


if __name__ == "__main__":
    way, folder = sys.argv[1], Path(sys.argv[2])
    if way in ("error", "killed", "stopped"):
        sys.exit(breaking(way, folder))
    found = {"parts": parts, "training": training, "labelling": labelling}[way](folder)
    (folder / f"{way}-{os.environ.get('RANK', 'alone')}.json").write_text(json.dumps(found))
