"""One way to score a model: every image once, counts at the labels' own size, mIoU over the data set's classes."""

from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from minida import distributed
from minida.data import evaluation_batches
from minida.data.base import SegmentationDataset
from minida.device import faster_in_bfloat16
from minida.metrics import ConfusionMatrix
from minida.models import BiSeNet
from minida.models.bisenet import decided, upsample
from minida.types import CITYSCAPES, TAIL


@dataclass(frozen=True)
class Report:
    """Scores of one model on one data set, all in [0, 1]."""

    miou: float  # over dataset.classes
    iou: dict[str, float]  # by class name, NaN where a class is absent
    pixel_accuracy: float
    tail_miou: float  # over the tail classes that the data set defines
    images: int
    data: str

    def __str__(self) -> str:
        return (
            f"{100 * self.miou:.1f} mIoU, {100 * self.tail_miou:.1f} tail mIoU, "
            f"{100 * self.pixel_accuracy:.1f} % of the pixels right ({self.images} images of {self.data})"
        )


@torch.inference_mode()
def evaluate(
    model: BiSeNet, dataset: SegmentationDataset, batch_size: int = 8, precision: str = "auto", progress: bool = False,
    workers: int = 0,
) -> Report:  # fmt: skip
    """Score a model on a labelled data set; its training mode is restored afterwards.

    Where several processes run together each scores its share, and all return the merged report (collective).

    Args:
        precision: "float32", "bfloat16", or "auto": bfloat16 where the processor is faster with it.
        workers: processes that load data.

    Raises:
        ValueError: the model's number of classes is not the data set's, or the data set has no labels.
    """
    names = dataset.table.names
    if model.num_classes != len(names):
        raise ValueError(f"the model has {model.num_classes} classes but {dataset.spec} {len(names)}")
    if not dataset.has_labels:
        raise ValueError(f"{dataset.spec} has no labels to evaluate on; use `minida predict` for its images")
    device = next(model.parameters()).device
    mixed = precision == "bfloat16" or (precision == "auto" and faster_in_bfloat16(device))
    matrix = ConfusionMatrix(len(names))
    training = model.training
    model.eval()
    try:
        batches = tqdm(
            evaluation_batches(dataset, batch_size, workers),
            "evaluate",
            disable=not progress or distributed.rank() > 0,
            leave=False,
        )
        for images, labels, _ in batches:
            images = images.to(device, memory_format=torch.channels_last)  # (B, 3, H, W)
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                logits = model(images).logits  # (B, C, H, W)
            for scores, truth in zip(logits, labels, strict=True):
                if scores.shape[1:] != truth.shape:
                    scores = upsample(scores[None], *truth.shape)[0]
                matrix.update(truth.to(device), decided(scores, 0))
    finally:
        model.train(training)
    matrix.merge()
    return report(matrix, dataset)


def report(matrix: ConfusionMatrix, dataset: SegmentationDataset) -> Report:
    """The scores that a confusion matrix over `dataset` holds."""
    names, classes = dataset.table.names, dataset.classes
    tail = tuple(c for c in TAIL if c in classes) if names == CITYSCAPES.names else ()
    iou = matrix.iou()
    return Report(
        miou=matrix.miou(classes),
        iou={names[c]: float(iou[c]) for c in classes},
        pixel_accuracy=matrix.pixel_accuracy(),
        tail_miou=matrix.miou(tail) if tail else float("nan"),
        images=len(dataset),
        data=f"{dataset.spec} {dataset.split}",
    )
