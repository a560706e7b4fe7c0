import pytest
import torch
import torch.nn.functional as F

import minida
from minida.models import DISCRIMINATORS, Discriminator


@pytest.mark.parametrize(("name", "count"), [("fcd", 2_781_121), ("dsc", 189_424)])
def test_parameter_counts_of_the_report(name, count):
    network = DISCRIMINATORS[name]()
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_width_and_classes_are_parameters(name):
    network = DISCRIMINATORS[name](num_classes=4, width=8)
    assert (network.num_classes, network.width) == (4, 8)
    shapes = []
    for part in network.layers:
        part.register_forward_hook(lambda part, inputs, output: shapes.append(tuple(output.shape)))
    assert network(torch.rand(2, 4, 96, 199)).shape == (2, 1, 3, 6)
    assert [shape[1] for shape in shapes] == [8, 8, 16, 16, 32, 32, 64, 64, 1]
    assert [shape[2:] for shape in shapes[::2]] == [(48, 99), (24, 49), (12, 24), (6, 12), (3, 6)]


def by_hand(network, x):
    """The report's description, with functions alone."""
    for number, layer in enumerate(network.layers[::2]):
        if isinstance(network, minida.FCDiscriminator):
            x = F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1)
        else:  # every channel by itself, then their mixture at every pixel
            depthwise, pointwise = layer
            channels = [F.conv2d(x[:, [c]], depthwise.weight[[c]], stride=2, padding=1) for c in range(x.shape[1])]
            x = torch.einsum("oc,bchw->bohw", pointwise.weight[:, :, 0, 0], torch.cat(channels, dim=1))
        if number < 4:
            x = torch.where(x > 0, x, 0.2 * x)
    return x


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_layer_by_layer_and_no_sigmoid(name):
    torch.manual_seed(0)
    network, probs = DISCRIMINATORS[name](3, 4), torch.randn(2, 3, 64, 96).softmax(1)
    with torch.no_grad():
        list(network.parameters())[0 if name == "fcd" else -1].mul_(1e3)  # no bias, and the last pointwise
        answer = network(probs)
        torch.testing.assert_close(answer, by_hand(network, probs))
    assert not ((answer >= 0) & (answer <= 1)).all(), "logits, not probabilities"


def test_depthwise_convolutions_stay_in_float32_on_a_cpu():
    with torch.autocast("cpu", torch.bfloat16):
        assert minida.DSCDiscriminator(3, 4)(torch.rand(1, 3, 32, 32)).dtype == torch.float32
        assert minida.FCDiscriminator(3, 4)(torch.rand(1, 3, 32, 32)).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(1, 18, 64, 64), (19, 64, 64), (1, 19, 31, 64), (1, 19, 64, 16)])
def test_what_it_cannot_see_is_one_line(shape):
    with pytest.raises(ValueError, match=r"expects a softmax \(B, 19, H, W\) with H and W of 32 or more, got \("):
        minida.DSCDiscriminator()(torch.zeros(shape))


def test_a_discriminator_has_to_say_what_its_convolutions_are():
    with pytest.raises(TypeError, match="abstract"):
        Discriminator(3, 4)


def test_impossible_widths():
    with pytest.raises(ValueError, match="width 0; expected 1 or more"):
        minida.FCDiscriminator(19, 0)
