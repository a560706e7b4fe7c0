"""What a run leaves on disk: atomic writes, and model files with their metadata. Its folder: minida.runs."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from minida.models import DISCRIMINATORS, BiSeNet, Discriminator
from minida.models.bisenet import BACKBONES
from minida.types import IGNORE, ClassTable


class StorageError(OSError):
    """Something could not be written: one line that names the file, the reason and the fix."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a full disk or a read-only folder raises, in Python, torch or safetensors, into a StorageError."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        fix = "free some disk space, or choose a folder you may write to (what was there before is kept)"
        if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
            fix = "a file is where a folder is wanted, or a folder where a file is: choose another name"
        raise StorageError(f"{path}: cannot be written ({reason}); {fix}") from error


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: a reader sees all of it or none.

    Raises: StorageError; `path` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())  # before the name: a power cut must not leave the name of an empty file
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def to_json(value: Any) -> str:
    """`value` as indented JSON; NaN, which JSON lacks, becomes null."""
    return json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write `to_json(value)`, whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_text(to_json(value) + "\n", encoding="utf-8"))


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


@dataclass(frozen=True)
class Metadata:
    """What a model file says beside its weights."""

    num_classes: int
    backbone: str
    embedding: int | None
    size: tuple[int, int]  # height and width it was trained and evaluated at
    class_names: tuple[str, ...]
    class_frequency: tuple[float, ...]  # (C,) shares of the labelled data it was trained on


def save_model(path: Path, model: BiSeNet, table: ClassTable, frequency: np.ndarray, size: tuple[int, int]) -> None:
    """Write a model's weights and `Metadata` as safetensors."""
    metadata = Metadata(
        num_classes=model.num_classes,
        backbone=model.backbone,
        embedding=model.embedding_width,
        size=tuple(size),
        class_names=table.names,
        class_frequency=tuple(round(float(share), 9) for share in frequency),
    )
    _save(path, model.state_dict(), metadata)


def _save(path: Path, state: dict[str, torch.Tensor], metadata: Metadata | None = None) -> None:
    state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    stored = {key: json.dumps(value) for key, value in asdict(metadata).items()} if metadata else {}
    data = save(state, {"format": "minida-1" if metadata else "minida-part-1", **stored})
    write_atomically(path, lambda temporary: temporary.write_bytes(data))  # save_file hides it from others


def halve(source: str | Path, path: Path) -> None:
    """Copy a model file with its floating tensors as float16: half the size; `load` gives float32 back."""
    metadata, state = read_metadata(source), load_file(model_file(source))
    _save(path, {key: v.half() if v.is_floating_point() else v for key, v in state.items()}, metadata)


def model_file(path: str | Path) -> Path:
    """The model file that `path` means: itself, or `model.safetensors` in a run folder."""
    path = Path(path)
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{path}: no model there; expected a run folder or a model.safetensors")
    return file


def read_metadata(path: str | Path) -> Metadata:
    """The metadata of a run folder's model or of a model file. Raises ValueError for any other file."""
    file = model_file(path)
    try:
        with safe_open(file, framework="pt") as tensors:
            stored = tensors.metadata() or {}
        if ours := stored.pop("format", None) == "minida-1":
            values = {key: json.loads(value) for key, value in stored.items()}
            values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
            _check(metadata := Metadata(**values))
    except (OSError, SafetensorError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file}: damaged model file ({reason}); train again or copy it again") from None
    if not ours:
        raise ValueError(f"{file}: not a minida model; expected a file that minida train wrote")
    return metadata


def _check(metadata: Metadata) -> None:
    """Whether a network can be built from this. Raises ValueError."""
    names, shares = metadata.class_names, metadata.class_frequency
    texts = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
    numbers = all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares)
    for field, fine, expected in (
        ("backbone", metadata.backbone in BACKBONES, "one of " + ", ".join(BACKBONES)),
        ("num_classes", _is_count(metadata.num_classes) and metadata.num_classes <= IGNORE, f"1 to {IGNORE}"),
        ("embedding", metadata.embedding is None or _is_count(metadata.embedding), "null or a width"),
        ("size", len(metadata.size) == 2 and all(map(_is_count, metadata.size)), "a height and a width"),
        ("class_names", texts and len(names) == metadata.num_classes, f"{metadata.num_classes} names"),
        ("class_frequency", numbers and len(shares) == metadata.num_classes, f"{metadata.num_classes} shares"),
    ):
        if not fine:
            raise ValueError(f"{field} is {repr(getattr(metadata, field))[:200]}, expected {expected}")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value <= 2**16


