"""Real photographs: images and label files in pairs on disk, what all layouts share."""

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from minida.data import cache
from minida.data.base import SegmentationDataset, resize_labels

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")  # no other reader of Pillow: one of them starts Ghostscript
PICTURE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # 8 bits; deeper ones would be cut off
LARGEST = 2**26  # pixels of a picture
LABEL_MODES = ("L", "P", "I;16")  # the modes in which Pillow returns the stored numbers unchanged
KINDS = {"images": ("images",), "labels": ("labels", "counts")}  # what is kept, as which arrays
FORMAT = 1  # of the cached arrays; count it up when they are made in another way
OUTSIDE = -1


class DataError(ValueError):
    """Something is wrong with the files: one line that names the file, what is expected, and the fix."""

    def __init__(self, line: str) -> None:
        # What fails in a worker process is made again from its printed traceback, of which this is the end.
        super().__init__(" ".join(line.rstrip().rpartition(f"\n{__name__}.DataError: ")[2].splitlines()))


class Choice(NamedTuple):
    """Which pairs of a split are used: all, those that a list names, or `n` drawn at random from either."""

    n: int | None = None
    seed: int = 0
    list: str | None = None  # a text file with a name a line


def _listing(folder: Path, ending: str) -> dict[str, Path]:
    """Files below `folder` by their relative name without `ending` (by default: without any image ending)."""
    found = {}
    for path in sorted(folder.rglob("*")):
        # A leading dot marks what desktops leave behind ("._0001.png").
        if path.name.lower().endswith(ending.lower() or IMAGE_ENDINGS) and not path.name.startswith("."):
            key = path.relative_to(folder).as_posix()[: -len(ending or path.suffix)]
            if key in found:
                raise DataError(f"{path}: has the name of {found[key].name}; expected one image a name, delete one")
            found[key] = path
    if not found:
        raise DataError(f"{folder}: holds no file *{ending or '.png, *.jpg, …'}; unpack it again")
    return found


def open_file(path: Path, header: bool = False) -> Image.Image:
    """An image, decoded; with `header` alone it has its size and mode, but no pixels. Raises: DataError."""
    try:
        if not path.is_file():
            raise OSError("no such file")  # or a pipe, which would be waited for
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise OSError(f"{image.width}×{image.height} pixels, expected at most {LARGEST:,}")
            if not header:
                image.load()
        if not header and image.format == "PNG":
            with Image.open(path, formats=["PNG"]) as again:
                again.verify()  # checksums: a flipped bit would be read as another picture
    except Exception as error:  # of many kinds, each format its own
        reason = str(error).replace(f" {str(path)!r}", "")
        raise DataError(f"{path}: cannot be read ({reason}); copy it again, or leave it out") from None
    return image


def open_picture(path: Path) -> Image.Image:
    """A photograph, in RGB. Raises: DataError."""
    if (image := open_file(path)).mode not in PICTURE_MODES:
        raise DataError(f"{path}: has mode {image.mode}; expected 8 bits a channel, gray or in colour; save it so")
    return image.convert("RGB")


def _unlike(image: Path, labels: Path) -> str:
    """The line about a label file that is not as large as its image, by their headers; else nothing."""
    try:
        sizes = ["×".join(map(str, open_file(path, header=True).size)) for path in (labels, image)]
    except DataError:
        return ""  # said when it is read
    return f"{labels}: is {sizes[0]}; expected {sizes[1]} as {image.name}, replace one" * (sizes[0] != sizes[1])


def _in_threads(read: Callable[[int], Any], indices: Sequence[int]) -> Iterator[Any]:
    """read(index) of each, in order; Pillow decodes and resizes without holding Python's lock."""
    yield from map(read, indices[:1])  # alone: who then waits for another process has read no more
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(1, len(indices), 32):  # no more of them wait in memory
            yield from pool.map(read, indices[start : start + 32])


