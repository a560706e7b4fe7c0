"""U2PL's contrastive term against loops over classes, pixels, anchors and negatives, written from the note."""

import math
from collections import deque

import pytest
import torch

from minida import IGNORE
from minida.labeling.base import uniform
from minida.methods.contrast import (
    Contrast,
    MemoryBank,
    View,
    anchors_of,
    contrastive_loss,
    first_of_each,
    labelled_negatives,
    unlabelled_negatives,
)  # fmt: skip


def make_view(classes=5, number=0, size=(4, 6), width=8, images=2, absent=()):
    """Twice `images` images; some labels are IGNORE, and none is of an absent class."""
    generator = torch.Generator().manual_seed(number)
    labels = torch.randint(0, classes, (2 * images, *size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.35] = IGNORE
    for c in absent:
        labels[labels == c] = IGNORE
    shape = 2 * images, width, *size
    return View(
        embedding=torch.randn(shape, generator=generator).requires_grad_(),
        keys=torch.randn(shape, generator=generator),
        probs=(2 * torch.randn(2 * images, classes, *size, generator=generator)).softmax(1),
        labels=labels, labelled=images, ids=torch.arange(2 * images) + 100 * number,
    )  # fmt: skip


def cosine(a, b):
    return (a * b).sum() / (a.norm() * b.norm())


class Loops:
    """Algorithm 1 as it is written; each class has a list of keys of its own, the oldest first."""

    def __init__(self, classes, length, anchors=256, negatives=50, seed=0):
        self.anchors, self.negatives, self.seed, self.length = anchors, negatives, seed, length
        self.keys = [deque(maxlen=length) for _ in range(classes)]
        self.pushed = [0] * classes

    def masks(self, view):
        """The pixels (image, row, column) that are anchors, and those that are negatives, of each class."""
        classes = view.probs.shape[1]
        anchors, negatives = [[] for _ in range(classes)], [[] for _ in range(classes)]
        images, rows, columns = view.labels.shape
        for pixel in ((b, i, j) for b in range(images) for i in range(rows) for j in range(columns)):
            b, i, j = pixel
            p, label = view.probs[b, :, i, j].tolist(), view.labels[pixel].item()
            ranked = sorted(range(classes), key=lambda c, p=p: -p[c])  # O(argmax p) = 0
            for c in range(classes):
                if label == c and p[c] > 0.3:
                    anchors[c].append(pixel)
                if b < view.labelled:
                    negative = label not in (c, IGNORE) and ranked.index(c) < 3
                else:
                    negative = label == IGNORE and 3 <= ranked.index(c) < 20
                if negative:
                    negatives[c].append(pixel)
        return anchors, negatives

    def __call__(self, view, number):
        chance = uniform(self.seed, view.ids, view.labels)
        drawn = torch.rand(
            len(self.keys), self.negatives, generator=torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        )
        anchors, negatives = self.masks(view)
        loss = 0 * view.embedding.sum()
        for c in range(len(self.keys)):
            self.push(c, view.keys, sorted(negatives[c], key=lambda pixel: chance[pixel].item())[: self.anchors])
            keys = [self.key(c, share) for share in drawn[c].tolist()] if self.keys[c] else []
            if not (anchors[c] and keys):
                continue
            positive = sum(view.embedding[b, :, i, j].detach() for b, i, j in anchors[c]) / len(anchors[c])
            chosen = sorted(anchors[c], key=lambda pixel: chance[pixel].item())[: self.anchors]
            for b, i, j in chosen:
                z = view.embedding[b, :, i, j]
                same = (cosine(z, positive) / 0.5).exp()
                other = sum((cosine(z, key) / 0.5).exp() for key in keys)
                loss = loss - (same / (same + other)).log() / len(chosen) / len(self.keys)
        return loss

    def push(self, c, keys, pixels):
        for b, i, j in pixels[: self.length]:
            key = keys[b, :, i, j]
            self.keys[c].append((key / key.norm()).half().float())
            self.pushed[c] += 1

    def key(self, c, share):
        """The key in the place of a ring that is meant: its first place is where the first key of all went."""
        held, oldest = len(self.keys[c]), self.pushed[c] % self.length if len(self.keys[c]) == self.length else 0
        return self.keys[c][(int(share * held) - oldest) % held]


def pixels(mask):
    """(B, C, h, w) bool -> for each class the pixels where it holds."""
    return [[tuple(pixel) for pixel in mask[:, c].nonzero().tolist()] for c in range(mask.shape[1])]


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 19, 24])
def test_anchors_and_negatives_are_those_of_the_equations(classes):
    view, n = make_view(classes, absent=(1,)), 2
    anchors, negatives = Loops(classes, 10).masks(view)
    assert pixels(anchors_of(view.probs, view.labels)) == anchors
    ours = torch.cat((
        labelled_negatives(view.probs[:n], view.labels[:n]),
        unlabelled_negatives(view.probs[n:], view.labels[n:] == IGNORE),
    ))  # fmt: skip
    assert pixels(ours) == negatives
    assert not anchors[1] and any(anchors)
    assert any(pixel[0] < n for pixel in sum(negatives, [])), "labelled pixels do become negatives"
    assert any(pixel[0] >= n for pixel in sum(negatives, [])) == (classes > 3), (
        "O(c) < 3 leaves nothing below 4 classes"
    )


