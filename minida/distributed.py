"""Several processes as one, on torch.distributed. Without a process group everything works as process 0 of 1.

`torchrun --nproc-per-node N -m minida train …` starts N processes of one command. Each computes its share of every
batch and of the evaluated images; gradients are averaged, counts are summed, and process 0 alone writes and speaks.
What is "collective" below has to be called by every process, in the same order.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn


def active() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number; 0 is the one that writes and speaks."""
    return dist.get_rank() if active() else 0


def world_size() -> int:
    return dist.get_world_size() if active() else 1


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started; do nothing without torchrun, or inside a group.

    Where one process fails, all end: the first error is raised as it is, in the others SystemExit, so that a
    person reads one message.
    """
    if active() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    store, number, size = next(iter(dist.rendezvous("env://")))
    turn = store.add(f"minida/turn/{number}", 1)  # torchrun's store outlives a group: each has names of its own
    store = dist.PrefixStore(f"minida/{turn}", store)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    if backend != "gloo":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group(backend, store=store, rank=number, world_size=size)
    leave = backend == "gloo"  # NCCL would first wait for what the other processes no longer do
    try:
        yield
        leave = True
    except (Exception, KeyboardInterrupt) as error:
        if not _is_first(store):
            raise SystemExit(1) from None
        error.add_note(f"(process {number} of {size})")
        raise
    finally:
        if leave:
            dist.destroy_process_group()


def _is_first(store: dist.Store) -> bool:
    """Whether no other process has failed before; if the store is gone, its holder has."""
    try:
        return store.add("failed", 1) == 1
    except RuntimeError:
        return False


@contextmanager
def _together() -> Iterator[None]:
    """Turn what a lost connection is, a RuntimeError of many texts, into one line."""
    try:
        yield
    except RuntimeError as error:
        text = "another process of this run has ended; see its message, then start all of them again with --resume"
        raise ConnectionError(f"{text} ({str(error).splitlines()[0]})") from error


def _all_reduce(tensor: Tensor, operation: dist.ReduceOp = dist.ReduceOp.SUM) -> Tensor:
    with _together():
        dist.all_reduce(tensor, operation)
    return tensor


def total(values: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """Collective: the sum over all processes, as the same kind of array."""
    if not active():
        return values
    if isinstance(values, np.ndarray):
        return _all_reduce(torch.from_numpy(values.copy())).numpy()
    return _all_reduce(values.clone())


def average(value: Tensor) -> Tensor:
    """Collective: the mean over all processes."""
    return total(value) / world_size()


def stack(tensor: Tensor) -> Tensor:
    """Collective: the tensors of all processes, of one shape, by rank: (N, *shape)."""
    if not active():
        return tensor[None]
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size())]
    with _together():
        dist.all_gather(parts, tensor.contiguous())
    return torch.stack(parts)


def check_batch_size(batch_size: int, why: str = "") -> None:
    """Raises ValueError for a batch that the processes cannot share evenly, with two images each."""
    shares = world_size()
    if batch_size % shares or batch_size < 2 * shares:
        raise ValueError(
            f"batch_size {batch_size} for {shares} processes{why}; expected a multiple of it, 2 images each"
        )


def any_process(*flags: bool) -> list[bool]:
    """Collective: for every flag, whether any process raised it. On the CPU, so a GPU does not wait for it."""
    return list(flags) if not active() else _all_reduce(torch.tensor(flags, dtype=torch.int), dist.ReduceOp.MAX) > 0


def broadcast(value: Any) -> Any:
    """Collective: process 0's value, of any kind that can be pickled."""
    if not active():
        return value
    box = [value]
    with _together():
        dist.broadcast_object_list(box, device=torch.device("cpu"))
    return box[0]


def gather(value: Any) -> list[Any]:
    """Collective: every process's value, of any kind that can be pickled, by rank."""
    if not active():
        return [value]
    values = [None] * world_size()
    with _together():
        dist.all_gather_object(values, value)
    return values


def _average_in_place(tensors: Iterable[Tensor]) -> None:
    """One collective for all tensors; many small ones would each cost a round trip."""
    tensors = list(tensors)
    if active() and tensors:
        flat = _all_reduce(torch.cat([tensor.flatten() for tensor in tensors])).div_(world_size())
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))


def average_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Collective: a hook for `Optimizer.register_step_pre_hook`, so that a method's own `step` need not know of it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    _average_in_place(parameter.grad for parameter in parameters if parameter.grad is not None)


@torch.no_grad()
def average_statistics(networks: Iterable[nn.Module]) -> None:
    """Collective: the running means and variances of batch norm, which each process gathers from its own share.

    They are linear in what was seen, so it does not matter at which steps this is done.
    """
    buffers = (buffer for network in networks for buffer in network.buffers())
    _average_in_place(buffer for buffer in buffers if buffer.is_floating_point())


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with batch norm over the whole batch where the backend can (GPUs); on a CPU as it is."""
    if active() and device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return network
