"""The two protocols: labelled source and unlabelled target (uda), or one data set with a labelled share (ssl)."""

from typing import NamedTuple

from minida import data
from minida.config import Config
from minida.data.base import SegmentationDataset, labeled_split


class DataSets(NamedTuple):
    """The data of one run under its protocol."""

    source: SegmentationDataset  # labelled
    target: SegmentationDataset | None  # its labels are never read
    evaluation: SegmentationDataset


def open_datasets(config: Config, uses_target: bool) -> DataSets:
    """Open what the configuration names: source and target (uda), or one set split in two (ssl)."""
    source, target = data.open(config.source, "train", config.size), None
    if config.labeled_fraction < 1:
        source, rest = labeled_split(source, config.labeled_fraction, config.seed)
        target = rest if config.protocol == "ssl" else None
    if config.protocol == "uda" and config.target and uses_target:
        target = data.open(config.target, "train", config.size)
    if uses_target and target is None:
        raise ValueError(f"{config.method} needs an unlabelled target; give target=SPEC, or protocol=ssl")
    evaluation = data.open(config.evaluated, "val", config.size)
    for role, dataset in (("train", source), ("evaluate", evaluation)):
        if not dataset.has_labels:
            raise ValueError(f"{dataset.spec} has no labels of split {dataset.split!r} to {role} on; name another")
    for other in (target, evaluation):
        if other is not None and other.table.names != source.table.names:
            raise ValueError(f"{other.spec} has other classes than {source.spec}; give both the same classes.json")
    return DataSets(source, target, evaluation)
