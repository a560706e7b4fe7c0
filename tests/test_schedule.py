"""Crop schedules: the phases by hand, what a run makes of them, and that it resumes in any of them."""

import json
import os
import signal

import pytest
import torch

import minida
from minida.config import make_config
from minida.data.centroids import Centroids
from minida.data.loaders import _Stream
from minida.methods import Method
from minida.schedule import Phase, phases, stage_at, stages
from minida.trainer import Trainer

TINY = {"source": "minicity:real?n=40", "precision": "float32", "progress": False, "steps": 12, "eval_every": 12}


def plan(crops, warmup=0.0, steps=600, size=(96, 192), batch_size=8):
    return phases(
        make_config("supervised", "notebook", crops=crops, warmup=warmup, steps=steps, size=size, batch_size=batch_size)
    )


def test_the_baseline_is_one_phase_at_the_pace_of_its_steps():
    assert plan("baseline") == [Phase((96, 192), 8, 600, 0.0, 1.0)]
    with pytest.raises(ValueError, match="warmup is 0.5; expected 0 without a crop schedule"):
        plan("baseline", warmup=0.5)


def test_phases_by_hand():
    coarse2fine = plan("coarse2fine")  # 1,600 images with each crop
    assert [phase[:3] for phase in coarse2fine] == [((48, 96), 32, 50), ((64, 128), 16, 100), ((96, 192), 8, 200)]
    assert [phase.shown for phase in coarse2fine] == [0, 200, 400] and [p.pace for p in coarse2fine] == [4, 2, 1]
    fine2coarse = plan("fine2coarse")
    assert [phase[:3] for phase in fine2coarse] == [phase[:3] for phase in coarse2fine][::-1]
    warm = plan("coarse2fine", warmup=0.25)
    assert warm[0] == Phase((96, 192), 8, 150, 0.0, 1.0)
    assert [phase.steps for phase in warm[1:]] == [38, 75, 150] and warm[1].shown == 150
    cycles = plan("coarse2fine+")
    assert [phase.size for phase in cycles] == 4 * [(48, 96), (64, 128), (96, 192)]
    assert [phase.batch_size for phase in plan("fine2coarse+")] == 4 * [8, 16, 32]


@pytest.mark.parametrize("warmup", [0, 0.1, 0.5])
@pytest.mark.parametrize("crops", ["coarse2fine", "fine2coarse", "coarse2fine+", "fine2coarse+"])
def test_every_schedule_shows_as_many_images_and_takes_the_rate_to_its_end(crops, warmup):
    found = plan(crops, warmup, steps=1500)
    shown = sum(phase.steps * phase.batch_size for phase in found)
    assert shown == pytest.approx(1500 * 8, rel=0.01)
    position = 0.0
    for phase in found:
        assert phase.shown == pytest.approx(position) and min(phase.size) >= 32
        position += phase.steps * phase.pace
    assert position == pytest.approx(1500)
    work = sum(phase.steps * phase.batch_size * phase.size[0] * phase.size[1] for phase in found)
    nominal = warmup + (1 - warmup) * (1 / 4 + 4 / 9 + 1) / 3  # sides are multiples of 16: (64, 128) is 4/9 of the area
    assert work / (1500 * 8 * 96 * 192) == pytest.approx(nominal, rel=0.02)


def test_a_few_steps_are_a_step_each():
    assert [phase.steps for phase in plan("coarse2fine+", steps=4)] == 12 * [1]
    assert [phase.size for phase in plan("coarse2fine", size=(48, 64))] == [(32, 32), (32, 48), (48, 64)]


@pytest.fixture
def seen(monkeypatch):
    """Shape and learning rate of every step."""
    found, update = [], Trainer._update

    def watch(self, batch):
        rate = self.method.optimizers["model"].param_groups[0]["lr"]
        found.append((*batch.source.shape, None if batch.target is None else len(batch.target), rate))
        return update(self, batch)

    monkeypatch.setattr(Trainer, "_update", watch)
    return found


def test_a_run_follows_its_schedule(tmp_path, seen):
    result = minida.train("supervised", "smoke", out=tmp_path, crops="coarse2fine", batch_size=2, **TINY)
    sizes = 1 * [(8, 3, 32, 64)] + 2 * [(4, 3, 48, 96)] + 4 * [(2, 3, 64, 128)]
    assert [step[:4] for step in seen] == sizes
    rates = [0.08 * (1 - shown / 12) ** 0.9 for shown in (0, 4, 6, 8, 9, 10, 11)]
    assert [step[-1] for step in seen] == pytest.approx(rates)
    stored = json.loads((tmp_path / "result.json").read_text())
    assert (stored["crops"], stored["warmup"], stored["steps"]) == ("coarse2fine", 0, 12)
    assert result.history[-1]["step"] == 7 and "miou" in result.history[-1]


def test_each_round_runs_through_it_again(tmp_path, seen):
    ssl = {"protocol": "ssl", "labeled": "1/2", "strategy": "st", "rounds": 2, "crops": "fine2coarse"}
    minida.train("self-training", "smoke", out=tmp_path, batch_size=2, **ssl, **TINY)
    heights = [step[2] for step in seen]
    assert heights == 3 * (4 * [64] + 2 * [48] + 1 * [32])
    assert [step[4] for step in seen] == 7 * [None] + 2 * [2, 2, 2, 2, 4, 4, 8]
    assert [step[-1] for step in seen[:7]] == [step[-1] for step in seen[7:14]] == [step[-1] for step in seen[14:]]