def test_masks_by_hand():
    """Two pixels of five classes whose probabilities fall from class 4 to class 0."""
    probs = torch.tensor([0.05, 0.1, 0.15, 0.3, 0.4])[None, :, None, None].expand(1, 5, 1, 2)
    labels = torch.tensor([[[3, IGNORE]]])
    assert not anchors_of(probs, labels).any(), "0.3 is not more than 0.3"
    assert pixels(anchors_of(probs, torch.tensor([[[4, IGNORE]]]))) == [[], [], [], [], [(0, 0, 0)]]
    assert pixels(labelled_negatives(probs, labels)) == [[], [], [(0, 0, 0)], [], [(0, 0, 0)]]
    assert pixels(unlabelled_negatives(probs, labels == IGNORE)) == [[(0, 0, 1)], [(0, 0, 1)], [], [], []]
    assert pixels(unlabelled_negatives(probs, labels == IGNORE, high=4)) == [[], [(0, 0, 1)], [], [], []]


def test_the_loss_by_hand():
    """One class of two anchors, beside one without weight: cosines 1 and 0 with z+, 0 and 1 with the negative."""
    anchors = torch.tensor([[[2.0, 0], [0, 5]], [[1, 1], [1, 1]]])
    positives, negatives = torch.tensor([[3.0, 0], [1, 0]]), torch.tensor([[[0.0, 7]], [[1, 0]]])
    first, second = (math.log(math.exp(a / 0.5) / (math.exp(a / 0.5) + math.exp((1 - a) / 0.5))) for a in (1, 0))
    weights = torch.tensor([[0.5, 0.5], [0, 0]])
    loss = contrastive_loss(anchors, positives, negatives, weights)
    assert loss.item() == pytest.approx(-(first + second) / 2 / 2)
    colder = contrastive_loss(anchors, positives, negatives, weights, temperature=0.25)
    assert colder.item() == pytest.approx(-(math.log(1 / (1 + math.exp(-4))) + math.log(1 / (1 + math.exp(4)))) / 4)


def test_the_first_of_each_class_in_a_common_order():
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(4, 30, generator=generator) < torch.tensor([0.0, 0.1, 0.5, 1.0])[:, None]
    order = torch.randperm(30, generator=generator)
    chosen, counts = first_of_each(mask, order, 12)
    assert chosen.shape == (4, 12)
    for c in range(4):
        wanted = [place for place in order.tolist() if mask[c, place]][:12]
        assert counts[c] == len(wanted) and chosen[c, : counts[c]].tolist() == wanted
    assert counts[0] == 0 and 0 < counts[1] < counts[2] <= 12 == counts[3]
    assert first_of_each(mask, order, 40)[1].tolist() == mask.sum(1).tolist(), "more are wanted than there are"


