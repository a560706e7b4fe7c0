"""Labelling strategies: which predictions to believe. A new one is one new file and one line here."""

from minida.labeling.base import LabelingStrategy, Thresholds
from minida.labeling.build import STRATEGIES, make_strategy
from minida.labeling.cbst import ClassBalanced
from minida.labeling.confidence import Confidence
from minida.labeling.contract import problems
from minida.labeling.dars import DARS
from minida.labeling.entropy import EntropyPartition
from minida.labeling.images import label_images, predict
from minida.labeling.mpt import MedianConfidence
from minida.labeling.statistic import Counts, confidence
from minida.labeling.temperature import fit_temperature

__all__ = [
    "DARS", "STRATEGIES", "ClassBalanced", "Confidence", "Counts", "EntropyPartition", "LabelingStrategy",
    "MedianConfidence", "Thresholds", "confidence", "fit_temperature", "label_images", "make_strategy", "predict",
    "problems",
]  # fmt: skip