class PairedFiles(SegmentationDataset):
    """Images with label files beside them; a subclass is one layout: its numbers, classes and two methods.

    `splits(root)` names the splits found; `folders()` gives this split's image and label folder (the second need
    not exist: a set without labels). Images are resized bilinearly with antialiasing. Missing files are reported
    on opening (with `strict=False` by `check` only), broken ones when they are read. Raises: DataError.
    """

    image_ending = label_ending = ""  # what follows the name that an image and its label share
    ids: dict[int, int]  # number in a label file -> training id or IGNORE; any other number is an error
    fix: str = ""  # which numbers are expected, and what to do about others
    skip_unlike = False  # leave out a pair of unlike sizes, with a warning, instead of failing when it is read

    def __init__(
        self, root: str | Path, split: str = "train", size: tuple[int, int] = (96, 192), strict: bool = True,
        choice: Choice | None = None,
    ) -> None:  # fmt: skip
        self.root, self.split, self.size = Path(os.path.expanduser(root)), split, tuple(size)
        self.spec = f"{type(self).__name__.lower()}:{root}"
        self.name = f"{self.root.name} ({split})"
        self.pairs: list[tuple[Path, Path | None]] = []
        self.numbers: list[int] = []  # of each pair in the whole split
        self.names, self._problems = [], []
        self._skipped: dict[str, str] = {}  # name of a pair of unlike sizes -> what is wrong with it
        self._rows: dict[str, dict[int, int]] = {}  # of each prepared kind: index -> row of its arrays
        self._arrays: dict[str, cache.Arrays | None] = {}
        try:
            self._find(choice or Choice())
        except DataError as error:
            self._problems.append(str(error))
        except OSError as error:  # a name that is too long, a folder that is closed
            self._problems.append(f"{self.root}: cannot be read ({error.strerror}); check the path of {self.spec}")
        if strict and self._problems:
            more = f" (and {len(self._problems) - 1} more: minida info --data {self.spec})"
            raise DataError(self._problems[0] + more * (len(self._problems) > 1))
        if strict and self._skipped:
            text = f"{self.spec}: {len(self._skipped)} pair(s) skipped, as the label is not as large as its image: "
            more = f" and {len(self._skipped) - 10} more" * (len(self._skipped) > 10)
            warnings.warn(text + ", ".join([*self._skipped][:10]) + more, stacklevel=3)

    def _find(self, choice: Choice) -> None:
        """Fill `pairs`, and `_problems` with what has no partner."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; check the path of {self.spec}")
        image_folder, self._label_folder = self.folders()
        images = _listing(image_folder, self.image_ending)
        self.has_labels = self._label_folder.is_dir()
        labels = _listing(self._label_folder, self.label_ending) if self.has_labels else dict.fromkeys(images)
        lonely = [(key, images[key], self._label_folder, self.label_ending) for key in images.keys() - labels.keys()]
        lonely += [(key, labels[key], image_folder, self.image_ending) for key in labels.keys() - images.keys()]
        for key, path, folder, ending in sorted(lonely):
            missing = f"has no partner; expected one named {key}{ending} in {folder}, or delete it"
            self._problems.append(f"{path}: {missing}")
        keys = self.members([key for key in images if key in labels])
        pairs = [(images[key], labels[key]) for key in keys]
        self.numbers = self._choose(keys, pairs, choice)
        self.pairs = [pairs[number] for number in self.numbers]
        self.names = [keys[number] for number in self.numbers]  # as below the folder, without what ends every name

    def _choose(self, keys: list[str], pairs: list[tuple[Path, Path]], choice: Choice) -> list[int]:
        """Numbers of the chosen pairs, in order. Where pairs are skipped, no more headers than needed are read."""
        numbers, chosen = list(range(len(keys))), []
        if choice.list is not None:
            places = [folder / os.path.expanduser(choice.list) for folder in (self.root, Path())]
            if not any(path.is_file() for path in places):
                raise DataError(f"{places[0]}: no such list, nor in the working folder; expected a name a line")
            named = set(self.read_list(next(filter(Path.is_file, places)), keys))
            numbers = [number for number in numbers if keys[number] in named]
        if choice.n is not None:
            numbers = np.random.default_rng(choice.seed).permutation(numbers).tolist()
        quiet = not self.skip_unlike or len(numbers) <= 1000
        for number in tqdm(numbers, "comparing sizes", leave=False, disable=quiet):
            if len(chosen) == choice.n:
                break
            if self.skip_unlike and (line := _unlike(*pairs[number])):
                self._skipped[keys[number]] = line
            else:
                chosen.append(number)
        if len(chosen) < (choice.n or bool(keys)):  # without n, all were skipped
            found = f"{len(chosen)} in split {self.split!r}, {choice.n or 1} wanted"
            why = f"ask for fewer (for this split alone: {self.split}=N)" if choice.n else [*self._skipped.values()][0]
            raise DataError(f"{self.spec}: {found}; {why}")
        return sorted(chosen)

    def members(self, keys: list[str]) -> list[str]:
        """Those of the folders' pairs that make up this split."""
        return keys

    def require(self, *names: str) -> tuple[Path, ...]:
        """These folders of the root. Raises: DataError that says what is there instead, and where they are."""
        folders = [self.root, *sorted(path for path in self.root.glob("[!.]*") if path.is_dir()), self.root.parent]
        whole = [folder for folder in folders if all(os.path.isdir(folder / name) for name in names)]
        if self.root not in whole:
            hint = f"; did you mean {whole[0]}?" if whole else ""
            found = ", ".join(path.name for path in folders[1:-1][:10]) or "none"
            raise DataError(f"{self.root}: needs the folders {'/ and '.join(names)}/; found {found}{hint}")
        return tuple(self.root / name for name in names)

    def read_list(self, path: Path, keys: list[str]) -> list[str]:
        """Those of `keys` that a text file names, a line each. Raises: DataError naming the line."""
        short = {key: key.rpartition("/")[2] for key in keys}
        alike = Counter(short.values())
        known = {short[key]: key for key in keys if alike[short[key]] == 1} | {key: key for key in keys}
        wanted = f"expected one name a line, such as {keys[0]}" if keys else "there is no pair"
        found: dict[str, int] = {}
        for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
            name = line.strip().replace("\\", "/")
            if not name or name.startswith("#"):
                continue
            endings = (self.image_ending, self.label_ending, *IMAGE_ENDINGS)
            stem = next((name[: -len(e)] for e in endings if e and name.lower().endswith(e.lower())), name)
            if stem not in known:
                raise DataError(f"{path}, line {number}: {name!r} names no pair of split {self.split!r}; {wanted}")
            if found.setdefault(known[stem], number) != number:
                raise DataError(f"{path}, line {number}: {name!r} was named in line {found[known[stem]]}; delete one")
        if not found:
            raise DataError(f"{path}: names no pair; {wanted}")
        return [key for key in keys if key in found]

    def __len__(self) -> int:
        return len(self.pairs)

    def image_id(self, index: int) -> int:
        return self.numbers[index]

    def image_name(self, index: int) -> str:
        return self.names[index]

    def __getstate__(self) -> dict:
        """A worker process is sent no array: it opens the cache again, or makes those of a small set itself."""
        return {**self.__dict__, "_arrays": {kind: None for kind, kept in self._arrays.items() if kept is None}}

    def prepare(self, labels: bool | Sequence[int] = True) -> None:
        """Read and resize all images, and the labels asked for, once: into the cache."""
        if labels is not False and not self.has_labels:
            raise DataError(self._unlabelled())
        self._rows.setdefault("images", {index: index for index in range(len(self))})
        wanted = range(len(self) if labels else 0) if isinstance(labels, bool) else labels
        if not self._rows.get("labels", {}).keys() >= set(wanted):
            self._rows["labels"] = {index: row for row, index in enumerate(wanted)}
            self._arrays.pop("labels", None)
        for kind in self._rows:
            self._kept(kind)

    def _kept(self, kind: str) -> cache.Arrays | None:
        """The arrays of a kind that was prepared, a row for each of `_rows`; None if the disk has no room."""
        if kind not in self._arrays:
            files = [path for index in self._rows[kind] for path in self.pairs[index][: 1 + (kind == "labels")]]
            stats = [(path.relative_to(self.root).as_posix(), os.path.exists(path) and path.stat()) for path in files]
            facts = [(name, stat and stat.st_size, stat and stat.st_mtime_ns) for name, stat in stats]
            key = repr((FORMAT, PIL.__version__, kind == "labels" and self.ids, facts)).encode()
            name = f"{type(self).__name__.lower()}-{Path(self.split).name}-{self.size[0]}x{self.size[1]}-{kind}"
            folder = cache.cache_root() / f"{name}-{hashlib.sha256(key).hexdigest()[:16]}"
            items = _in_threads(partial(self._read, kind), [*self._rows[kind]])
            task, otherwise = f"resizing {self.spec} {self.split} {kind}", f"{self.spec} is read from files each time"
            self._arrays[kind] = cache.keep(folder, KINDS[kind], len(self._rows[kind]), items, task, otherwise)
        return self._arrays[kind]

    def _item(self, kind: str, index: int) -> cache.Arrays:
        """What was prepared of one image, else what its files give: see `_read`."""
        row = self._rows.get(kind, {}).get(index)
        kept = None if row is None else self._kept(kind)
        return self._read(kind, index) if kept is None else tuple(array[row] for array in kept)

    def _read(self, kind: str, index: int) -> cache.Arrays:
        """("images") pixels (3, H, W) uint8; or ("labels") labels (H, W) uint8, and counts (256,) at their own size."""
        if kind == "labels":
            labels = self.labels(index)
            return resize_labels(labels, self.size).byte().numpy(), np.bincount(labels.flatten(), minlength=256)
        image = open_picture(self.pairs[index][0]).resize(self.size[::-1], Image.Resampling.BILINEAR)
        return (np.array(image).transpose(2, 0, 1),)

    def image(self, index: int) -> Tensor:
        """(3, H, W) uint8."""
        return torch.from_numpy(np.array(self._item("images", index)[0], order="C"))

    def label_counts(self, index: int) -> np.ndarray:
        return self._item("labels", index)[1]

    def training_labels(self, index: int) -> Tensor:
        return torch.from_numpy(self._item("labels", index)[0].astype(np.int64))

    def labels(self, index: int) -> Tensor:
        """(h, w) int64 at the file's own size."""
        image_path, path = self.pairs[index]
        if path is None:
            raise DataError(self._unlabelled())
        file = open_file(path)
        if file.format != "PNG":
            raise DataError(f"{path}: is a {file.format}; expected a PNG, which keeps every number; save it so")
        if file.mode not in LABEL_MODES:
            wanted = f"one number a pixel (mode {', '.join(LABEL_MODES)}), such as an 8-bit gray PNG"
            raise DataError(f"{path}: has mode {file.mode}; expected {wanted}; save it so")
        with path.open("rb") as raw:
            header = raw.read(26)
        if file.mode == "L" and header[1:4] == b"PNG" and header[24] < 8:  # Pillow stretches these grays to 0 … 255
            raise DataError(f"{path}: has {header[24]} bits a pixel; expected 8; save it as an 8-bit gray PNG")
        if line := _unlike(image_path, path):
            raise DataError(line)
        numbers = np.array(file)
        lookup = np.full(1 << (8 * numbers.itemsize), OUTSIDE)
        lookup[list(self.ids)] = list(self.ids.values())
        labels = lookup[numbers]  # (h, w)
        if (labels == OUTSIDE).any():
            wrong = ", ".join(map(str, np.unique(numbers[labels == OUTSIDE])[:5]))
            raise DataError(f"{path}: holds the number(s) {wrong}; {self.fix}")
        return torch.from_numpy(labels)

    def _unlabelled(self) -> str:
        return f"{self.spec} has no labels of split {self.split!r}; expected a folder {self._label_folder}"

    def check(self) -> list[str]:
        problems = [*self._problems, *self._skipped.values()]
        for kind in ("images", "labels")[: 1 + self.has_labels]:
            lines = _in_threads(partial(self._broken, kind), range(len(self)))
            problems += tqdm(lines, f"checking {kind}", len(self), leave=False, disable=len(self) <= 1000)
        return [str(DataError(line)) for line in problems if line]

    def _broken(self, kind: str, index: int) -> str:
        try:
            self._read(kind, index)
        except DataError as error:
            return str(error)
        return ""
