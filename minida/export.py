"""Networks in the form they are deployed in: batch norms folded, fast layouts, bfloat16; and as ONNX files."""

import contextlib
import copy
import io
import json
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.transforms.v2 import functional as F

import minida
from minida.data import MiniCity, normalise
from minida.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from minida.device import faster_in_bfloat16, to_device
from minida.models import BiSeNet
from minida.storage import Metadata, write_atomically

NEAR_TIE = 1e-3  # two best logits closer than this may change places with the order of a float32 sum


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode with every batch norm folded into the convolution registered just before it.

    With fixed statistics a batch norm is a scale and a shift a channel, which weights and bias can take over.
    """
    model = copy.deepcopy(model).eval()
    for module in list(model.modules()):
        for (name, first), (norm, second) in pairwise(list(module.named_children())):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d | nn.SyncBatchNorm):
                setattr(module, name, fuse_conv_bn_eval(first, second))
                setattr(module, norm, nn.Identity())
    return model


class PackedConvolution(nn.Module):
    """nn.Conv2d for a CPU, its weights in oneDNN's layout for the input's shape, and what follows it in one go.

    PyTorch brings the weights into that layout on every call, which takes a third of a small image's time.
    """

    def __init__(self, convolution: nn.Conv2d, after: str = "none"):
        super().__init__()
        self.bias, self.packed, self.shape = convolution.bias, convolution.weight.detach().to_mkldnn(), None
        self.geometry = convolution.padding, convolution.stride, convolution.dilation, convolution.groups
        self.after = after  # or "relu"

    def forward(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        if x.shape != self.shape:
            self.packed = torch._C._nn.mkldnn_reorder_conv2d_weight(self.packed, *self.geometry, x.shape)
            self.shape = x.shape
        run, rest = torch.ops.mkldnn._convolution_pointwise, (self.packed, self.bias, *self.geometry)
        if addend is None:
            return run(x, *rest, self.after, [], "")
        return run.binary(x, addend, *rest, "add", None, "relu", [], "")


class PackedBlock(nn.Module):
    """A residual block of torchvision whose ReLUs and addition are part of its convolutions."""

    def __init__(self, block: BasicBlock | Bottleneck):
        super().__init__()
        *first, self.last = (PackedConvolution(c, "relu") for c in block.children() if isinstance(c, nn.Conv2d))
        self.first, self.skip = nn.Sequential(*first), pack(block.downsample or nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x), self.skip(x))


def pack(module: nn.Module) -> nn.Module:
    """Pack every convolution below a folded module, in place; the layers that became part of one are gone."""
    if [type(child) for child in module.children()][:3] == [nn.Conv2d, nn.Identity, nn.ReLU]:  # of conv_bn_relu
        module[0], module[2] = PackedConvolution(module[0], "relu"), nn.Identity()
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            setattr(module, name, PackedConvolution(child))
        else:
            setattr(module, name, PackedBlock(child) if isinstance(child, BasicBlock | Bottleneck) else pack(child))
    return module


def _can_pack(dtype: torch.dtype) -> bool:
    """Whether PyTorch and the processor have what a packed convolution needs: private, so asked for carefully."""
    try:
        with torch.inference_mode():
            x = torch.zeros(1, 1, 1, 1, dtype=dtype)
            PackedConvolution(nn.Conv2d(1, 1, 1, dtype=dtype), "relu")(x, x)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True


def for_inference(model: BiSeNet, device: torch.device, precision: str = "auto") -> BiSeNet:
    """A copy on `device` in the form it is deployed in; it takes float32 images and cannot be trained.

    Batch norms are folded, heads that only training needs are gone (auxiliary, representation), memory is channels
    last; weights, features and logits are in `precision`: float32, bfloat16, or "auto", what is faster on the device.
    """
    half = precision == "bfloat16" or (precision == "auto" and faster_in_bfloat16(device))
    dtype = torch.bfloat16 if half else torch.float32
    network = to_device(fold_batch_norm(model), device).to(dtype).requires_grad_(False)
    network.aux16 = network.aux32 = network.embedding = None
    network.logits_type = dtype
    if device.type == "cpu" and _can_pack(dtype):
        pack(network)
    last = torch.channels_last  # first the type, then the order: both in one go take twice as long
    network.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype).contiguous(memory_format=last),))
    return network


def synchronize(device: torch.device) -> None:
    """Wait for a GPU, which still computes when Python has gone on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def in_turns(ways: Sequence[Callable], device: torch.device, repeats: int = 30, seconds: float = 4.0) -> np.ndarray:
    """(runs, ways) milliseconds of each way after a warm-up, in turns so that a noisy moment hits all alike.

    At least 5 runs; at most `repeats`, and none that begins after `seconds`.
    """
    for way in (*ways, *ways):
        way()
    rows: list[list[float]] = []
    begin = time.perf_counter()
    while len(rows) < 5 or (len(rows) < repeats and time.perf_counter() - begin < seconds):
        rows.append([])
        for way in ways:
            synchronize(device)
            start = time.perf_counter()
            way()
            synchronize(device)
            rows[-1].append(1e3 * (time.perf_counter() - start))
    return np.array(rows)


