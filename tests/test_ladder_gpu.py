"""The script of the GPU's ladder, proved on a CPU: it stops by the clock, goes on, and says what a GPU is asked."""

import importlib.util
import json
import threading
from pathlib import Path

import pytest

from minida.compare import training

FOLDER = Path(__file__).parents[1] / "assets" / "results"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("ladder_gpu", FOLDER / "ladder_gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
