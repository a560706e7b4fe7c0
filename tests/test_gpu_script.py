"""The script that measures every method on a GPU, proved on a CPU; what one method cannot do is no other's loss."""

import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "assets" / "results"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("gpu", FOLDER / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def once(ways, device):
        for way in ways:
            way()
        return [[1.0] * len(ways)]

    monkeypatch.setattr(module, "in_turns", once)
    return module


def test_every_method_has_a_row_and_one_that_fails_does_not_stop_the_others(script, tmp_path, monkeypatch):
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