@torch.inference_mode()
def compare_labels(model: BiSeNet, logits: Tensor, images: Tensor) -> dict[str, float]:
    """Labels that another form of a network gives (B, 3, H, W) images, beside the float32 network's own.

    Returns the number of `pixels`; of `near_ties`, whose two best logits lie less than NEAR_TIE apart; of those that
    `differ`; and the `widest_gap` between the two best logits of a pixel that differs.
    """
    best = model(images).logits.topk(min(2, logits.shape[1]), dim=1)  # (B, 2, H, W)
    gaps, differ = best.values[:, 0] - best.values[:, -1], logits.max(1).indices != best.indices[:, 0]
    counts = {"near_ties": gaps < NEAR_TIE, "differ": differ}
    widest = gaps[differ].max().item() if differ.any() else 0.0
    return {"pixels": gaps.numel(), **{key: int(mask.sum()) for key, mask in counts.items()}, "widest_gap": widest}


def to_onnx(model: BiSeNet, metadata: Metadata, size: tuple[int, int]) -> bytes:
    """A folded float32 network as ONNX: "image" (B, 3, H, W) normalised -> "logits" (B, C, H, W), for any B.

    Raises: ValueError where the exporter's packages are not installed.
    """
    try:
        import onnxscript  # noqa: F401  (it needs onnx)
    except ImportError:
        raise ValueError(
            "ONNX files need packages that are not installed: pip install onnx onnxscript onnxruntime"
        ) from None
    network, chatter = fold_batch_norm(model).cpu(), io.StringIO()
    network.register_forward_hook(lambda _, inputs, output: output.logits)
    with contextlib.redirect_stdout(chatter), contextlib.redirect_stderr(chatter), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proto = torch.onnx.export(
            network, (torch.zeros(2, 3, *size),), dynamo=True, verbose=False,
            input_names=["image"], output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("batch")},),
        ).model_proto  # fmt: skip
    for node in proto.graph.node:
        node.ClearField("metadata_props")  # which line of code in whose folders it came from
    proto.producer_name, proto.producer_version = "minida", minida.__version__
    facts = {"class_names": metadata.class_names, "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "size": size}
    for key, value in facts.items():
        proto.metadata_props.add(key=key, value=json.dumps(value))
    return proto.SerializeToString()


def open_onnx(content: bytes) -> Callable[[Tensor], Tensor] | None:
    """Runs an ONNX file, images -> logits, with as many threads as PyTorch; None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3  # errors only
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"image": images.numpy()})[0])


def write_onnx(
    model: BiSeNet, metadata: Metadata, file: Path, size: tuple[int, int], image: Tensor | None = None
) -> dict[str, Any]:
    """Write `to_onnx`, if it gives PyTorch's labels on (3, h, w) uint8 `image`, else on a street of MiniCity.

    Returns `bytes`, and where onnxruntime is installed `labels` (see `compare_labels`) and median `ms` of each form.
    Raises: ValueError, and writes nothing, where labels differ that are no near ties; what `to_onnx` raises.
    """
    content = to_onnx(model, metadata, size)
    run, found = open_onnx(content), {"bytes": len(content), "labels": None, "ms": None}
    if run:
        image = MiniCity("real", "val", size).image(0) if image is None else image
        images = normalise(F.resize(image[None], list(size), antialias=True))
        found["labels"] = compare_labels(model, run(images), images)
        if found["labels"]["widest_gap"] >= NEAR_TIE:
            wrong = "{differ} of {pixels} labels differ from PyTorch's".format(**found["labels"])
            raise ValueError(f"{file} is not written: {wrong}; try other versions of torch, onnxscript or onnxruntime")
        fast = for_inference(model, torch.device("cpu"))
        times = in_turns([lambda: model(images), lambda: fast(images), lambda: run(images)], torch.device("cpu"))
        found["ms"] = dict(zip(("plain", "deployed", "onnxruntime"), np.median(times, axis=0).tolist(), strict=True))
    write_atomically(file, lambda part: part.write_bytes(content))
    return found