@pytest.mark.parametrize(("classes", "absent"), [(5, ()), (5, (0, 3)), (2, ()), (3, ()), (22, (1,))])
def test_the_term_is_the_loops(classes, absent):
    """Value and gradient of four steps, in which the bank fills up and goes round."""
    bank = MemoryBank(classes, 8, 23)
    ours, loops = Contrast(bank, 9, 7, seed=3), Loops(classes, 23, 9, 7, seed=3)
    for number in range(4):
        view = make_view(classes, number, absent=absent)
        loss, wanted = ours(view, number), loops(view, number)
        assert wanted.item() > 0.02 and loss.item() == pytest.approx(wanted.item(), abs=1e-5)
        gradients = [torch.autograd.grad(each, view.embedding)[0] for each in (loss, wanted)]
        torch.testing.assert_close(*gradients, rtol=0, atol=1e-5)
        assert bank.held().tolist() == [len(keys) for keys in loops.keys]
    assert max(loops.pushed) > 23, "some queue has gone round"


def test_more_is_wanted_of_a_batch_than_a_bank_can_hold():
    ours, loops = Contrast(MemoryBank(5, 8, 4), 9, 7), Loops(5, 4, 9, 7)
    for number in range(3):
        view = make_view(5, number)
        assert ours(view, number).item() == pytest.approx(loops(view, number).item(), abs=1e-5)


def test_the_defaults_are_the_released_configuration():
    contrast = Contrast(MemoryBank(3, 4, 5))
    assert (contrast.anchors, contrast.negatives) == (256, 50)


def test_the_gradient_reaches_the_students_embedding_alone():
    view = make_view()
    view = view._replace(keys=view.keys.requires_grad_(), probs=view.probs.requires_grad_())
    bank = MemoryBank(5, 8, 20)
    Contrast(bank)(view, 0).backward()
    assert view.keys.grad is None and view.probs.grad is None and not bank.keys.requires_grad
    anchor = anchors_of(view.probs, view.labels).any(1)
    assert (view.embedding.grad.abs().sum(1) > 0).equal(anchor), "into the anchors, and no other pixel"


def nothing(loss, view):
    """Whether a term is 0, and its gradient exactly nothing."""
    loss.backward()
    return loss.item() == 0 and view.embedding.grad.isfinite().all() and not view.embedding.grad.any()


def test_without_anchors_or_without_keys_the_term_is_0():
    view = make_view()
    everything = torch.full_like(view.labels, IGNORE)
    bank = MemoryBank(5, 8, 20)
    contrast = Contrast(bank)
    assert nothing(contrast(view._replace(labels=everything), 0), view), "everything ignored: keys, but no anchors"
    assert bank.held().any()
    view, empty = make_view(3), MemoryBank(3, 8, 20)
    labels = view.labels.where(view.labels != IGNORE, 0)
    sure = torch.eye(3)[labels].movedim(3, 1)  # (B, 3, h, w)
    alone = view._replace(probs=sure, labels=labels, labelled=0)
    assert nothing(Contrast(empty)(alone, 0), view), "every pixel is an anchor, and no key was ever seen"
    assert not empty.held().any() and not empty.keys[:-1].any()


def test_a_class_never_meets_the_keys_of_another():
    """The released code compared the anchors of an absent class with another class's bank."""
    bank = MemoryBank(3, 8, 4)
    bank.push(torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([2, 0, 2]))
    before = bank.keys.clone()
    view = make_view(3)
    labels = torch.ones_like(view.labels)  # anchors of class 1 alone, whose bank is empty; nothing is unreliable
    view = view._replace(labels=labels, probs=torch.eye(3)[1][None, :, None, None].expand_as(view.probs), labelled=0)
    assert nothing(Contrast(bank)(view, 0), view)
    assert torch.equal(bank.keys[:-1], before[:-1])
    bank.push(torch.ones(3, 1, 8), torch.tensor([0, 1, 0]))
    positive = view.embedding.detach().movedim(1, -1).flatten(0, 2)
    mean, key = positive.mean(0), torch.ones(8)
    wanted = sum(-(1 / (1 + 50 * ((cosine(z, key) - cosine(z, mean)) / 0.5).exp())).log() for z in positive)
    assert Contrast(bank)(view, 0).item() == pytest.approx(wanted.item() / len(positive) / 3, abs=1e-4)


