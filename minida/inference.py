"""Predictions for a person's own images and videos: palette PNGs of training ids, and overlays."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from tqdm.auto import tqdm

from minida import distributed
from minida.data import SegmentationDataset, evaluation_batches, normalise
from minida.data.base import resize_labels
from minida.data.folders import IMAGE_ENDINGS, open_picture
from minida.device import faster_in_bfloat16
from minida.export import synchronize
from minida.labeling import LabelingStrategy, label_images
from minida.metrics import PseudoLabelQuality
from minida.models import BiSeNet
from minida.models.bisenet import decided, upsample
from minida.storage import write_atomically, write_json
from minida.types import IGNORE, PALETTE
from minida.viz.views import overlay

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".gif")


def list_files(paths: Iterable[str | Path]) -> list[Path]:
    """The images and videos that files and folders name, a folder's in order.

    Raises: ValueError where there is none, where two would be written to one file, for a video without its reader.
    """
    files, endings = [], IMAGE_ENDINGS + VIDEO_ENDINGS
    for path in map(Path, paths):
        found = sorted(p for p in path.glob("*") if p.suffix.lower() in endings) if path.is_dir() else [path]
        if not found or not found[0].is_file():
            raise ValueError(f"{path}: no image there; expected a file, or a folder with {', '.join(endings)}")
        files += found
    videos = {file.stem: file for file in files if file.suffix.lower() in VIDEO_ENDINGS}
    if videos and not find_spec("imageio_ffmpeg"):
        raise ValueError(f'{min(videos.values())}: a video takes one package more: pip install "imageio[ffmpeg]"')
    names = Counter()
    for file in files:
        video, _, number = file.stem.rpartition("_")
        names[video if video in videos and number.isdigit() else file.stem] += 1  # so are its frames called
    name, count = names.most_common(1)[0]
    if count > 1:
        raise ValueError(f"two files are named {name!r} and would be written to one; rename one")
    return files


def refuse_overwriting(files: Iterable[Path], out: Path) -> None:
    """Raises ValueError where a label map or an overlay in `out` would replace one of the pictures."""
    files = list(files)
    pictures = {file.resolve(): file for file in files}
    for written in (out.resolve() / f"{file.stem}{ending}" for file in files for ending in (".png", "_overlay.jpg")):
        if written in pictures:
            raise ValueError(f"{pictures[written]} would be replaced by what is written; choose another --out")


def read_pictures(files: Iterable[Path]) -> Iterator[tuple[str, Tensor]]:
    """NAME and (3, h, w) uint8 of every image; NAME_00000, NAME_00001 … of a video's frames. One is held at a time.

    Raises: ValueError for a file that cannot be read.
    """
    for file in files:
        if file.suffix.lower() not in VIDEO_ENDINGS:
            yield file.stem, F.pil_to_tensor(open_picture(file))
            continue
        import imageio.v3

        options = {"plugin": "pillow", "mode": "RGB"} if file.suffix.lower() == ".gif" else {"plugin": "FFMPEG"}
        try:
            for number, frame in enumerate(imageio.v3.imiter(file, **options)):
                yield f"{file.stem}_{number:05d}", torch.from_numpy(frame).permute(2, 0, 1)
        except Exception as error:  # many kinds, each format its own; ffmpeg's words fill a page
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(f"{file}: cannot be read as a video ({reason}); copy or convert it again") from None


@torch.inference_mode()
def predict_image(model: BiSeNet, image: Tensor, size: tuple[int, int]) -> np.ndarray:
    """(3, h, w) uint8 -> (h, w) uint8 training ids: seen by the network at `size`, decided at its own size."""
    return _predict(model, image, size)[0]


def _predict(model: BiSeNet, image: Tensor, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """The labels, and the seconds that the network alone took."""
    device = next(model.parameters()).device
    prepared = normalise(F.resize(image[None], list(size), antialias=True).to(device))  # (1, 3, H, W)
    start = time.perf_counter()
    logits = model(prepared).logits
    synchronize(device)
    seconds = time.perf_counter() - start
    return decided(upsample(logits, *image.shape[1:]), 1)[0].to(torch.uint8).cpu().numpy(), seconds


@torch.inference_mode()
def predict_files(
    model: BiSeNet, pictures: Iterable[tuple[str, Tensor]], out: Path, size: tuple[int, int],
    progress: bool = True, total: int | None = None,
) -> dict[str, float]:  # fmt: skip
    """Write NAME.png (palette PNG of training ids) and NAME_overlay.jpg for every (NAME, (3, h, w) uint8) picture.

    Returns how many `images` there were, and how many a second all in all and of the network alone.
    """
    model(torch.zeros(1, 3, *size, device=next(model.parameters()).device))  # the first pass prepares the others
    images, network, begin = 0, 0.0, time.perf_counter()
    for name, image in tqdm(pictures, "predict", total, unit="image", disable=not progress):
        labels, seconds = _predict(model, image, size)
        tinted = Image.fromarray(overlay(image, labels))
        write_palette_png(out / f"{name}.png", labels)
        write_atomically(
            out / f"{name}_overlay.jpg", lambda part, picture=tinted: picture.save(part, "jpeg", quality=92)
        )
        images, network = images + 1, network + seconds
    rates = {"images_per_second": images / (time.perf_counter() - begin), "network_per_second": images / (network or 1)}
    return {"images": images, **rates}


def write_palette_png(path: Path, labels: np.ndarray, colours: np.ndarray = PALETTE) -> None:
    """(H, W) uint8 training ids as a PNG whose values they are, in the classes' colours; IGNORE is black."""
    picture = Image.fromarray(labels, mode="P")
    picture.putpalette(np.pad(colours, ((0, 256 - len(colours)), (0, 0))).flatten().tolist())
    write_atomically(path, lambda part: picture.save(part, "png"))


