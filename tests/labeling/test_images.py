"""Predictions and pseudo-labels of many images: two passes, in order, by a strategy that sees no labels."""

import pytest
import torch
from torch import nn

from minida.data.minicity import MiniCity
from minida.labeling import Confidence, label_images, predict
from minida.models import BiSeNet


class Slanted(nn.Module):
    """A network whose three probabilities depend on the colour and on the column, so that a mirror image differs."""

    num_classes = 3

    def __init__(self):
        super().__init__()
        self.weight, self.seen = nn.Parameter(torch.ones(())), []

    def probs(self, images):
        self.seen.append((images.clone(), torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()))
        columns = torch.arange(images.shape[3]).expand_as(images[:, 0])
        logits = torch.stack((images[:, 0] * self.weight, 0.3 * columns - 0.5, images[:, 2]), 1)
        return logits.softmax(1)


class Unread:
    """Stands for an image's labels: whoever looks at them fails."""

    def __getattribute__(self, name):
        raise AssertionError("labels were looked at")


class Batches:
    """Five images in batches of two, as a loader gives them; counts how often it is gone through."""

    ids = (7, 3, 11, 0, 20)

    def __init__(self):
        self.images = torch.randn(5, 3, 4, 6, generator=torch.Generator().manual_seed(0))
        self.passes = 0

    def __len__(self):
        return 3

    def __iter__(self):
        self.passes += 1
        for start in (0, 2, 4):
            part = slice(start, start + 2)
            yield self.images[part], [Unread()] * 2, torch.tensor(self.ids[part])


class Listening:
    """Writes down what it is asked; labels an image by its id."""

    def __init__(self):
        self.calls, self.probs = [], []

    def reset(self):
        self.calls.append("reset")

    def observe(self, probs):
        self.calls.append(("observe", len(probs)))
        self.probs.append(probs)

    def fit(self, progress):
        self.calls.append(("fit", progress))

    def label(self, probs, ids):
        self.calls.append(("label", len(probs)))
        self.probs.append(probs)
        return ids[:, None, None].expand(probs[:, 0].shape).long()


def test_a_prediction_is_averaged_with_the_mirror_images_by_hand():
    network, images = Slanted(), torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    plain, both = predict(network, images), predict(network, images, flip=True)
    for y in range(4):
        for x in range(6):  # the pixel in column x lies in column 5 - x of the mirror image, and is seen there

            def seen(column, y=y, x=x):
                logits = (images[:, 0, y, x], torch.full((2,), 0.3 * column - 0.5), images[:, 2, y, x])
                return torch.stack(logits, 1).softmax(1)

            torch.testing.assert_close(plain[:, :, y, x], seen(x))
            torch.testing.assert_close(both[:, :, y, x], (seen(x) + seen(5 - x)) / 2)
    assert (plain - both).abs().max() > 0.05
    assert not both.requires_grad and not plain.requires_grad and both.dtype == torch.float32
    assert [len(network.seen), *(grad for *_, grad in network.seen)] == [3, False, False, False]


def test_two_passes_in_order_and_no_label_is_looked_at():
    batches, strategy, network = Batches(), Listening(), Slanted()
    planes = list(label_images(network, strategy, batches, 0.25, bar=False))
    observed, labelled = ([(what, count) for count in (2, 2, 1)] for what in ("observe", "label"))
    assert strategy.calls == ["reset", *observed, ("fit", 0.25), *labelled] and batches.passes == 2
    assert [int(plane[0, 0]) for plane in planes] == list(batches.ids)
    assert all(plane.shape == (4, 6) and plane.dtype == torch.uint8 for plane in planes)
    for first, second in zip(strategy.probs[:3], strategy.probs[3:], strict=True):
        assert torch.equal(first, second)
    assert torch.equal(torch.cat([images for images, *_ in network.seen[:3]]), batches.images)
    assert not any(mixed for _, mixed, _ in network.seen)


def test_flip_and_precision_reach_the_network():
    plain, mirrored, network = Listening(), Listening(), Slanted()
    list(label_images(network, plain, Batches(), bar=False))
    network.seen.clear()
    list(label_images(network, mirrored, Batches(), flip=True, mixed=True, bar=False))
    assert len(network.seen) == 12 and all(mixed for _, mixed, _ in network.seen)
    for part in range(6):
        assert (plain.probs[part] - mirrored.probs[part]).abs().max() > 0.01
    assert torch.equal(network.seen[0][0].flip(3), network.seen[1][0])


def test_it_labels_as_the_strategy_does_by_hand_and_forgets_what_was_before():
    batches = Batches()
    probs = torch.cat([Slanted().probs(images) for images, *_ in batches]).detach()
    strategy, wanted = Confidence(3, ratio=(0.2, 0.6)), Confidence(3, ratio=0.4)
    strategy.observe(torch.eye(3)[:, :, None, None])  # of another set: three pixels that are certain
    wanted.observe(probs)
    wanted.fit()
    planes = torch.stack(list(label_images(Slanted(), strategy, batches, 0.5, bar=False)))
    assert torch.equal(planes.long(), wanted.label(probs))
    assert (planes != 255).float().mean().item() == pytest.approx(0.4, abs=0.02)


def test_a_process_without_images_fits_with_the_others():
    """Otherwise they would wait for it for ever."""
    strategy = Listening()
    assert list(label_images(Slanted(), strategy, [], bar=False)) == []
    assert strategy.calls == ["reset", ("fit", 0.0)]


def test_the_networks_mode_and_averages_stay_as_they_were():
    torch.manual_seed(0)
    network, data = BiSeNet(19, "slim").train(), MiniCity("real", size=(32, 64), n=2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.stack([data.image(0), data.image(1)]).float() / 255
    planes = list(label_images(network, Confidence(19, ratio=0.5), [(images, None, torch.arange(2))], bar=False))
    assert len(planes) == 2 and network.training
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
