"""Networks: BiSeNet now; discriminators and the EMA teacher live beside it."""

from minida.models.bisenet import BACKBONES, BiSeNet

__all__ = ["BACKBONES", "BiSeNet"]
