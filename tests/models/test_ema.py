"""The averaged teacher, against sums over all networks that it followed."""

import copy

import pytest
import torch
from torch import nn

import minida


class Small(nn.Module):
    """A parameter, batch norm with its averages and its counter, and nothing else."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)

    def fill(self, value, counter):
        """Every number of the network becomes `value`, its counter `counter`."""
        for part in self.state_dict().values():
            part.fill_(value if part.is_floating_point() else counter)
        return self


def followed(values, **options):
    """What the teacher's numbers are after each of the networks, and the last counter."""
    ema, found = minida.EMA(Small().fill(100.0, 7), **options), []
    for number, value in enumerate(values):
        ema.update(Small().fill(value, 10 + number))
        numbers = [part for part in ema.model.state_dict().values() if part.is_floating_point()]
        assert len(numbers) == 6, "weight and bias of both layers, running mean and variance"
        assert all((part == numbers[0].flatten()[0]).all() for part in numbers), "all of them follow alike"
        assert ema.model.norm.num_batches_tracked == 10 + number, "a counter is copied, not averaged"
        found.append(numbers[0].flatten()[0].item())
    return found


def test_the_plain_mean_until_the_decay_binds():
    values = [4.0, 8.0, 0.0, 2.0, 6.0, -5.0]
    means = [sum(values[: n + 1]) / (n + 1) for n in range(len(values))]
    assert followed(values) == pytest.approx(means), "the first update copies: what it was made of leaves no trace"
    wanted = means[:4]  # 1 - 1 / (t + 1) reaches 0.75 at the fourth
    for value in values[4:]:
        wanted.append(0.75 * wanted[-1] + 0.25 * value)
    assert followed(values, decay=0.75) == pytest.approx(wanted)
    assert wanted[4:] != pytest.approx(means[4:])
    assert followed(values, decay=0) == pytest.approx(values)


def test_the_decay_is_the_papers():
    ema = minida.EMA(Small().fill(0.0, 0))
    ema.updates = 10_000
    ema.update(Small().fill(1.0, 0))
    assert ema.model.layer.weight[0, 0].item() == pytest.approx(0.01)


def test_the_teacher_is_a_network_of_its_own():
    torch.manual_seed(0)
    student = minida.BiSeNet(4, "slim", embedding=8)
    ema = minida.EMA(student)
    assert student.training and all(p.requires_grad for p in student.parameters()), "the student is as it was"
    for _ in range(2):
        mine, theirs = ({part.data_ptr() for part in m.state_dict().values()} for m in (ema.model, student))
        assert not mine & theirs
        assert not any(part.training for part in ema.model.modules())
        assert not any(p.requires_grad for p in ema.model.parameters())
        ema.update(student.train())
    before = copy.deepcopy(ema.model.state_dict())
    student(torch.randn(2, 3, 64, 64)).logits.sum().backward()
    with torch.no_grad():
        [p.add_(1) for p in student.parameters()]
    assert all(torch.equal(value, before[name]) for name, value in ema.model.state_dict().items())


def test_a_resumed_teacher_goes_on_where_it_was():
    first = minida.EMA(Small())
    for value in (1.0, 2.0, 3.0):
        first.update(Small().fill(value, 0))
    second = minida.EMA(Small())
    second.model.load_state_dict(first.model.state_dict())
    second.load_state_dict(first.state_dict())
    for ema in (first, second):
        ema.update(Small().fill(10.0, 0))
        assert ema.model.layer.weight[0, 0].item() == pytest.approx((1 + 2 + 3 + 10) / 4)


@pytest.mark.parametrize("decay", [1.0, -0.1, 2, float("nan")])
def test_a_wrong_decay_is_one_line(decay):
    with pytest.raises(ValueError) as caught:
        minida.EMA(Small(), decay)
    assert str(caught.value) == f"decay is {decay!r}; expected 0 or more and below 1, such as 0.99"