def test_labelled_pixels_enter_the_bank():
    """In the released code they never did."""
    view = make_view(3)
    bank = MemoryBank(3, 8, 500)
    Contrast(bank)(view, 0)
    wanted = [int(((view.labels[:2] != c) & (view.labels[:2] != IGNORE)).sum()) for c in range(3)]
    assert bank.held().tolist() == wanted and min(wanted) > 0, "of three classes each is among the three likeliest"
    keys = torch.nn.functional.normalize(view.keys[:2].movedim(1, -1)[(view.labels[:2] != 0) & (view.labels[:2] < 3)])
    stored = bank.keys[: wanted[0]].float()
    assert torch.cdist(keys, stored).min(1).values.max() < 1e-2, "the teacher's, of length 1"


def test_every_class_has_a_queue_of_its_own_in_fixed_memory():
    classes, length, number = 4, 7, 0
    bank, queues = MemoryBank(classes, 3, length), [deque(maxlen=length) for _ in range(classes)]
    place, shape = bank.keys.data_ptr(), bank.keys.shape
    for counts in ([3, 0, 7, 1], [0, 0, 7, 1], [5, 0, 2, 1], [7, 1, 0, 1], [2, 6, 3, 1]):
        keys = torch.arange(number, number + classes * 7.0).reshape(classes, 7, 1).expand(-1, -1, 3)
        number += classes * 7
        bank.push(keys, torch.tensor(counts))
        for c, count in enumerate(counts):
            queues[c].extend(keys[c, :count, 0].tolist())
        assert bank.held().tolist() == [len(queue) for queue in queues]
        for c, queue in enumerate(queues):
            chances = ((torch.arange(len(queue)) + 0.5) / max(1, len(queue))).expand(classes, -1)
            drawn = bank.draw(chances)[c]
            assert sorted(drawn[:, 0].tolist()) == sorted(queue), "the last `length` of the class, and no others"
            assert (drawn == drawn[:, :1]).all(), "a key stays whole"
    assert bank.keys.data_ptr() == place and bank.keys.shape == shape and bank.keys.dtype == torch.float16
    assert bank.held().tolist() == [7, 7, 7, 5]


def test_chances_reach_from_the_first_key_to_the_last():
    bank = MemoryBank(2, 1, 100)
    bank.push(torch.arange(1.0, 61).reshape(1, 60, 1).expand(2, -1, -1), torch.tensor([60, 0]))
    drawn = bank.draw(torch.tensor([[0.0, 1 - 2**-24, 0.5]]).expand(2, -1))[..., 0]
    assert drawn[0].tolist() == [1, 60, 31] and drawn[1].tolist() == [0, 0, 0]


def test_a_bank_is_stored_and_goes_on():
    generator = torch.Generator().manual_seed(0)
    first, second = MemoryBank(2, 3, 5), MemoryBank(2, 3, 5)
    first.push(torch.randn(2, 4, 3, generator=generator), torch.tensor([4, 2]))
    second.load_state_dict(first.state_dict())
    assert second.keys.data_ptr() != first.keys.data_ptr()
    more = torch.randn(2, 4, 3, generator=generator)
    for bank in (first, second):
        bank.push(more, torch.tensor([3, 4]))
    assert torch.equal(first.keys[:-1], second.keys[:-1]) and torch.equal(first.written, second.written)


def terms(view, seed=0, numbers=(0,), anchors=5):
    contrast = Contrast(MemoryBank(5, 8, 60), anchors, 6, seed)
    return [contrast(view, number).item() for number in numbers]


def test_chance_depends_on_the_seed_and_the_images_numbers_alone():
    view = make_view()
    torch.manual_seed(0)
    once = terms(view, numbers=(0, 1))
    torch.manual_seed(1)
    assert terms(view, numbers=(0, 1)) == once and once[0] != once[1]
    assert terms(view, seed=1)[0] != once[0] and terms(view._replace(ids=view.ids + 1000))[0] != once[0]
    swapped = torch.tensor([1, 0, 3, 2])
    other = View(*(part if isinstance(part, int) else part[swapped] for part in view))
    assert terms(other) == pytest.approx(once[:1], abs=1e-6), "not on the order of the images"


def test_autocast_does_not_make_it_coarse():
    view = make_view()
    wanted = terms(view)
    with torch.autocast("cpu", torch.bfloat16):
        assert terms(view) == wanted
        assert terms(view._replace(embedding=view.embedding.bfloat16())) == pytest.approx(wanted, abs=2e-2)
