"""Where a run computes, in which precision, and what to call that place in a record of results."""

import os
import platform
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn


def resolve_device(name: str) -> torch.device:
    """ "auto" is a GPU where there is one; of several processes (torchrun) each takes the GPU of its number.

    Raises ValueError for a device that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and (number := int(os.environ.get("LOCAL_RANK", "0"))) > 0:
        if number >= torch.cuda.device_count():
            found = f"{torch.cuda.device_count()} GPU(s)"
            raise ValueError(f"process {number} finds {found} here; start one process a GPU, or set device=cpu")
        name = f"cuda:{number}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()  # "meta" has nothing to give
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used; expected cpu, cuda or auto") from error
    return device


def faster_in_bfloat16(device: torch.device) -> bool:
    """Whether autocast to bfloat16 pays on this device: it needs instructions for it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private, so asked for carefully
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def describe_device(device: torch.device) -> str:
    """A name to state beside a measurement, such as "NVIDIA H200" or "AMD EPYC, 2 threads"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name, table = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if table.exists():
        models = [line.split(":")[1].strip() for line in table.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """Of the libraries that decide a result's last digits."""
    return {"torch": torch.__version__, "torchvision": torchvision.__version__}


def to_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network; channels last, which convolutions on CPUs and GPUs are faster with."""
    return network.to(device=device, memory_format=torch.channels_last)


def move(part: Tensor | None, device: torch.device) -> Tensor | None:
    """A batch's tensor on the device; images channels last."""
    if part is None:
        return None
    layout = torch.channels_last if part.ndim == 4 else torch.preserve_format
    return part.to(device, non_blocking=True, memory_format=layout)
