"""The folder of one run, what may be done with one that is there already, and how a run is stopped."""

import dataclasses
import json
import signal
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import Any

import filelock
import torch

from minida.config import Config
from minida.storage import plain, write_atomically, write_json, writing


class RunFolder:
    """config.json, history.jsonl, result.json, checkpoint.pt, model.safetensors and its companions' of one run."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config, self.result = self.path / "config.json", self.path / "result.json"
        self.history, self.model = self.path / "history.jsonl", self.path / "model.safetensors"
        self.checkpoint = self.path / "checkpoint.pt"

    def exists(self) -> bool:
        """Whether a run is here that could be lost: one that got as far as its first checkpoint."""
        return self.checkpoint.exists() or self.result.exists()

    def read_config(self) -> dict[str, Any]:
        """Raises ValueError for a damaged file."""
        try:
            return dict(json.loads(self.config.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{self.config}: damaged ({error}); delete the run and start again") from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep the folder for this process; the system opens the lock again even if the process is killed.

        Raises: ValueError where another process holds it, StorageError where nothing can be written.
        """
        lock = filelock.FileLock(self.path / ".lock")
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            with suppress(filelock.Timeout):
                lock.acquire(timeout=0)
        if not lock.is_locked:
            raise ValueError(f"{self.path} is in use by another process; wait for it, or choose another folder")
        for left in self.path.glob(".*.part"):  # by a process that was killed while it wrote
            left.unlink()
        try:
            yield
        finally:
            lock.release()

    def begin(self, config: dict[str, Any]) -> None:
        """Start a run: its configuration, and an empty history."""
        for left in self.path.glob("*pseudo-labels-*.npy"):  # by a run that ended before its first checkpoint
            left.unlink()
        write_json(self.config, config)
        write_atomically(self.history, lambda temporary: temporary.write_text("", encoding="utf-8"))

    def pseudo_labels(self, number: int) -> Path:
        """Where the labels are that round `number` was trained on: (N, H, W) uint8."""
        return self.path / f"pseudo-labels-{number}.npy"

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        write_atomically(self.checkpoint, lambda temporary: torch.save(state, temporary))

    def load_checkpoint(self) -> dict[str, Any]:
        """What `save_checkpoint` wrote, on the CPU. Raises ValueError for a file that is no checkpoint."""
        try:
            with zipfile.ZipFile(self.checkpoint) as archive:
                if damaged := archive.testzip():  # by its checksum, which torch does not look at
                    raise ValueError(f"{damaged} is damaged")
            return torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            raise self.refusal("cannot be read", error) from None

    def refusal(self, wrong: str, error: Exception) -> ValueError:
        """What to raise for a checkpoint that is of no use; in one line, PyTorch's take many."""
        reason = " ".join(str(error).split()) or type(error).__name__
        return ValueError(f"{self.checkpoint}: {wrong} ({reason}); delete the run and start again")

    def read_history(self, last_step: int) -> list[dict[str, Any]]:
        """Records up to `last_step`; what a killed run wrote after its checkpoint is cut off."""
        if not self.history.exists():
            return []
        records = []
        for line in self.history.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
                numbers = [value for value in record.values() if value is not None]
                if not all(type(number) in (int, float) and isfinite(number) for number in numbers):
                    break
                if (records[-1]["step"] if records else 0) < record["step"] <= last_step:
                    records.append(record)
            except Exception:  # the half line that a kill left
                break
        text = "".join(json.dumps(record) + "\n" for record in records)
        write_atomically(self.history, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        return records

    def append_history(self, record: dict[str, Any]) -> None:
        with writing(self.history), self.history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain(record)) + "\n")


def progress_of(state: dict[str, Any], steps: int) -> tuple[int, float, float]:
    """Step, seconds and seconds of waiting in a checkpoint of a run of `steps`. Raises ValueError, KeyError."""
    step, times = state["step"], (state["seconds"], state["waited"])
    if type(step) is not int or not 0 <= step <= steps or not all(type(time) is float and time >= 0 for time in times):
        raise ValueError(f"step {step!r} after {times!r} seconds")
    return step, *times


def refuse_other_run(folder: RunFolder, resume: bool, config: Config | None = None) -> None:
    """Raises ValueError where `folder` holds a run: any, unless it is resumed; then one with another `config`."""
    if not folder.exists():
        return
    if not resume:
        raise ValueError(f"{folder.path} holds a run already; give resume (--resume) to continue it, or another folder")
    if config is None:
        return
    stored, wanted = folder.read_config(), json.loads(json.dumps(dataclasses.asdict(config)))
    for key in wanted:
        began = stored.get(key, getattr(Config, key))  # a run of before there was such a field had its default
        if began != wanted[key]:
            found = f"{folder.path} was started with {key}={began!r}, not {wanted[key]!r}"
            raise ValueError(f"{found}; use one of both")


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn Ctrl-C and kill into a flag, so that the loop ends between two steps. Main thread only."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    caught = {number: signal.signal(number, lambda *_: flag.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
