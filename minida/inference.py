"""Predictions for a person's own images: palette PNGs of training ids, and overlays."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from tqdm.auto import tqdm

from minida.data import normalise
from minida.data.folders import IMAGE_ENDINGS, open_file
from minida.device import faster_in_bfloat16
from minida.models import BiSeNet
from minida.models.bisenet import upsample
from minida.storage import write_atomically
from minida.types import PALETTE
from minida.viz.views import overlay


def list_images(paths: Iterable[str | Path]) -> list[Path]:
    """The images that files and folders name, a folder's in order. Raises ValueError for one that has none."""
    files = []
    for path in map(Path, paths):
        found = sorted(p for p in path.glob("*") if p.suffix.lower() in IMAGE_ENDINGS) if path.is_dir() else [path]
        if not found or not found[0].is_file():
            raise ValueError(f"{path}: no image there; expected an image, or a folder with {', '.join(IMAGE_ENDINGS)}")
        files += found
    repeated = {file.stem for file in files if sum(other.stem == file.stem for other in files) > 1}
    if repeated:
        raise ValueError(f"two images are named {min(repeated)!r} and would be written to one file; rename one")
    return files


@torch.inference_mode()
def predict_image(model: BiSeNet, image: Tensor, size: tuple[int, int]) -> np.ndarray:
    """(3, h, w) uint8 -> (h, w) uint8 training ids: seen by the network at `size`, decided at its own size."""
    device = next(model.parameters()).device
    resized = F.resize(image[None], list(size), antialias=True).to(device, memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=faster_in_bfloat16(device)):
        logits = model(normalise(resized)).logits  # (1, C, H, W)
    return upsample(logits, *image.shape[1:]).argmax(1)[0].to(torch.uint8).cpu().numpy()


def predict_files(
    model: BiSeNet, files: list[Path], out: Path, size: tuple[int, int], progress: bool = True
) -> list[Path]:
    """Write NAME.png (palette PNG of training ids) and NAME_overlay.jpg for every image; return the label files."""
    model.eval()
    written = []
    for file in tqdm(files, "predict", unit="image", disable=not progress):
        image = F.pil_to_tensor(open_file(file).convert("RGB"))
        labels = predict_image(model, image, size)
        palette = Image.fromarray(labels, mode="P")
        palette.putpalette(PALETTE.flatten().tolist())
        tinted = Image.fromarray(overlay(image, labels))
        written.append(out / f"{file.stem}.png")
        write_atomically(written[-1], lambda part, picture=palette: picture.save(part, "png"))
        write_atomically(
            out / f"{file.stem}_overlay.jpg", lambda part, picture=tinted: picture.save(part, "jpeg", quality=92)
        )
    return written