def _put(state: dict[str, torch.Tensor], network: nn.Module) -> None:
    """Let `network`, which has no memory yet, have these tensors. Raises RuntimeError where they do not fit."""
    kinds = {key: value.dtype for key, value in network.state_dict().items()}
    for key, value in state.items():
        if value.dtype != kinds.get(key, value.dtype) or not value.isfinite().all():
            raise RuntimeError(f"{key} holds what is no number")
    network.load_state_dict(state, assign=True)


def load(path: str | Path) -> BiSeNet:
    """The model of a run folder or of a model.safetensors, in evaluation mode, float32, on the CPU.

    Raises:
        ValueError: no such file, not a minida model, damaged, or tensors that do not fit its metadata.
    """
    file, metadata = model_file(path), read_metadata(path)
    try:
        state = load_file(file)
        with torch.device("meta"):  # no memory before it is clear that the file fits
            model = BiSeNet(metadata.num_classes, metadata.backbone, embedding=metadata.embedding)
        state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        _put(state, model)
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"{file}: its tensors do not fit a {metadata.backbone} BiSeNet: {reason}") from None
    return model.eval()


def check_classes(path: str | Path, table: ClassTable) -> None:
    """Raises ValueError where a stored model's classes are not those of `table`, or what `read_metadata` raises."""
    metadata = read_metadata(path)
    if metadata.class_names != table.names:
        raise ValueError(
            f"{path} has {metadata.num_classes} classes, the data {len(table.names)} others; choose another"
        )


def save_part(path: Path, network: nn.Module) -> None:
    """Write the weights of a network that trained beside the model, such as a discriminator."""
    _save(path, network.state_dict())


def load_discriminator(path: str | Path) -> Discriminator:
    """The discriminator of an adversarial run's folder or of a discriminator.safetensors, on the CPU.

    Raises: ValueError for a path without one, or a file that holds something else.
    """
    file = Path(path) / "discriminator.safetensors" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise ValueError(f"{path}: no discriminator there; expected the folder of a finished adversarial run")
    try:
        state = {key: value.float() for key, value in load_file(file).items()}
        name = "fcd" if "layers.0.weight" in state else "dsc"  # the shapes of its first layer say the rest
        first = state["layers.0.weight" if name == "fcd" else "layers.0.1.weight"]  # (width, C, ...)
        with torch.device("meta"):
            network = DISCRIMINATORS[name](first.shape[1], first.shape[0])
        _put(state, network)
    except (KeyError, IndexError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(
            f"{file}: holds no discriminator ({reason}); expected what minida train adversarial wrote"
        ) from None
    return network.eval()


def initialise(model: BiSeNet, source: str | Path, table: ClassTable) -> str:
    """Put a stored model's weights into `model`: all where its classes are those of `table`, else the body's only.

    Returns one sentence that says which. Raises ValueError: another backbone, or what `load` raises.
    """
    metadata, state = read_metadata(source), load(source).state_dict()
    if metadata.backbone != model.backbone:
        found = f"{source} has backbone {metadata.backbone}, this run {model.backbone}"
        raise ValueError(f"{found}; choose backbone={metadata.backbone}, or another init")
    same = metadata.class_names == table.names
    fresh = () if same else ("fusion.", "head.", "aux16.", "aux32.")
    if metadata.embedding != model.embedding_width:
        fresh += ("embedding.",)
    model.load_state_dict({key: v for key, v in state.items() if not key.startswith(fresh)}, strict=False)
    if same:
        return f"initial weights: all of {source}"
    classes = f"it has {metadata.num_classes} classes, this run {len(table.names)} others"
    return f"initial weights: the body of {source}; the heads are new, because {classes}"
