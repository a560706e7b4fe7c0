"""Run folders: configuration, history, checkpoint, pseudo-labels and regions that are damaged or of another run."""

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from harness import Case, campaign
from mutations import ODD_VALUES, spoil_bytes, spoil_json, spoil_value
from test_fuzz_models import KINDS, NUMBERS, Trap, saved, spoil_zip
from trees import LAYOUTS, SIZE, write_tree

import minida
from minida import data
from minida.data.centroids import Centroids
from minida.data.pseudo import PseudoLabelled, coverage
from minida.methods import configure
from minida.runs import RunFolder, refuse_other_run
from minida.trainer import Trainer
from minida.types import IGNORE

SMALL = {"source": "minicity:game?n=4", "size": (32, 64), "steps": 2, "eval_every": 2, "precision": "float32"}
METHODS = {
    "supervised": {"optimizer": "adam"},
    "u2pl": {"target": "minicity:real?n=4", "embedding": 4, "bank": 8},
    "mpl": {"target": "minicity:real?n=4"},
}
HISTORY = [{"step": 1, "loss": 2.5, "lr": 0.1, "seconds": 0.4}, {"step": 2, "loss": 2.0, "lr": 0.05, "miou": 0.1}]


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_configurations_of_runs(tmp_path: Path) -> None:
    config = configure("dars", "smoke")
    stored = json.loads(json.dumps(dataclasses.asdict(config)))

    def case(rng: Random, inside: Path) -> Case:
        folder, content = RunFolder(inside / "run"), spoil_json(rng, stored)
        put(folder.config, content)
        put(folder.result, b"{}")

        def read() -> int:
            refuse_other_run(folder, True, config)
            return len(folder.read_config())

        return repr(content[:300]), read

    campaign("config.json", case, tmp_path, names=("config.json", "run was started with"))


def test_histories(tmp_path: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        lines = [json.dumps(record).encode() for record in HISTORY]
        place = rng.randrange(len(lines))
        lines[place] = rng.choice((spoil_json, lambda rng, value: json.dumps(spoil_value(rng, value)).encode()))(
            rng, HISTORY[place]
        )
        content = b"\n".join(lines) + b"\n"
        content = spoil_bytes(rng, content) if rng.random() < 0.3 else content
        folder = RunFolder(inside / "run")
        put(folder.history, content)

        def read() -> list:
            found = folder.read_history(2)
            steps = [record["step"] for record in found]
            assert steps == sorted(set(steps)) and all(0 < step <= 2 for step in steps), steps
            assert folder.read_history(2) == found, "what was kept is read otherwise"
            if rng.random() < 0.02:
                raise ValueError("as a refusal: a history is cut, never refused")
            return [list(record.values()) for record in found]

        return repr(content[:300]), read

    campaign("history.jsonl", case, tmp_path)


def spoil_checkpoint(rng: Random, state: Any) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return spoil_bytes(rng, saved(state))
    if kind == 1:
        return spoil_zip(rng, saved(state))
    if kind == 2:
        return saved(rng.choice((Trap(), {**state, "method": Trap()}, torch.nn.Linear(2, 2))), rng.random() < 0.3)
    if kind == 3:
        return saved(state, old=True)
    return saved(spoil_state(rng, state))


def spoil_state(rng: Random, value: Any) -> Any:
    """A state with one place spoiled; every branch is as likely, however many tensors it holds."""
    if isinstance(value, dict) and value and rng.random() < 0.93:
        key = rng.choice(list(value))
        if rng.random() < 0.05:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: spoil_state(rng, value[key])}
    if isinstance(value, tuple | list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return type(value)(spoil_state(rng, item) if i == place else item for i, item in enumerate(value))
    if isinstance(value, torch.Tensor) and rng.random() < 0.8:
        return spoil_tensor(rng, value)
    if type(value) in (int, float) and rng.random() < 0.5:
        return rng.choice((-value, -1, value + 10**6, value + 0.5, float("nan"), str(value)))
    return rng.choice((*ODD_VALUES, torch.zeros(3), torch.tensor(float("nan"))))


def spoil_tensor(rng: Random, value: torch.Tensor) -> torch.Tensor:
    kind = rng.randrange(4)
    if kind == 0 and value.is_floating_point() and value.numel():
        value = value.clone(memory_format=torch.contiguous_format)
        value.view(-1)[rng.randrange(value.numel())] = rng.choice(NUMBERS)
        return value
    if kind == 1:
        return value.to(rng.choice(KINDS))
    if kind == 2:
        return value.reshape(-1)[:1] if value.ndim else value[None, None]
    return -value.double().to(value.dtype) - 1 if value.dtype != torch.bool else ~value


def test_checkpoints(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    method = {"networks": {"model": dict(layer.state_dict())}, "optimizers": {}, "memory": {}}
    state = {"step": 3, "seconds": 1.5, "waited": 0.5, "method": method}

    def case(rng: Random, inside: Path) -> Case:
        folder, content = RunFolder(inside / "run"), spoil_checkpoint(rng, state)
        put(folder.checkpoint, content)

        def read() -> str:
            return type(folder.load_checkpoint()).__name__

        return f"{len(content)} bytes {content[:40]!r}", read

    campaign("checkpoints", case, tmp_path, names=("checkpoint.pt",))
    assert not Path("unpickled").exists()


@pytest.fixture(scope="module")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Trainer, Any]]:
    """Of each method one after two steps, and its checkpoint."""
    found = []
    for name, options in METHODS.items():
        folder = RunFolder(tmp_path_factory.mktemp(name))
        trainer = Trainer(configure(name, "smoke", **SMALL, **options), folder, progress=False)
        trainer.run()
        found.append((trainer, folder.load_checkpoint()))
    return found


