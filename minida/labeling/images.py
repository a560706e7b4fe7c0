"""A network's predictions on many images, labelled by a strategy in two passes and fixed memory."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from tqdm.auto import tqdm

from minida.labeling.base import LabelingStrategy
from minida.models import BiSeNet


@torch.no_grad()
def predict(model: BiSeNet, images: Tensor, flip: bool = False, mixed: bool = False) -> Tensor:
    """(B, 3, H, W) normalised images -> softmax (B, C, H, W) float32; `flip` averages with the mirror image's."""
    device = next(model.parameters()).device
    images = images.to(device, memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
        probs = model.probs(images)
        return (probs + model.probs(images.flip(3)).flip(3)) / 2 if flip else probs


def label_images(
    model: BiSeNet, strategy: LabelingStrategy, batches: Iterable, progress: float = 0.0, flip: bool = False,
    mixed: bool = False, bar: bool = True,
) -> Iterator[Tensor]:  # fmt: skip
    """Observe all images, fit, then give each one's pseudo-labels: (H, W) uint8 on the CPU, in the batches' order.

    Args:
        batches: as `minida.data.evaluation_batches` gives them, (images, labels, ids); gone through twice, and the
            labels are not looked at. Of several processes each labels its share by thresholds over all (collective).
        mixed: predict in bfloat16.
    """
    strategy.reset()
    with tqdm(desc="label", total=2 * len(batches), unit="batch", leave=False, disable=not bar) as shown:
        for images, _, _ in batches:
            strategy.observe(predict(model, images, flip, mixed))
            shown.update()
        strategy.fit(progress)  # also where a process has no image: the others wait for it
        for images, _, ids in batches:
            yield from strategy.label(predict(model, images, flip, mixed), ids).to(torch.uint8).cpu()
            shown.update()
