"""BiSeNet's diagram: its numbers are those of a forward pass, for every backbone and size."""

import pytest
import torch

from minida.models import BiSeNet
from minida.viz.diagrams import bisenet_diagram, output_shapes


def words(fig) -> list[str]:
    return [text.get_text() for text in fig.axes[0].texts]


@pytest.mark.parametrize("backbone, joined", [("slim", 224), ("resnet18", 1024)])
def test_shapes_and_labels_come_from_the_network(backbone, joined):
    model = BiSeNet(19, backbone).train()
    shapes = output_shapes(model, torch.zeros(2, 3, 64, 128))
    assert shapes["joined"] == (2, joined, 8, 16) and shapes["logits"] == (2, 19, 64, 128)
    assert shapes["spatial_path.0"][2:] == (32, 64) and shapes["refine32"][2:] == (2, 4)
    assert shapes["aux32"] == (2, 19, 2, 4)
    drawn = words(bisenet_diagram(shapes))
    assert f"{joined}\nH/8" in drawn and "19\nH" in drawn and "3\nH" in drawn
    assert drawn.count("aux head") == 2


def test_no_hook_stays():
    model = BiSeNet(19, "slim").train()
    output_shapes(model, torch.zeros(2, 3, 64, 128))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
