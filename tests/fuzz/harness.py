"""Runs spoiled inputs and judges what comes of each: an answer, one documented line, or a failure.

A case may write in its own folder alone, may not read what lies beside it, starts no program, opens no connection and
unpickles nothing; Python's audit events tell. `MINIDA_FUZZ=10` runs ten times as many inputs, `MINIDA_FUZZ_SEED`
chooses others, and `MINIDA_FUZZ_CASE=123` repeats one.
"""

import contextlib
import dataclasses
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from minida.data import DataError
from minida.storage import StorageError

SEED = int(os.environ.get("MINIDA_FUZZ_SEED", "20261127"))
TIMES = float(os.environ.get("MINIDA_FUZZ", "1"))
ONLY = os.environ.get("MINIDA_FUZZ_CASE")
SLOW = 20.0  # seconds after which a case hangs
ROOM = 3 * 2**30  # bytes of address space that a case may take
DOCUMENTED = (ValueError, DataError, StorageError)  # exactly these: a UnicodeDecodeError names no file
PLAN = {  # target -> inputs of an ordinary run
    "specs": 2500, "splits and sizes": 500, "label files": 900, "image files": 500, "trees": 350, "classes.json": 500,
    "model metadata": 900, "model files": 250, "discriminators": 200, "halved and initial": 100,
    "backbone weights": 250, "config.json": 400, "history.jsonl": 500, "checkpoints": 500, "resumed states": 80,
    "resumed runs": 16, "pseudo-labels": 500, "regions": 300, "results files": 700, "run records": 300,
    "result tables": 400, "notebooks": 300, "sources": 150, "own notebooks": 150, "marks": 300, "grades": 300,
    "plain data": 500, "configurations": 2500, "command lines": 900,
}  # fmt: skip
RAN: dict[str, int] = {}  # what this process has run of it
SPENT: dict[str, float] = {}  # seconds


class Hang(BaseException):
    """A case took too long."""


class Forbidden(BaseException):
    """A case did what none may do."""


@dataclass(frozen=True)
class Verdict:
    """`kind`: ok, refused (as documented) or failure; `said`: what was returned or raised, in words."""

    kind: str
    said: str


class Watch:
    """What Python tells of files, programs, connections and pickles while a case runs."""

    WRITES = ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate", "shutil.rmtree")
    PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
    NEVER = (*PROGRAMS, "socket.connect", "pickle.find_class")

    def __init__(self) -> None:
        self.inside: Path | None = None
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.inside is None:
            return
        if event in self.NEVER:
            self._forbid(f"{event}{arguments!r}")
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, mode, flags = arguments
            writes = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            self._look(event, path, writes or any(letter in str(mode or "") for letter in "wax+"))
        elif event in self.WRITES and not _within_a_folder(arguments):
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                self._look(event, path, True)

    def _look(self, event: str, path: Any, writes: bool) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        text = os.path.abspath(os.fsdecode(path))
        home, beside = str(self.inside) + os.sep, str(self.inside.parent / "outside")
        if text.startswith(beside) or (writes and not (text + os.sep).startswith(home) and not _harmless(text)):
            self._forbid(f"{event} {'writes' if writes else 'reads'} {text}")

    def _forbid(self, what: str) -> None:
        self.seen.append(what)
        if threading.current_thread() is threading.main_thread():
            raise Forbidden(what)


def _within_a_folder(arguments: tuple) -> bool:
    """Whether a name is relative to an open folder, as in shutil.rmtree, whose own event names that."""
    return len(arguments) > 1 and type(arguments[-1]) is int and arguments[-1] >= 0


def _harmless(path: str) -> bool:
    return "__pycache__" in path or path.startswith(("/dev/", "/proc/"))


WATCH = Watch()
sys.addaudithook(WATCH)


