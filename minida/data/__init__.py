"""Data sets by name: `open("minicity:game")`, `open("gta5:DIR?n=500")`, `open("folder:DIR")`."""

import difflib
import os
import re
from collections.abc import Collection
from numbers import Integral
from pathlib import Path
from urllib.parse import parse_qsl

from minida.data.base import SegmentationDataset, Subset, labeled_split
from minida.data.folders import Choice, DataError, PairedFiles
from minida.data.layouts import GTA5, CamVid, Cityscapes, Folder
from minida.data.loaders import TrainingBatches, evaluation_batches
from minida.data.minicity import MiniCity
from minida.data.transforms import Augmentation, denormalise, normalise

__all__ = [
    "Augmentation", "CamVid", "Cityscapes", "DataError", "Folder", "GTA5", "MiniCity", "SegmentationDataset",
    "Subset", "TrainingBatches", "denormalise", "evaluation_batches", "inspect", "labeled_split", "normalise", "open",
]  # fmt: skip
_LAYOUTS = {"cityscapes": Cityscapes, "gta5": GTA5, "camvid": CamVid, "folder": Folder}
_OPTIONS = {"gap": float, "n": int, "seed": int}  # of MiniCity
_CHOICES = {  # of photographs: option -> what it has to look like, as a pattern and in words
    "n": (r"0{0,9}[1-9]\d{0,9}", "a number of pairs, from 1 up"),
    "seed": (r"\d{1,99}", "a whole number, from 0 up"),
    "list": (r".+", "a text file that names pairs, one a line"),
    "size": (r"0{0,9}[1-9]\d{0,3}x0{0,9}[1-9]\d{0,3}", "HEIGHTxWIDTH, such as 720x1280"),
}
_OF_SPLIT = (r"0{0,9}[1-9]\d{0,9}|.*\D.*", "a number of pairs, or a text file that names them")


def _expect(what: str, value: str, known: Collection[str], spec: str) -> None:
    if value not in known:
        close = difflib.get_close_matches(value, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown {what} {value!r} in {spec!r}{hint} (known: {', '.join(known)})")


def _parse(spec: str) -> tuple[str, str, str]:
    """Scheme, DIR (or domain), and options."""
    scheme, _, rest = spec.partition(":")  # at the first colon only, so that C:\data keeps its own
    _expect("kind of data set", scheme, ("minicity", *_LAYOUTS), spec)
    if scheme == "minicity":
        domain, _, query = rest.partition("?")
        return scheme, domain, query
    root, query = re.fullmatch(r"(.*?)(?:\?(\w+=[^?]*))?", rest, re.DOTALL).groups("")  # DIR may hold a ?
    if not root:
        raise ValueError(f"{spec!r} names no folder; expected {scheme}:DIR")
    return scheme, root, query


def open(spec: str, split: str = "train", size: tuple[int, int] = (96, 192)) -> SegmentationDataset:
    """Open the data set that `spec` names, its images at `size` = (H, W).

    `minicity:game`, `minicity:real`, `minicity:real?gap=0.5&n=100&seed=1` (painted; splits train, tune, val),
    `cityscapes:DIR`, `gta5:DIR`, `camvid:DIR`, `folder:DIR` (photographs; layouts in the class of that name), of
    which `DIR?n=500&seed=0` draws 500 pairs, `?list=FILE` takes those that a file names, `?train=500&val=FILE` does
    so for one split alone, and `?size=720x1280` replaces `size`. Raises: ValueError, in one line.
    """
    scheme, root, query = _parse(spec)
    sides = size if isinstance(size, tuple | list) else ()
    if len(sides) != 2 or not all(isinstance(side, Integral) and 1 <= side <= 9999 for side in sides):
        raise ValueError(f"size is {size!r}; expected (height, width), each from 1 to 9999, such as (96, 192)")
    dataset = _paint(spec, root, query, split, size) if scheme == "minicity" else _pair(spec, split, size)
    dataset.spec = spec
    return dataset


def _paint(spec: str, domain: str, query: str, split: str, size: tuple[int, int]) -> MiniCity:
    _expect("domain", domain, ("game", "real"), spec)
    options = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        _expect("option", name, _OPTIONS, spec)
        try:
            options[name] = _OPTIONS[name](value)
        except ValueError:
            raise ValueError(f"{name} is {value!r} in {spec!r}; expected a number") from None
    return MiniCity(domain, split=split, size=size, **options)


def _splits(scheme: str, root: str) -> list[str]:
    try:
        return _LAYOUTS[scheme].splits(Path(os.path.expanduser(root)))
    except (OSError, ValueError):  # such as a name that is too long, or holds a NUL: said when it is opened
        return []


def _pair(spec: str, split: str, size: tuple[int, int] = (96, 192), strict: bool = True) -> PairedFiles:
    scheme, root, query = _parse(spec)
    layout, options = _LAYOUTS[scheme], dict(part.partition("=")[::2] for part in query.split("&") if part)
    splits = dict.fromkeys(("train", "tune", "val", "test", *_splits(scheme, root)))
    for name, value in options.items():
        _expect("option", name, (*_CHOICES, *splits), spec)
        pattern, wanted = _CHOICES.get(name, _OF_SPLIT)
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{name} is {value!r} in {spec!r}; expected {wanted}")
    if own := options.get(split):  # instead of n and list
        options |= {"n": own, "list": None} if own.isdecimal() else {"n": 0, "list": own}
    if "size" in options:
        size = tuple(map(int, options["size"].split("x")))
    choice = Choice(int(options.get("n", 0)) or None, int(options.get("seed", 0)), options.get("list"))
    return layout(root, split, size, strict, choice)


def inspect(spec: str) -> list[str]:
    """Everything that is wrong with a data set in all its splits, one line each; empty when nothing is."""
    try:
        scheme, root, _ = _parse(spec)
        if scheme == "minicity":
            return open(spec).check()
        splits = _splits(scheme, root) or ["train"]
        lines = [_pair(spec, split, strict=False).check() for split in splits]
    except ValueError as error:
        return [str(error)]
    return list(dict.fromkeys(sum(lines, [])))
