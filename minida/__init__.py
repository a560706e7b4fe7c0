"""minida: domain adaptation for real-time semantic segmentation, as a course and a compact library."""

import os

# Before torch is imported: OpenMP threads that spin for milliseconds fight with any other busy process, and
# threads that never spin wake too late for small layers. These sleep after some 0.1 ms.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"


from minida import data, losses, methods, metrics
from minida.evaluation import Report, evaluate
from minida.models import EMA, BiSeNet, DSCDiscriminator, FCDiscriminator
from minida.storage import load
from minida.trainer import Result, train
from minida.types import CLASSES, IGNORE, PALETTE, TAIL, Batch, SegmentationOutput

__all__ = [
    "CLASSES", "EMA", "IGNORE", "PALETTE", "TAIL", "Batch", "BiSeNet", "DSCDiscriminator", "FCDiscriminator", "Report",
    "Result", "SegmentationOutput", "data", "evaluate", "load", "losses", "methods", "metrics", "train",
]  # fmt: skip
