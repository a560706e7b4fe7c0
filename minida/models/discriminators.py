"""The report's two discriminators: from which domain does a prediction come?

Both see the softmax of the segmentation logits and answer with a map of logits at 1/32 of its size, negative for
source and positive for target. Source: the report, section "Unsupervised Adversarial Network" and its Fig. 2; the
fully convolutional one follows Tsai et al., CVPR 2018. Departure from the report: source is class 0 and target 1
(the report's text has z = 1 for source); only the names of the two classes differ.
"""

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from torch import Tensor, nn


class Discriminator(nn.Module, ABC):
    """Five convolutions 4x4 of stride 2, `width` doubling up to 8 `width`, leaky ReLU 0.2 after all but the last.

    Args:
        num_classes: C, channels of the softmax that comes in.
        width: channels of the first layer.

    (B, C, H, W) softmax -> (B, 1, H/32, W/32) logits, each side rounded down.
    Raises: ValueError for another number of channels, or a map smaller than 32x32.
    """

    def __init__(self, num_classes: int = 19, width: int = 64):
        if min(num_classes, width) < 1:
            raise ValueError(f"num_classes is {num_classes} and width {width}; expected 1 or more each")
        super().__init__()
        layers = []
        for inputs, outputs in pairwise((num_classes, width, 2 * width, 4 * width, 8 * width, 1)):
            layers += [self.convolution(inputs, outputs), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])
        self.num_classes, self.width = num_classes, width

    @staticmethod
    @abstractmethod
    def convolution(inputs: int, outputs: int) -> nn.Module:
        """A 4x4 convolution of stride 2 that halves both sides."""

    def forward(self, probs: Tensor) -> Tensor:
        if probs.ndim != 4 or probs.shape[1] != self.num_classes or min(probs.shape[2:]) < 32:
            wanted = f"(B, {self.num_classes}, H, W) with H and W of 32 or more"
            raise ValueError(f"{type(self).__name__} expects a softmax {wanted}, got {tuple(probs.shape)}")
        return self.layers(probs.contiguous(memory_format=torch.channels_last))


class FCDiscriminator(Discriminator):
    """FCD: plain convolutions with bias. 2,781,121 parameters at 19 classes and width 64."""

    @staticmethod
    def convolution(inputs: int, outputs: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)


class DSCDiscriminator(Discriminator):
    """DSC: each convolution in two, depthwise 4x4 and pointwise 1x1, both without bias. 189,424 parameters."""

    @staticmethod
    def convolution(inputs: int, outputs: int) -> nn.Module:
        depthwise = nn.Conv2d(inputs, inputs, 4, stride=2, padding=1, groups=inputs, bias=False)
        return nn.Sequential(depthwise, nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, probs: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # a CPU's depthwise convolutions are 3 times slower in bfloat16
            return super().forward(probs)


DISCRIMINATORS = {"fcd": FCDiscriminator, "dsc": DSCDiscriminator}
