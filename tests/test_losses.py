import math

import torch
import torch.nn.functional as F

import minida
from minida.losses import cross_entropy, segmentation_loss


def labelled(classes=5, shape=(2, 4, 6)):
    labels = torch.randint(0, classes, shape)
    labels[:, 0] = minida.IGNORE
    return torch.randn(shape[0], classes, *shape[1:], requires_grad=True), labels


def test_cross_entropy_by_hand():
    logits = torch.log(torch.tensor([0.25, 0.75])).view(1, 2, 1, 1).expand(1, 2, 1, 3)
    labels = torch.tensor([[[0, 1, minida.IGNORE]]])
    expected = (math.log(4) + math.log(4 / 3)) / 2  # the ignored pixel is in neither sum nor count
    torch.testing.assert_close(cross_entropy(logits, labels), torch.tensor(expected))


def test_cross_entropy_against_a_loop_over_pixels():
    logits, labels = labelled()
    terms = []
    for b, y, x in (labels != minida.IGNORE).nonzero().tolist():
        terms.append(-logits[b, :, y, x].log_softmax(0)[labels[b, y, x]])
    torch.testing.assert_close(cross_entropy(logits, labels), torch.stack(terms).mean())


def test_gradient_is_the_librarys():
    logits, labels = labelled()
    (3 * cross_entropy(logits, labels)).backward()
    expected = torch.autograd.grad(3 * F.cross_entropy(logits, labels, ignore_index=minida.IGNORE), logits)[0]
    torch.testing.assert_close(logits.grad, expected)
    assert torch.all(logits.grad[:, :, 0] == 0)


def test_all_ignored_is_zero_with_zero_gradient():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 2, 2), minida.IGNORE))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.all(logits.grad == 0)


def test_backward_leaves_the_saved_tensors_usable_twice():
    logits, labels = labelled()
    loss = cross_entropy(logits, labels)
    first = torch.autograd.grad(loss, logits, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], first)


def test_half_precision_logits_are_computed_in_float32():
    logits, labels = labelled()
    half = logits.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_entropy(half, labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, cross_entropy(half.float(), labels))


def test_segmentation_loss_is_the_plain_sum():
    (a, labels), (b, _), (c, _) = labelled(), labelled(), labelled()
    output = minida.SegmentationOutput(a, (b, c))
    expected = sum(F.cross_entropy(x, labels, ignore_index=minida.IGNORE) for x in (a, b, c))
    torch.testing.assert_close(segmentation_loss(output, labels), expected)
