"""How long a network takes here, what memory a pass needs and how much work it is."""

import copy
import ctypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode  # shapes without memory or work
from torch.utils.flop_counter import FlopCounterMode

from minida.data import MiniCity, normalise
from minida.device import describe_device, faster_in_bfloat16, to_device
from minida.export import compare_labels, for_inference, in_turns
from minida.losses import SOURCE, TARGET, domain_loss
from minida.models import DISCRIMINATORS, BiSeNet

MEASURED = """A pass: normalised images on the device in, logits at their size out; median (95th percentile).
Deployed: batch norms folded, channels last, packed weights, the precision above. Plain: batch norms kept, PyTorch's
default memory order, eager float32. Both in turns after a warm-up. The ratio is all of these together.
Labels: share of MiniCity's pixels on which the two disagree, - for untrained networks.
MiB: the most that a deployed pass adds to what the process holds with the weights loaded. Parameters: without the
auxiliary heads, which do not run at inference. GFLOPs: 2 x multiply-adds of the convolutions alone, for one image."""

# What a profiler counts for an element of a bilinear upsampling: its own constant, no law. The report's Table II
# counts with it a x32 upsampling of the discriminator's map, which training does not need.
UPSAMPLING_OPERATIONS = 22


@dataclass(frozen=True)
class Timing:
    """Passes of one form of a network over a whole batch."""

    ms: float  # median
    p95_ms: float  # 95th percentile
    images_per_second: float
    memory: int | None  # bytes that a pass adds at most; None where the system does not tell


@dataclass(frozen=True)
class Latency:
    """A network at one size and batch; what the numbers mean is said in `MEASURED`."""

    network: str
    size: tuple[int, int]
    batch: int
    deployed: Timing  # the form of `for_inference`
    plain: Timing
    ratio: float  # plain.ms / deployed.ms
    runs: int
    labels_differ: float | None  # share of the pixels
    parameters: int
    flops: int
    precision: str  # of the deployed form
    device: str
    torch: str


def latency(
    model: BiSeNet, size: tuple[int, int], batch: int = 1, repeats: int = 30, device: torch.device | str = "cpu",
    name: str | None = None,
) -> Latency:  # fmt: skip
    """Measure a network on MiniCity's images; `name` is None for an untrained one, whose labels mean nothing.

    Raises: ValueError for a size or batch that is out of range, or too large for the memory.
    """
    if batch < 1:
        raise ValueError(f"cannot measure a batch of {batch}; expected 1 or more")
    city, device = MiniCity("real", "val", size, n=batch), torch.device(device)
    images = normalise(torch.stack([city.image(i) for i in range(batch)])).to(device)
    try:
        plain = copy.deepcopy(model).eval().to(device, memory_format=torch.contiguous_format)
        deployed = for_inference(model, device)
        ways = [lambda: deployed(images).logits, lambda: plain(images).logits]
        times = in_turns(ways, device, repeats)
        columns = zip(ways, *np.percentile(times, (50, 95), axis=0).tolist(), strict=True)
        fast, slow = (Timing(ms, p95, 1e3 * batch / ms, added_memory(way, device)) for way, ms, p95 in columns)
        labels = compare_labels(plain, deployed(images).logits, images)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"a batch of {batch} at {size[0]}x{size[1]} fails ({reason}); choose less") from error
    precision = str(next(deployed.parameters()).dtype).removeprefix("torch.")
    return Latency(
        name or model.backbone, tuple(size), batch, fast, slow, slow.ms / fast.ms, len(times),
        labels["differ"] / labels["pixels"] if name else None, *work(model, size), precision,
        describe_device(device), torch.__version__,
    )  # fmt: skip