@pytest.mark.parametrize("stop", [1, 3, 4, 9, 13])
def test_a_run_resumes_in_any_phase(tmp_path, stop):
    options = {**TINY, "crops": "coarse2fine", "batch_size": 2, "centroids": 0.5, "protocol": "ssl", "labeled": "1/2"}
    options |= {"strategy": "cbst", "log_every": 1}

    def kill(step, record):
        if step == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = minida.train("self-training", "smoke", out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt, match=f"stopped after step {stop}"):
        minida.train("self-training", "smoke", out=tmp_path / "cut", callback=kill, **options)
    resumed = minida.train("self-training", "smoke", out=tmp_path / "cut", resume=True, **options)
    for value, wanted in zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(value, wanted)
    assert [line["step"] for line in resumed.history] == list(range(1, 15))


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("supervised", {"crops": "fine2coarse"}, "6 image.*a batch of 8 .batch_size=2, mix=1, crops=fine2coarse"),
        ("self-training", {"mix": 3.0, "batch_size": 4, "protocol": "ssl", "labeled": "2/3"}, "2 image.*a batch of 6"),
        (
            "self-training",
            {"mix": 3.0, "batch_size": 4, "target": "minicity:real?n=5"},
            "5 image.*a batch of 6 .*mix=3",
        ),
        (
            "self-training",
            {"mix": 7.0, "batch_size": 4, "target": "minicity:real?n=9"},
            "batch_size 1 .*mix=7.*2 images",
        ),
        ("supervised", {"centroids": 0.2}, "centroids=0.2 of a batch of 2 is no image"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_is_trained(tmp_path, seen, name, options, line):
    with pytest.raises(ValueError, match=line):
        minida.train(name, "smoke", out=tmp_path / "run", **TINY | {"source": "minicity:real?n=6"} | options)
    assert not seen and not (tmp_path / "run").exists()


def test_stages_by_hand():
    config = make_config("self-training", "notebook", steps=100, crops="coarse2fine", centroids=0.5)
    plan = stages(config, 2, lambda number: ((8, 8), (4, 12))[number])
    assert [(stage.number, stage.start, stage.batch_sizes) for stage in plan] == [
        (0, 0, (32, 32)), (0, 8, (16, 16)), (0, 25, (8, 8)), (1, 58, (16, 48)), (1, 66, (8, 24)), (1, 83, (4, 12)),
    ]  # fmt: skip
    assert [stage.first for stage in plan] == [stage.start for stage in plan]
    assert [stage.drawn[0] for stage in plan] == [0, 128, 264, 396, 460, 528], (
        "8 * 16, + 17 * 8, + 33 * 4, + 8 * 8, ..."
    )
    assert plan[3].drawn[1] == 396 and plan[4].drawn[1] == 396 + 8 * 24
    for stage in plan:
        assert stage_at(plan, stage.start) is stage is stage_at(plan, stage.start + stage.phase.steps - 1)
    same = stages(make_config("self-training", "notebook", steps=100), 3, lambda number: (8, 8))
    assert [(stage.start, stage.first, stage.drawn) for stage in same] == [(n, 0, (0, 0)) for n in (0, 100, 200)]


@pytest.mark.parametrize("crops", ["coarse2fine", "fine2coarse+"])
def test_every_draw_is_taken_once_whatever_the_batch(monkeypatch, tmp_path, crops):
    numbers, draw = [], Centroids.draw
    monkeypatch.setattr(Centroids, "draw", lambda self, number: numbers.append(number) or draw(self, number))
    minida.train("supervised", "smoke", out=tmp_path, crops=crops, centroids=0.5, batch_size=2, **TINY)
    assert numbers == list(range(len(numbers))) and len(numbers) >= 12


def test_a_change_of_the_batch_begins_another_order(monkeypatch, tmp_path):
    orders, samples = [], _Stream.samples
    watch = lambda self, step: orders.append(samples(self, step)) or orders[-1]  # noqa: E731
    monkeypatch.setattr(_Stream, "samples", watch)
    minida.train("supervised", "smoke", out=tmp_path, crops="coarse2fine", batch_size=2, **TINY)
    images = [[sample.index for sample in step] for step in orders]
    assert [len(step) for step in images] == [8, 4, 4, 2, 2, 2, 2]
    assert images[0][:4] != images[1], "the next stage does not begin with the same permutation"
    assert len({*images[1], *images[2]}) == 8 and len({n for step in images[3:] for n in step}) == 8


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("crops", "fine", "baseline, coarse2fine, fine2coarse"),
        ("warmup", 1.0, "below 1"),
        ("warmup", 0.1, "give crops too"),
        ("centroids", 1.5, "from 0 to 1"),
        ("mix", 0, "positive number"),
    ],
)
def test_bad_options_are_named(option, value, expected):
    with pytest.raises(ValueError, match=f"{option} is .*{expected}"):
        make_config("self-training", "smoke", **{option: value})


def test_a_path_may_be_given_as_one(tmp_path):
    config = make_config("dars", "smoke", init=tmp_path / "dsc", teacher=tmp_path / "model.safetensors")
    assert (config.init, config.teacher) == (str(tmp_path / "dsc"), str(tmp_path / "model.safetensors"))
    with pytest.raises(ValueError, match="steps is '.*'; expected int"):
        make_config("dars", "smoke", steps=tmp_path)


def test_schedule_takes_parts_of_a_step():
    config = make_config("supervised", "smoke", steps=10)
    method = minida.methods.Supervised(config, minida.BiSeNet(3, "slim"))
    assert isinstance(method, Method)
    method.schedule(2.5)
    assert method.optimizer.param_groups[0]["lr"] == pytest.approx(0.08 * 0.75**0.9)
