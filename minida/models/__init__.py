"""Networks: BiSeNet, the discriminators, and a teacher that follows its student."""

from minida.models.bisenet import BACKBONES, BiSeNet
from minida.models.discriminators import DISCRIMINATORS, Discriminator, DSCDiscriminator, FCDiscriminator
from minida.models.ema import EMA

__all__ = ["BACKBONES", "DISCRIMINATORS", "EMA", "BiSeNet", "DSCDiscriminator", "Discriminator", "FCDiscriminator"]
