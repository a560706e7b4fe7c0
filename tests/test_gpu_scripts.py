"""The scripts for a GPU, proved on a CPU: the ladder stops by the clock and goes on; every method is measured."""

import importlib.util
import json
import threading
from pathlib import Path

import pytest

from minida.compare import training

FOLDER = Path(__file__).parents[1] / "assets" / "results"


@pytest.fixture
def script(monkeypatch, request):
    """The module of assets/results that a test names."""
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location(request.param, FOLDER / f"{request.param}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", ["ladder_gpu"], indirect=True)
def test_it_stops_by_the_clock_and_goes_on(script, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(script, "TELLING", (("uda", ("dsc",)), ("ssl", ("u2pl",))))
    options = ["--preset", "smoke", "--source", "minicity:game?n=16", "--target", "minicity:real?n=16"]
    options += ["--out", str(tmp_path / "out"), "--results", str(tmp_path / "ladder-gpu.json")]
    inner, clocks, names = training.train, [], []

    class Clock(threading.Timer):
        def start(self):
            clocks.append(self)

    def train(method, preset, **given):  # the clock strikes while the fourth network is trained
        names.append(given["out"].name)
        callback = (lambda step, record: clocks[0].function(*clocks[0].args)) if len(names) == 4 else None
        return inner(method, preset, callback=callback, **given)

    monkeypatch.setattr(script.threading, "Timer", Clock)
    monkeypatch.setattr(training, "train", train)
    script.main([*options, "--minutes", "5"])
    assert 200 < clocks[0].interval < 300, "five minutes, less what measuring the step took"
    first = json.loads((tmp_path / "ladder-gpu.json").read_text())
    assert not first["whole"] and [run["rung"] for run in first["runs"]] == ["source-only"]
    script.main([*options, "--minutes", "5"])
    assert names[4] == names[3], "it goes on with the run that it stopped in"
    found = json.loads((tmp_path / "ladder-gpu.json").read_text())
    rungs = [(run["ladder"], run["rung"]) for run in found["runs"]]
    assert rungs == [("uda", name) for name in ("source-only", "batch-norm", "dsc", "oracle")] + [
        ("ssl", name) for name in ("supervised", "u2pl", "oracle")
    ]
    assert found["whole"] and found["runs"][: len(first["runs"])] == first["runs"], "what was finished stays"
    step = found["step"]
    assert step["share"] == pytest.approx(step["tflops"] / step["matrix_tflops"]) and 0 < step["share"] < 1
    supervised, adapted = found["runs"][0], found["runs"][2]
    assert supervised["images_per_second"] == pytest.approx(2 * 4 / supervised["seconds"])
    assert adapted["images_per_second"] == pytest.approx(2 * 2 * 4 / adapted["seconds"])
    assert all(0 <= run["waiting"] <= 1 for run in found["runs"])
    assert "images/s" in capsys.readouterr().out


@pytest.mark.parametrize("script", ["gpu"], indirect=True)
def test_every_method_has_a_row_and_one_that_fails_does_not_stop_the_others(script, tmp_path, monkeypatch):
    def once(ways, device):
        for way in ways:
            way()
        return [[1.0] * len(ways)]

    monkeypatch.setattr(script, "in_turns", once)
    wrong = {"wrong": ("supervised", {"lr": 1e30}), **script.WAYS}
    monkeypatch.setattr(script, "WAYS", wrong)
    options = ["--preset", "smoke", "--steps", "4", "--source", "minicity:game?n=16", "--out", str(tmp_path / "out")]
    names = ["wrong", "supervised", "self-training, DARS", "U2PL"]
    script.main([*options, "--results", str(tmp_path / "gpu.json"), "--only", *names])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found["methods"]) == names[1:] and list(found["failed"]) == ["wrong"]
    assert "lower the learning rate" in found["failed"]["wrong"]
    one, labelled = found["methods"]["supervised"], found["methods"]["self-training, DARS"]
    assert (one["batch"], labelled["batch"]) == (2, 4), "a method with a target sees two images for each labelled one"
    for row in found["methods"].values():
        assert row["steps"] == 2 and 0 < row["waiting"] < 1
        assert row["images_per_second"] == pytest.approx(1e3 * row["batch"] / row["ms"])
        assert row["labels_differ_on_cpu"] < 0.05
    assert [row["backbone"] for row in found["backbones"]] == ["slim", "resnet18", "resnet101"]