@contextlib.contextmanager
def watched(inside: Path) -> Iterator[None]:
    """Watch what is done beside `inside`; torch.load has to be the safe one, pickle is not to be used."""
    load = torch.load

    def safely(*arguments: Any, **options: Any) -> Any:
        if options.get("weights_only") is not True:
            raise Forbidden("torch.load without weights_only=True")
        return load(*arguments, **options)

    def never(*_: Any, **__: Any) -> None:
        raise Forbidden("pickle")

    kept = pickle.load, pickle.loads
    torch.load, pickle.load, pickle.loads = safely, never, never
    WATCH.inside, WATCH.seen = inside.resolve(), []
    try:
        yield
    finally:
        WATCH.inside = None
        torch.load, (pickle.load, pickle.loads) = load, kept


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """A case that asks for more memory than there is gets an error, and the machine lives on; one that hangs ends."""
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = Path("/proc/self/statm")
    room = int(used.read_text().split()[0]) * resource.getpagesize() + ROOM if used.exists() else soft
    resource.setrlimit(resource.RLIMIT_AS, (room if soft < 0 else min(room, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def alarm(seconds: float = SLOW) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise Hang(f"longer than {seconds:g} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def has_nan(value: Any) -> bool:
    """Whether a NaN is anywhere in an answer."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return has_nan(vars(value))
    if isinstance(value, Mapping):
        return any(map(has_nan, value.values()))
    if isinstance(value, list | tuple | set):
        return any(map(has_nan, value))
    if isinstance(value, torch.Tensor):
        return value.is_floating_point() and bool(value.isnan().any())
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and bool(np.isnan(value).any())
    return isinstance(value, float) and value != value


def verdict(call: Callable[[], Any], inside: Path, names: Sequence[str] = ()) -> Verdict:
    """Run one case. A refusal has to be one line, and to say one of `names` where there are any."""
    try:
        with alarm(), watched(inside):
            answer = call()
    except DOCUMENTED as error:
        said = str(error)
        if type(error) not in DOCUMENTED:
            return Verdict("failure", f"{type(error).__name__}: {said[:500]}")
        if len(said.splitlines()) != 1 or not said.strip():
            return Verdict("failure", f"not one line: {said[:500]!r}")
        if names and not any(name in said for name in names):
            return Verdict("failure", f"says none of {', '.join(names)[:100]}: {said[:500]}")
        found = Verdict("refused", said)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # Hang and Forbidden too
        line = error.__traceback__
        while line.tb_next:
            line = line.tb_next
        where = f"{Path(line.tb_frame.f_code.co_filename).name}:{line.tb_lineno}"
        return Verdict("failure", f"{type(error).__name__} at {where}: {str(error)[:500]}")
    else:
        found = Verdict("failure", "a NaN in the answer") if has_nan(answer) else Verdict("ok", repr(answer)[:200])
    return Verdict("failure", WATCH.seen[0]) if WATCH.seen else found


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


Case = tuple[str, Callable[[], Any]]  # what it is, in words; and what to run


def campaign(
    target: str, case: Callable[[Random, Path], Case], folder: Path, names: Sequence[str] = (), most_ok: float = 1.0
) -> None:
    """Run a target's share of the plan in `folder`/inside, beside `folder`/outside; fail with all that went wrong.

    `case(rng, inside)` makes input and call. At least one input has to be refused, and where `most_ok` is below 1 no
    more than this share may be taken for good.
    """
    inside, outside = folder / "inside", folder / "outside"
    inside.mkdir(exist_ok=True)
    outside.mkdir(exist_ok=True)
    (outside / "secret").write_text("nobody reads this")
    begin, failures, kinds = time.perf_counter(), [], dict.fromkeys(("ok", "refused", "failure"), 0)
    numbers = [int(ONLY)] if ONLY else range(max(1, round(PLAN[target] * TIMES)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), limited():
            warnings.simplefilter("ignore")
            for number in numbers:
                what, call = case(Random(f"{SEED}/{target}/{number}"), inside)
                found = verdict(call, inside, names)
                kinds[found.kind] += 1
                if found.kind == "failure":
                    failures.append(f"case {number}: {_short(what)}\n    {_short(found.said)}")
                elif ONLY:
                    print(f"case {number}: {what}\n    {found}")
    finally:
        torch.set_num_threads(threads)
    RAN[target], SPENT[target] = sum(kinds.values()), time.perf_counter() - begin
    print(f"{target}: {kinds}, {SPENT[target]:.1f} s")
    assert not failures, (
        f"{len(failures)} of {len(numbers)} inputs of {target!r} failed; seed {SEED}; repeat one with "
        f"MINIDA_FUZZ_SEED={SEED} MINIDA_FUZZ_CASE=NUMBER and -k of this test:\n" + "\n".join(failures[:12])
    )
    assert [file.name for file in outside.iterdir()] == ["secret"], "something was written beside the case's folder"
    if len(numbers) > 50:
        assert kinds["refused"], "no input was refused: is anything spoiled?"
        assert kinds["ok"] <= most_ok * len(numbers), f"{kinds['ok']} of {len(numbers)} were taken for good"


def refused(match: str, call: Callable, *arguments: object, **options: object) -> str:
    """The one line that a call is refused with."""
    with pytest.raises(ValueError, match=match) as caught:
        call(*arguments, **options)
    said = str(caught.value)
    assert len(said.splitlines()) == 1 and type(caught.value) in DOCUMENTED
    return said
