"""Data sets by name: `open("minicity:game")`, `open("camvid:DIR")`, `open("folder:DIR")`."""

import difflib
from collections.abc import Collection
from pathlib import Path
from urllib.parse import parse_qsl

from minida.data.base import SegmentationDataset, Subset, labeled_split
from minida.data.folders import CamVid, DataError, Folder
from minida.data.loaders import TrainingBatches, evaluation_batches
from minida.data.minicity import MiniCity
from minida.data.transforms import Augmentation, denormalise, normalise

__all__ = [
    "Augmentation", "CamVid", "DataError", "Folder", "MiniCity", "SegmentationDataset", "Subset",
    "TrainingBatches", "denormalise", "evaluation_batches", "inspect", "labeled_split", "normalise", "open",
]  # fmt: skip
_LAYOUTS = {"camvid": CamVid, "folder": Folder}
_OPTIONS = {"gap": float, "n": int, "seed": int}


def _expect(what: str, value: str, known: Collection[str], spec: str) -> None:
    if value not in known:
        close = difflib.get_close_matches(value, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown {what} {value!r} in {spec!r}{hint} (known: {', '.join(known)})")


def _parse(spec: str) -> tuple[str, str]:
    scheme, _, rest = spec.partition(":")  # at the first colon only, so that C:\data keeps its own
    _expect("kind of data set", scheme, ("minicity", *_LAYOUTS), spec)
    if scheme in _LAYOUTS and not rest:
        raise ValueError(f"{spec!r} names no folder; expected {scheme}:DIR")
    return scheme, rest


def open(spec: str, split: str = "train", size: tuple[int, int] = (96, 192)) -> SegmentationDataset:
    """Open the data set that `spec` names, its images at `size` = (H, W).

    `minicity:game`, `minicity:real`, `minicity:real?gap=0.5&n=100&seed=1` (painted; splits train, tune, val),
    `camvid:DIR`, `folder:DIR` (photographs; layouts in `CamVid`, `Folder`). Raises: ValueError, in one line.
    """
    scheme, rest = _parse(spec)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size is {size}; expected (height, width), such as (96, 192)")
    dataset = _LAYOUTS[scheme](rest, split, size) if scheme in _LAYOUTS else _paint(spec, rest, split, size)
    dataset.spec = spec
    return dataset


def _paint(spec: str, rest: str, split: str, size: tuple[int, int]) -> MiniCity:
    domain, _, query = rest.partition("?")
    _expect("domain", domain, ("game", "real"), spec)
    options = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        _expect("option", name, _OPTIONS, spec)
        try:
            options[name] = _OPTIONS[name](value)
        except ValueError:
            raise ValueError(f"{name} is {value!r} in {spec!r}; expected a number") from None
    return MiniCity(domain, split=split, size=size, **options)


def inspect(spec: str) -> list[str]:
    """Everything that is wrong with a data set in all its splits, one line each; empty when nothing is."""
    try:
        scheme, rest = _parse(spec)
        if scheme not in _LAYOUTS:
            return open(spec).check()
    except ValueError as error:
        return [str(error)]
    layout, root = _LAYOUTS[scheme], Path(rest).expanduser()
    lines = [layout(root, split, strict=False).check() for split in layout.splits(root) or ["train"]]
    return list(dict.fromkeys(sum(lines, [])))
