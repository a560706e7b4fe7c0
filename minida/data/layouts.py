"""The layouts of real photographs: Cityscapes, GTA5, CamVid, and plain folders."""

import json
import os
from pathlib import Path

import numpy as np

from minida.data.folders import DataError, PairedFiles
from minida.types import CITYSCAPES, CLASSES, IGNORE, ClassTable


class Cityscapes(PairedFiles):
    """Cityscapes: `leftImg8bit/<split>/<city>/`, `gtFine/<split>/<city>/` (left out: a split without labels).

    Of the label files `*_labelIds.png` are read. Source: Cordts et al., CVPR 2016.
    """

    image_ending, label_ending = "_leftImg8bit.png", "_gtFine_labelIds.png"
    ids = dict.fromkeys((*range(34), 255), IGNORE)  # 255 is the -1 of license plates in a byte
    ids |= {number: label for label, number in enumerate(CITYSCAPES.ids)}
    fix = "expected Cityscapes' labelIds, 0 to 33 or 255; unpack gtFine again"

    @staticmethod
    def splits(root: Path) -> list[str]:
        return sorted(path.name for path in root.glob("leftImg8bit/[!.]*") if path.is_dir())

    def folders(self) -> tuple[Path, Path]:
        images, labels = self.require("leftImg8bit", "gtFine")
        if not (images / self.split).is_dir():
            found = ", ".join(self.splits(self.root)) or "none"
            raise DataError(f"{images}: has no split {self.split!r}; found {found}")
        return images / self.split, labels / self.split


class GTA5(PairedFiles):
    """GTA5: `images/` and `labels/`, palette PNGs whose indices are labelIds; pairs of unlike size are skipped.

    A file <split>.txt with a name a line makes a split; without train.txt, train is every image that no other
    split of LISTED names. Source: Richter et al., ECCV 2016.
    """

    LISTED = ("train", "tune", "val", "test")
    skip_unlike = True
    ids = Cityscapes.ids | {34: IGNORE}  # license plate
    fix = "expected labelIds, 0 to 34 or 255; take the label PNGs as they come"

    @classmethod
    def splits(cls, root: Path) -> list[str]:
        return [split for split in cls.LISTED if split == "train" or (root / f"{split}.txt").is_file()]

    def folders(self) -> tuple[Path, Path]:
        return self.require("images", "labels")

    def members(self, keys: list[str]) -> list[str]:
        own = self.root / f"{self.split}.txt"
        if own.is_file():
            return self.read_list(own, keys)
        if self.split != "train":
            fix = f"name another --target to evaluate on, or write {own}, an image's name a line"
            raise DataError(f"gta5 has no split {self.split!r} of its own in {self.root}; {fix}")
        lists = [self.root / f"{split}.txt" for split in self.splits(self.root)[1:]]
        others = {key for path in lists for key in self.read_list(path, keys)}
        return [key for key in keys if key not in others]


class CamVid(PairedFiles):
    """CamVid in the SegNet layout: `<split>/` and `<split>annot/`, 11 classes onto the 19 of Cityscapes.

    Source: Brostow, Fauqueur, Cipolla 2009; layout of the SegNet tutorial.
    """

    names = (
        "sky", "building", "pole", "road", "sidewalk", "vegetation", "traffic sign", "fence", "car", "person",
        "rider",
    )  # fmt: skip
    ids = {number: CLASSES.index(name) for number, name in enumerate(names)}
    classes = tuple(sorted(ids.values()))
    ids |= {11: IGNORE, IGNORE: IGNORE}  # void
    fix = "expected 0 to 10, or 11 and 255 for void; convert it to the SegNet numbering"

    @staticmethod
    def splits(root: Path) -> list[str]:
        return sorted({path.name.removesuffix("annot") for path in root.glob("[!.]*") if path.is_dir()})

    def folders(self) -> tuple[Path, Path]:
        return self.require(self.split, f"{self.split}annot")


class Folder(PairedFiles):
    """A plain folder: `images/`, and `labels/` with files of the same names (left out: a set without labels).

    DIR/<split>/images is used if it exists, otherwise DIR/images for every split. `classes.json` in DIR, a
    list of {"name", "color", "id"}, gives the classes; without it labels are the trainIds 0 to 18 of
    Cityscapes. 255 is ignored.
    """

    @staticmethod
    def splits(root: Path) -> list[str]:
        return sorted(path.parent.name for path in root.glob("*/images"))

    def folders(self) -> tuple[Path, Path]:
        own = self.root / "classes.json"
        given = os.path.lexists(own)
        self.table = read_classes(own) if given else CITYSCAPES
        numbers = self.table.ids if given else range(len(CLASSES))
        self.ids = {number: label for label, number in enumerate(numbers)} | {IGNORE: IGNORE}
        self.classes = tuple(range(len(self.table.names)))
        expected = f"an id of {own}" if given else "a trainId, 0 to 18"
        self.fix = f"expected {expected}; correct them, or paint them 255 (ignored)"
        base = self.root / self.split if (self.root / self.split / "images").is_dir() else self.root
        if not (base / "images").is_dir():
            wanted = f"{self.root / 'images'} or {self.root / self.split / 'images'}"
            raise DataError(f"{self.root}: has no images of split {self.split!r}; expected a folder {wanted}")
        return base / "images", base / "labels"


def read_classes(path: Path) -> ClassTable:
    """The class table of a `classes.json`. Raises: DataError naming the entry that is wrong."""
    names, colors, ids, entry = [], [], [], None
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("no file")
        for entry in json.loads(path.read_text(encoding="utf-8")):
            names.append(str(entry["name"]))
            colors.append(np.array(entry["color"], np.uint8).reshape(3))
            ids.append(range(IGNORE).index(entry["id"]))
            if names.count(names[-1]) + ids.count(ids[-1]) > 2:
                raise ValueError("its name or id was given before")
        if not names:
            raise ValueError("no class")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(
            f"{path}: wrong at {json.dumps(entry)[:200]} ({type(error).__name__}: {error}); expected a list of "
            '{"name": "road", "color": [128, 64, 128], "id": 0}, ids 0 to 254'
        ) from None
    return ClassTable(tuple(names), np.stack(colors), tuple(ids))
