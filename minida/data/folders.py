"""Real photographs: images and label files in pairs on disk."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from minida.data.base import SegmentationDataset, resize_labels
from minida.types import CITYSCAPES, CLASSES, IGNORE, ClassTable

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
LABEL_MODES = ("L", "P", "I;16")  # the modes in which Pillow returns the stored numbers unchanged
CACHE_BYTES = 1 << 30  # what one data set keeps in memory, decoded and resized
OUTSIDE = -1


class DataError(ValueError):
    """Something is wrong with the files: one line that names the file, what is expected, and the fix."""


def _listing(folder: Path, ending: str) -> dict[str, Path]:
    """Files below `folder` by their relative name without `ending` (by default: without any image ending)."""
    found = {}
    for path in sorted(folder.rglob("*")):
        # A leading dot marks what desktops leave behind ("._0001.png").
        if path.name.lower().endswith(ending or IMAGE_ENDINGS) and not path.name.startswith("."):
            found[path.relative_to(folder).as_posix()[: -len(ending or path.suffix)]] = path
    return found


def open_file(path: Path, header: bool = False) -> Image.Image:
    try:
        image = Image.open(path)
        if not header:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken files
        reason = str(error).replace(f" {str(path)!r}", "")
        raise DataError(f"{path}: cannot be read ({reason}); copy it again or delete the pair") from None
    return image


class PairedFiles(SegmentationDataset):
    """Images with label files beside them; a subclass is one layout: its numbers, classes and two methods.

    `splits(root)` names the splits found; `folders()` gives this split's image and label folder (None for a
    set without labels). Images are resized bilinearly with antialiasing. Missing files are reported on
    opening (with `strict=False` by `check` only), broken ones when they are read. Raises: DataError.
    """

    image_ending = label_ending = ""  # what follows the name that an image and its label share
    ids: dict[int, int]  # number in a label file -> training id or IGNORE; any other number is an error
    fix: str = ""  # which numbers are expected, and what to do about others

    def __init__(
        self, root: str | Path, split: str = "train", size: tuple[int, int] = (96, 192), strict: bool = True
    ) -> None:
        self.root, self.split, self.size = Path(root).expanduser(), split, tuple(size)
        self.spec = f"{type(self).__name__.lower()}:{root}"
        self.name = f"{self.root.name} ({split})"
        self.pairs: list[tuple[Path, Path | None]] = []
        self._cache: dict[tuple[str, int], Tensor] = {}
        self._cached_bytes = 0
        self._problems = self._find()
        if strict and self._problems:
            more = f" (and {len(self._problems) - 1} more: minida info --data {self.spec})"
            raise DataError(self._problems[0] + more * (len(self._problems) > 1))

    def _find(self) -> list[str]:
        """Fill `pairs`; return what is missing, a line each."""
        if not self.root.is_dir():
            return [f"{self.root}: no such folder; check the path of {self.spec}"]
        try:
            image_folder, label_folder = self.folders()
        except DataError as error:
            return [str(error)]
        images = _listing(image_folder, self.image_ending)
        if not images:
            return [f"{image_folder}: holds no image; expected *{self.image_ending or '.png, *.jpg, …'}"]
        self.has_labels = label_folder is not None
        labels = _listing(label_folder, self.label_ending) if self.has_labels else dict.fromkeys(images)
        self.pairs = [(path, labels[key]) for key, path in images.items() if key in labels]
        missing = "{}: has no partner; expected one named {} in {}, or delete it"
        lonely = [(key, images[key], label_folder) for key in images.keys() - labels.keys()]
        lonely += [(key, labels[key], image_folder) for key in labels.keys() - images.keys()]
        return [missing.format(path, key, folder) for key, path, folder in sorted(lonely)]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_cache": {}, "_cached_bytes": 0}  # a worker fills a cache of its own

    def _keep(self, key: tuple[str, int], item: Tensor) -> None:
        worker = get_worker_info()
        if self._cached_bytes + item.nbytes <= CACHE_BYTES // (worker.num_workers if worker else 1):
            self._cache[key] = item
            self._cached_bytes += item.nbytes

    def image(self, index: int) -> Tensor:
        """(3, H, W) uint8."""
        pixels = self._cache.get(("image", index))
        if pixels is None:
            image = open_file(self.pairs[index][0]).convert("RGB").resize(self.size[::-1], Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()  # (3, H, W)
            self._keep(("image", index), pixels)
        return pixels.clone()  # the kept one stays as it is

    def labels(self, index: int) -> Tensor:
        """(h, w) int64 at the file's own size."""
        image_path, path = self.pairs[index]
        if path is None:
            raise DataError(f"{self.spec} has no labels; expected labels/ beside {image_path.parent}")
        file = open_file(path)
        if file.mode not in LABEL_MODES:
            wanted = f"one number a pixel (mode {', '.join(LABEL_MODES)}), such as an 8-bit gray PNG"
            raise DataError(f"{path}: has mode {file.mode}; expected {wanted}; save it so")
        with open_file(image_path, header=True) as image:
            wanted = "×".join(map(str, image.size))
        if file.size != image.size:
            found = "×".join(map(str, file.size))
            raise DataError(f"{path}: is {found}; expected {wanted} as {image_path.name}, replace one of them")
        numbers = np.array(file)
        lookup = np.full(1 << (8 * numbers.itemsize), OUTSIDE)
        lookup[list(self.ids)] = list(self.ids.values())
        labels = lookup[numbers]  # (h, w)
        if (labels == OUTSIDE).any():
            wrong = ", ".join(map(str, np.unique(numbers[labels == OUTSIDE])[:5]))
            raise DataError(f"{path}: holds the number(s) {wrong}; {self.fix}")
        return torch.from_numpy(labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        labels = self._cache.get(("labels", index))  # at `size`, one byte a pixel
        if labels is None:
            labels = resize_labels(self.labels(index), self.size).byte()
            self._keep(("labels", index), labels)
        return self.image(index), labels.long()

    def check(self) -> list[str]:
        problems = dict.fromkeys(self._problems)  # a dict, so that no line comes twice
        for index in range(len(self)):
            for read in (self.image, self.labels) if self.has_labels else (self.image,):
                try:
                    read(index)
                except DataError as error:
                    problems[str(error)] = None
        return list(problems)


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
        images, labels = self.root / self.split, self.root / f"{self.split}annot"
        if not (images.is_dir() and labels.is_dir()):
            found = ", ".join(sorted(path.name for path in self.root.iterdir() if path.is_dir()))
            wanted = f"split {self.split!r} needs the folders {images.name}/ and {labels.name}/"
            raise DataError(f"{self.root}: {wanted}; found {found or 'none'}")
        return images, labels


class Folder(PairedFiles):
    """A plain folder: `images/`, and `labels/` with files of the same names (left out: a set without labels).

    DIR/<split>/images is used if it exists, otherwise DIR/images for every split. `classes.json` in DIR, a
    list of {"name", "color", "id"}, gives the classes; without it labels are the trainIds 0 to 18 of
    Cityscapes. 255 is ignored.
    """

    @staticmethod
    def splits(root: Path) -> list[str]:
        return sorted(path.parent.name for path in root.glob("*/images"))

    def folders(self) -> tuple[Path, Path | None]:
        own = self.root / "classes.json"
        self.table = read_classes(own) if own.exists() else CITYSCAPES
        numbers = self.table.ids if own.exists() else range(len(CLASSES))
        self.ids = {number: label for label, number in enumerate(numbers)} | {IGNORE: IGNORE}
        self.classes = tuple(range(len(self.table.names)))
        expected = f"an id of {own}" if own.exists() else "a trainId, 0 to 18"
        self.fix = f"expected {expected}; correct them, or paint them 255 (ignored)"
        base = self.root / self.split if (self.root / self.split / "images").is_dir() else self.root
        if not (base / "images").is_dir():
            wanted = f"{self.root / 'images'} or {self.root / self.split / 'images'}"
            raise DataError(f"{self.root}: has no images of split {self.split!r}; expected a folder {wanted}")
        return base / "images", base / "labels" if (base / "labels").is_dir() else None


def read_classes(path: Path) -> ClassTable:
    """The class table of a `classes.json`. Raises: DataError naming the entry that is wrong."""
    names, colors, ids, entry = [], [], [], None
    try:
        for entry in json.loads(path.read_text(encoding="utf-8")):
            names.append(str(entry["name"]))
            colors.append(np.array(entry["color"], np.uint8).reshape(3))
            ids.append(range(IGNORE).index(entry["id"]))
            if names.count(names[-1]) + ids.count(ids[-1]) > 2:
                raise ValueError("its name or id was given before")
        if not names:
            raise ValueError("no class")
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(
            f"{path}: wrong at {json.dumps(entry)} ({type(error).__name__}: {error}); expected a list of "
            '{"name": "road", "color": [128, 64, 128], "id": 0}, ids 0 to 254'
        ) from None
    return ClassTable(tuple(names), np.stack(colors), tuple(ids))