def label_dataset(
    model: BiSeNet, strategy: LabelingStrategy, dataset: SegmentationDataset, prior: np.ndarray, out: Path,
    flip: bool = False, progress: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Write the pseudo-labels of a data set as NAME.png at its `size` (255: not believed), and a quality.json.

    The report has the coverage and, where the data set has labels, how good they are: they are read for nothing else.
    `prior` (C,) is what the KL divergence compares the shares with. Of several processes each writes its share.
    """
    quality, truthful = PseudoLabelQuality(model.num_classes), dataset.has_labels
    mixed = faster_in_bfloat16(next(model.parameters()).device)
    batches = evaluation_batches(dataset, with_labels=False)
    share = range(distributed.rank(), len(dataset), distributed.world_size())
    for index, labels in zip(share, label_images(model, strategy, batches, 0.0, flip, mixed, progress), strict=True):
        write_palette_png(out / f"{dataset.image_name(index)}.png", labels.numpy(), dataset.table.palette)
        truth = resize_labels(dataset.labels(index), dataset.size) if truthful else torch.full_like(labels, IGNORE)
        quality.update(labels, truth)
    quality.merge()
    names, (covered, accuracy) = dataset.table.names, (quality.coverage(), quality.accuracy())
    report = {"images": len(dataset), "data": f"{dataset.spec} {dataset.split}", "coverage": covered.overall}
    report["kl"] = quality.kl(prior)
    per_class = {"share": quality.shares()}
    if truthful:
        report |= {"kl_to_truth": quality.kl(quality.counts.sum(0)[:-1]), "accuracy": accuracy.overall}
        per_class |= {"coverage": covered.per_class, "accuracy": accuracy.per_class}
    report["classes"] = {
        name: {key: float(values[c]) for key, values in per_class.items()} for c, name in enumerate(names)
    }
    if distributed.rank() == 0:
        write_json(out / "quality.json", report)
    return report
