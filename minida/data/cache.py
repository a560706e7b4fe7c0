"""Arrays that are made once and kept: on disk whole or not at all, whoever makes them and however that ends."""

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

SMALL = 32  # up to so many items stay in memory
Arrays = tuple[np.ndarray, ...]


def cache_root() -> Path:
    """The folder MINIDA_CACHE, or `minida` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(os.environ.get("MINIDA_CACHE") or Path(home) / "minida")


def stack(items: Iterator[Arrays]) -> Arrays:
    return tuple(map(np.stack, zip(*items, strict=True)))


def load(folder: Path, names: Sequence[str]) -> Arrays | None:
    """Memory maps of the arrays that `keep` wrote; None where they are not there, or not whole."""
    try:
        return tuple(np.load(folder / f"{name}.npy", mmap_mode="r") for name in names)
    except Exception:  # NumPy raises many kinds for a damaged file
        return None


def keep(
    folder: Path, names: Sequence[str], count: int, items: Iterator[Arrays], task: str, otherwise: str
) -> Arrays | None:
    """The arrays `names` of `folder`, made of `count` items (a row of each array) where they are not there yet.

    Of several processes one writes, the others wait and read. Up to SMALL items stay in memory. Where the disk
    refuses, a warning says what is done `otherwise`, and the answer is None. `task` names the progress bar.
    """
    if count <= SMALL:
        return stack(items)
    if (arrays := load(folder, names)) is not None:
        return arrays
    first, reason = next(items), "it cannot be read back"
    need = count * sum(array.nbytes for array in first)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if load(folder, names) is None:
                free = shutil.disk_usage(folder.parent).free
                if free < need:
                    raise OSError(f"only {free / 1e9:.2g} GB are free")
                rows = tqdm(chain([first], items), task, count, leave=False, unit="image")
                _write(folder, names, count, rows)
    except (OSError, NotImplementedError) as error:  # a file system without locks
        reason = error
    arrays = load(folder, names)
    if arrays is None:
        wanted = f"{need / 1e9:.2g} GB are needed in {folder.parent} ({reason})"
        warnings.warn(f"{otherwise}: {wanted}; set MINIDA_CACHE to a folder with room", stacklevel=3)
    return arrays


def _write(folder: Path, names: Sequence[str], count: int, rows: Iterator[Arrays]) -> None:
    """Write beside `folder` and rename it when it is whole: nothing half done is ever read."""
    work = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(work, ignore_errors=True)  # of a process that was killed: the lock is ours
    work.mkdir()
    try:
        with ExitStack() as opened:
            # Plain writes, no memory map: on a full disk that would end the process.
            files = [opened.enter_context(open(work / f"{name}.npy", "wb")) for name in names]
            for number, row in enumerate(rows):
                for file, array in zip(files, row, strict=True):
                    if number == 0:
                        header = {"descr": array.dtype.str, "fortran_order": False, "shape": (count, *array.shape)}
                        np.lib.format.write_array_header_1_0(file, header)
                    file.write(array.tobytes())
            for file in files:
                file.flush()
                os.fsync(file.fileno())  # before the name, as in minida.storage
        shutil.rmtree(folder, ignore_errors=True)  # one that could not be read
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
