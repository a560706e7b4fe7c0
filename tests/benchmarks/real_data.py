"""The resize cache in numbers, by hand: `python tests/benchmarks/real_data.py` (an idle machine, about three minutes).

Images a second of `TrainingBatches` at crops of 512x1024 on one core, from a tree in Cityscapes' layout whose PNGs of
1024x2048 are as large as photographs: read from the files each time, and from what `prepare` keeps. Then the seconds
that opening a tree of 5,000 pairs takes, names alone (Cityscapes) and with all headers (GTA5).
"""

import minida  # noqa: I001 (before torch)

import os
import tempfile
import time
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

from minida.config import make_config
from minida.data import Augmentation, TrainingBatches
from minida.types import CITYSCAPES

FULL, CROP, COUNT, BATCH, STEPS, MANY = (1024, 2048), (512, 1024), 48, 4, 12, 5000


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
    return path


def write_cityscapes(root):
    """MiniCity's streets; with a little noise a PNG has about 2.3 MB, as a photograph has."""
    city, rng, sizes = minida.data.MiniCity("game", size=FULL, n=COUNT), np.random.default_rng(0), []
    for i in range(COUNT):
        image, labels = city.paint(i)
        noisy = np.clip(np.round(image + rng.normal(0, 0.7, image.shape)), 0, 255).astype(np.uint8)
        name = f"train/city/city_{i:06}_000019"
        sizes.append(write(root / f"leftImg8bit/{name}_leftImg8bit.png", noisy.transpose(1, 2, 0)).stat().st_size)
        write(root / f"gtFine/{name}_gtFine_labelIds.png", np.array(CITYSCAPES.ids, np.uint8)[labels])
    return sum(sizes) / COUNT


def write_many(root):
    """The same small pair again and again, in both layouts."""
    image, labels = np.zeros((20, 36, 3), np.uint8), np.zeros((20, 36), np.uint8)
    for i in range(MANY):
        city = f"train/city{i % 18}/{i:06}"
        for folder, name, pixels in (
            (root / "cityscapes/leftImg8bit", f"{city}_leftImg8bit", image),
            (root / "cityscapes/gtFine", f"{city}_gtFine_labelIds", labels),
            (root / "gta5/images", f"{i:05}", image),
            (root / "gta5/labels", f"{i:05}", labels),
        ):
            write(folder / f"{name}.png", pixels)


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rates(dataset, augmentation):
    """Images a second: whole training batches, and reading alone."""
    batches = iter(TrainingBatches(dataset, batch_size=BATCH, augmentation=augmentation, seed=0))
    next(batches)
    training = STEPS * BATCH / seconds(lambda: list(islice(batches, STEPS)))
    return training, COUNT / seconds(lambda: [dataset[i] for i in range(COUNT)])


def main():
    torch.set_num_threads(1)
    gpu = make_config("supervised", "gpu")
    augmentation = Augmentation(CROP, scale=gpu.scale, jitter=gpu.jitter, blur=gpu.blur, noise=gpu.noise)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["MINIDA_CACHE"] = str(root / "cache")
        size = write_cityscapes(root / "cityscapes")
        print(f"torch {torch.__version__}, {COUNT} images of {FULL[0]}x{FULL[1]}, {size / 1e6:.1f} MB a PNG")
        plain, kept = (minida.data.open(f"cityscapes:{root / 'cityscapes'}", size=CROP) for _ in range(2))
        with mock.patch.object(plain, "prepare", lambda labels=True: None):
            slow = rates(plain, augmentation)
        print(f"making the cache: {seconds(kept.prepare):.1f} s on {os.cpu_count()} cores")
        fast = rates(kept, augmentation)
        for name, before, after in zip(("training batches", "reading alone"), slow, fast, strict=True):
            print(f"{name:17s} files {before:6.1f}, cache {after:6.1f} images a second: {after / before:.1f}x")
        write_many(root / "many")
        for scheme in ("cityscapes", "gta5"):
            took = seconds(lambda scheme=scheme: minida.data.open(f"{scheme}:{root / 'many' / scheme}"))
            print(f"opening {MANY} pairs as {scheme}: {took:.2f} s")


if __name__ == "__main__":
    main()