def test_resumed_states(trainers: list[tuple[Trainer, Any]], tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 2, 3, 32, 64, generator=generator)
    labels = torch.randint(0, 19, (2, 32, 64), generator=generator)

    def case(rng: Random, inside: Path) -> Case:
        trainer, state = rng.choice(trainers)
        trainer.folder = RunFolder(inside / "run")
        put(trainer.folder.checkpoint, saved(spoil_state(rng, state) if rng.random() < 0.95 else state))
        target = images[1] if trainer.data.target is not None else None

        def resume() -> list:
            trainer._resume()
            trainer.not_finite, step = {}, trainer.step
            assert 0 <= step <= trainer.total
            trainer.method.schedule(min(step, trainer.total - 1))
            trainer._update(minida.Batch(images[0], labels, target))
            try:
                trainer._check_finite()
            except FloatingPointError as error:
                raise ValueError(f"after checkpoint.pt: {error}") from None
            return [list(trainer.losses.values()), trainer.seconds, trainer.waited]

        return trainer.config.method, resume

    campaign("resumed states", case, tmp_path, names=("checkpoint.pt",))


def test_resumed_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By minida.train itself, pseudo-labels and all."""
    monkeypatch.setenv("MINIDA_CACHE", str(tmp_path / "inside" / "cache"))
    options = {**SMALL, "steps": 2, "rounds": 2, "target": "minicity:real?n=4", "progress": False, "centroids": 0.5}

    def stop(step: int, record: dict) -> None:
        if step == 4:
            raise RuntimeError("the plug is pulled, after the checkpoint of step 3: amid the first round of students")

    with monkeypatch.context() as eager, pytest.raises(RuntimeError, match="plug"):
        eager.setattr(minida.trainer, "CHECKPOINT_SECONDS", 0)
        minida.train("dars", "smoke", out=tmp_path / "whole", callback=stop, **options)
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir() if path.name != ".lock"}
    changes: dict[str, Callable[[Random, bytes], bytes]] = {
        "config.json": lambda rng, content: spoil_json(rng, json.loads(content))
    }

    def case(rng: Random, inside: Path) -> Case:
        name = rng.choice(list(files))
        content = changes.get(name, spoil_bytes)(rng, files[name])
        write_tree(inside / "run", {**files, name: content})

        def resume() -> list:
            result = minida.train("dars", "smoke", out=inside / "run", resume=True, **options)
            steps = [record["step"] for record in result.history]
            assert steps == sorted(set(steps)) and steps[-3:] == [4, 5, 6], steps
            return [result.report.miou, result.report.pixel_accuracy]

        return name, resume

    campaign("resumed runs", case, tmp_path, names=(str(tmp_path / "inside" / "run"),))


@pytest.fixture
def pictures(tmp_path: Path) -> data.SegmentationDataset:
    write_tree(tmp_path / "inside" / "folder", LAYOUTS["folder"])
    return data.open(f"folder:{tmp_path / 'inside' / 'folder'}", size=SIZE)


def array(value: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def spoil_array(rng: Random, good: np.ndarray) -> bytes:
    kind = rng.randrange(6)
    if kind < 3:
        return spoil_bytes(rng, array(good), rng.choice((128, None)))
    if kind == 3:
        shapes = (good.shape[1:], (0, *good.shape[1:]), (*good.shape, 1), good.shape[:1], (), good.T.shape)
        return array(np.zeros(rng.choice(shapes), rng.choice((good.dtype, np.float32))))
    if kind == 4:
        kinds = (np.float64, np.int8, np.uint16, np.int64, bool, "U3", "S2", np.complex64, ">i8", "M8[s]")
        return array(good.astype(rng.choice(kinds)))
    if rng.random() < 0.3:
        return array(np.array([Trap(), None], object))
    spoiled = good.copy()
    spoiled.reshape(-1)[rng.randrange(good.size)] = rng.choice((2, 18, 200, 254, 255, 0))
    return array(spoiled)


def test_pseudo_labels(pictures: data.SegmentationDataset, tmp_path: Path) -> None:
    good = np.stack([np.resize(np.array([0, 1, 255], np.uint8), SIZE) for _ in range(len(pictures))])

    def case(rng: Random, inside: Path) -> Case:
        path = inside / "pseudo-labels-0.npy"
        put(path, spoil_array(rng, good))

        def read() -> list:
            if rng.random() < 0.3:
                return [coverage(path)]
            dataset = PseudoLabelled(pictures, path)
            for index in range(len(dataset)):
                labels = dataset[index][1]
                assert labels.shape == SIZE and set(labels.unique().tolist()) <= {0, 1, IGNORE}
            return [coverage(path), dataset.class_frequency()]

        return f"{path.stat().st_size} bytes", read

    campaign("pseudo-labels", case, tmp_path, names=("pseudo-labels-0.npy",))
    assert not Path("unpickled").exists()


def test_regions(pictures: data.SegmentationDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDA_CACHE", str(tmp_path / "inside" / "cache"))
    good = Centroids.of(pictures).table

    def case(rng: Random, inside: Path) -> Case:
        pictures.regions, pictures.regions_file = None, inside / "regions.npy"
        put(pictures.regions_file, spoil_array(rng, good))

        def read() -> list:
            if rng.random() < 0.02:
                raise ValueError("as a refusal: regions are found again, never refused")
            drawn = [Centroids.of(pictures).draw(number) for number in range(12)]
            for each in drawn:
                assert each.index < len(pictures) and each.kind in (0, 1) and each.y < SIZE[0] and each.x < SIZE[1]
            return drawn

        return "regions.npy", read

    campaign("regions", case, tmp_path)
    assert not Path("unpickled").exists()
