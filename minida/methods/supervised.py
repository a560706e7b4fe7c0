"""Supervised training on the labelled set: the baseline ("source-only") and, on the target itself, the oracle."""

from torch import Tensor

from minida.config import Config
from minida.losses import segmentation_loss
from minida.methods.base import Method, make_optimizer
from minida.models import BiSeNet
from minida.types import Batch


class Supervised(Method):
    """Cross-entropy on labelled images (the report, Eq. 1), summed over BiSeNet's three heads."""

    def __init__(self, config: Config, model: BiSeNet):
        super().__init__(config, model)
        self.optimizers["model"] = self.optimizer = make_optimizer(config, model)

    def step(self, batch: Batch) -> dict[str, Tensor]:
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            output = self.model(batch.source)
            loss = segmentation_loss(output, batch.source_labels)  # Eq. 1
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}
