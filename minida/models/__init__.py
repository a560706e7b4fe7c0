"""Networks: BiSeNet and the discriminators."""

from minida.models.bisenet import BACKBONES, BiSeNet
from minida.models.discriminators import DISCRIMINATORS, Discriminator, DSCDiscriminator, FCDiscriminator

__all__ = ["BACKBONES", "DISCRIMINATORS", "BiSeNet", "DSCDiscriminator", "Discriminator", "FCDiscriminator"]