@torch.inference_mode()
def added_memory(way: Callable, device: torch.device) -> int | None:
    """The most bytes that `way` takes beyond what is held before it; None where the system does not tell."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        way()
        return torch.cuda.max_memory_allocated(device) - before
    peaks = []
    try:
        ctypes.CDLL(None).malloc_trim(0)  # freed memory that glibc keeps would hide what a pass takes
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins again at what is resident now
        for run in (lambda: None, way):
            run()
            peaks.append(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]))
    except (OSError, AttributeError, TypeError):  # not Linux, or not glibc
        return None
    return 1024 * (peaks[1] - peaks[0])


def convolution_flops(build: Callable[[], nn.Module], inputs: tuple[int, ...]) -> int:
    """FLOPs, 2 x multiply-adds, of all convolutions in a pass of the network that `build` returns; nothing is run."""
    with FakeTensorMode(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        build().eval()(torch.zeros(inputs))
    return counter.get_flop_counts()["Global"][torch.ops.aten.convolution]


def work(model: BiSeNet, size: tuple[int, int]) -> tuple[int, int]:
    """Parameters without the heads of training, and FLOPs of the convolutions for one image."""

    def build() -> BiSeNet:  # without the representation head
        return BiSeNet(model.num_classes, model.backbone)

    with torch.device("meta"):
        parameters = sum(p.numel() for name, p in build().named_parameters() if not name.startswith("aux"))
    return parameters, convolution_flops(build, (1, 3, *size))


def discriminator_costs(
    size: tuple[int, int], batch: int = 1, device: torch.device | str = "cpu", width: int = 64
) -> list[dict[str, Any]]:
    """A record for each discriminator, the report's Table II and more, for predictions of 19 classes.

    `flops` of the convolutions and `flops_with_upsampling`, both for one image; `forward_ms` and `update_ms` of a
    batch, medians taken in turns. An update: source and target forward and backward, and Adam's step, as in training.
    """
    device, records, ways = torch.device(device), [], []
    mixed = faster_in_bfloat16(device)
    probs = torch.randn(batch, 19, *size, device=device).softmax(1)
    for name, kind in DISCRIMINATORS.items():
        network = to_device(kind(19, width), device)
        flops = convolution_flops(lambda kind=kind: kind(19, width), (1, 19, *size))
        upsampling = UPSAMPLING_OPERATIONS * size[0] * size[1]
        parameters = sum(parameter.numel() for parameter in network.parameters())
        case = {"discriminator": name, "width": width, "size": size, "batch": batch, "parameters": parameters}
        records.append({**case, "flops": flops, "flops_with_upsampling": flops + upsampling})
        optimizer = torch.optim.Adam(network.parameters(), 1e-4)

        def forward(network: nn.Module = network) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                return network(probs)

        def update(forward: Callable = forward, optimizer: torch.optim.Optimizer = optimizer) -> None:
            with torch.inference_mode(False):
                optimizer.zero_grad()
                (domain_loss(forward(), SOURCE) + domain_loss(forward(), TARGET)).backward()
                optimizer.step()

        ways += [forward, update]
    medians = np.median(in_turns(ways, device), axis=0).reshape(-1, 2).tolist()
    place = {"precision": "bfloat16 (dsc on a CPU: float32)" if mixed else "float32", "device": describe_device(device)}
    return [
        {**record, "forward_ms": forward, "update_ms": update, **place, "torch": torch.__version__}
        for record, (forward, update) in zip(records, medians, strict=True)
    ]


def table(records: Sequence[dict[str, Any]]) -> str:
    """Records, `Latency` as dictionaries as `bench` stores them, aligned under where they were measured."""
    heads = "network", "size", "batch", "deployed ms", "plain ms", "ratio", "runs", "images/s", "labels"
    cells = [(*heads, "MiB", "GFLOPs", "parameters")]
    for row in records:
        deployed, differ = row["deployed"], row["labels_differ"]
        case = Path(row["network"]).name, "x".join(map(str, row["size"])), str(row["batch"])
        times = [f"{form['ms']:,.1f} ({form['p95_ms']:,.1f})" for form in (deployed, row["plain"])]
        speed = f"{row['ratio']:.2f}x", str(row["runs"]), f"{deployed['images_per_second']:,.1f}"
        labels = "-" if differ is None else f"{differ:.2%}"
        memory = "-" if deployed["memory"] is None else f"{deployed['memory'] / 2**20:,.0f}"
        cells.append((*case, *times, *speed, labels, memory, f"{row['flops'] / 1e9:.2f}", f"{row['parameters']:,}"))
    place = "{device}, {precision}, torch {torch}: median of a pass (95th percentile)".format(**records[0])
    return "\n".join([place, *aligned(cells)])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose columns end at the same place."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.rjust, row, widths)) for row in rows]
