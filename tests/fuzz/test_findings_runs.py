"""What fuzzing found in run folders, a test each."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from harness import refused
from test_fuzz_runs import SMALL

from minida.methods import configure
from minida.methods.meta import MovingAverage
from minida.models.ema import EMA
from minida.runs import RunFolder, progress_of
from minida.trainer import Trainer

NAN = float("nan")


@pytest.mark.parametrize("text", ["[" * 100_000, "5", "", "[[1]]", "\xff"])
def test_the_configuration_of_a_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    refused(r"config\.json: damaged", RunFolder(tmp_path).read_config)


def test_a_checkpoint_has_a_checksum(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint({"weights": torch.full((64,), 1.25)})
    content = bytearray(folder.checkpoint.read_bytes())
    content[content.index(struct.pack("<f", 1.25) * 8) + 2] ^= 1
    folder.checkpoint.write_bytes(content)
    refused(r"checkpoint\.pt: cannot be read .* is damaged", folder.load_checkpoint)


@pytest.mark.parametrize(
    "second",
    [
        '{"step": 1}', '{"step": 0}', '{"step": -1}', '{"step": "2"}', '{"step": 2, "loss": "x"}', "[" * 100_000, "5",
        '{"step": 2, "loss": NaN}', '{"step": 2, "loss": 1e999}', '{"step": true}', '{"step": 2, "loss": [1]}',
        '{"step": 2, "loss": true}',
    ],
)  # fmt: skip
def test_records_that_no_run_wrote_are_cut_off(tmp_path: Path, second: str) -> None:
    folder = RunFolder(tmp_path)
    folder.history.write_text(f'{{"step": 1, "loss": 2.5}}\n{second}\n{{"step": 9}}\n')
    assert folder.read_history(5) == [{"step": 1, "loss": 2.5}]


@pytest.mark.parametrize(
    "changes", [{"step": 99}, {"step": -1}, {"step": True}, {"step": 1.0}, {"seconds": NAN}, {"waited": -1.0}]
)
def test_the_progress_in_a_checkpoint(changes: dict) -> None:
    assert progress_of({"step": 2, "seconds": 1.5, "waited": 0.5}, 4) == (2, 1.5, 0.5)
    refused("step .* after", progress_of, {"step": 2, "seconds": 1.5, "waited": 0.5, **changes}, 4)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    options = {"optimizer": "adam", "target": "minicity:real?n=4", "embedding": 4, "bank": 8}
    trainer = Trainer(configure("u2pl", "smoke", **SMALL, **options), folder, progress=False)
    trainer.run()
    return trainer


def edited(state: dict, path: str, change: Callable) -> dict:
    key, _, rest = path.partition("/")
    key = int(key) if key.isdigit() else key
    return {**state, key: edited(state[key], rest, change) if rest else change(state[key])}


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("method/networks/model/head.bias", lambda value: value * NAN),
        ("method/optimizers/model/state/0/exp_avg", lambda value: value.reshape(-1)),
        ("method/optimizers/model/state/0/exp_avg", lambda value: value * NAN),
        ("method/memory/ema/updates", lambda value: "1"),
        ("method/memory/ema/updates", lambda value: -1),
        ("method/memory/bank/keys", lambda value: value[:1]),
        ("method/memory/bank/keys", lambda value: value * NAN),
        ("method/memory/bank/written", lambda value: -value - 1),
        ("method/memory/window/seen", lambda value: None),
        ("method/memory/window/older", lambda value: value[:-1]),
        ("method/memory/window/counts", lambda value: torch.tensor(NAN)),
        ("method/memory/window/thresholds", lambda value: (value[0] * NAN, value[1])),
    ],
)
def test_a_checkpoint_of_no_numbers_or_of_another_network(trainer: Trainer, path: str, change: Callable) -> None:
    good = trainer.folder.load_checkpoint()
    trainer.folder.save_checkpoint(edited(good, path, change))
    try:
        refused(r"checkpoint\.pt: does not fit this run", trainer._resume)
    finally:
        trainer.folder.save_checkpoint(good)
    trainer._resume()


def test_a_learning_rate_is_the_configurations(trainer: Trainer) -> None:
    good = trainer.folder.load_checkpoint()
    groups = "method/optimizers/model/param_groups"
    trainer.folder.save_checkpoint(edited(good, groups, lambda value: [{**value[0], "lr": 1e9, "betas": 3}]))
    trainer._resume()
    assert trainer.method.optimizers["model"].param_groups[0]["betas"] == (0.9, 0.999)
    trainer.folder.save_checkpoint(good)


def test_an_average_of_copies_counts_its_updates() -> None:
    ema = EMA(torch.nn.Linear(1, 1))
    for wrong in (None, -1, 1.5, True, 10**30):
        refused("updates of the average", ema.load_state_dict, {"updates": wrong})
    ema.load_state_dict({"updates": 3})


def test_the_average_of_h_is_a_number() -> None:
    average = MovingAverage()
    for wrong in (torch.tensor(NAN), torch.tensor(True), torch.ones(2), torch.tensor(3)):
        refused("average of h is no number", average.load_state_dict, {"value": wrong})
    average.load_state_dict({"value": torch.tensor(0.5, dtype=torch.float64)})
    assert average.difference(torch.tensor(1.0)) == 0.5


def test_a_score_that_was_no_number_is_no_obstacle(trainer: Trainer) -> None:
    """history.jsonl has null for it, and the bar shows the last score that was one."""
    trainer.history, trainer.step, trainer.not_finite = [{"step": 1, "miou": None}], 1, {}
    trainer._log(io_bar := Bar())
    assert "mIoU" not in io_bar.shown


class Bar(io.StringIO):
    def set_postfix(self, shown: dict) -> None:
        self.shown = shown
