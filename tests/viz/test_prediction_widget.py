"""The prediction explorer without a browser: set a control, look at the picture and its words."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from minida.data import MiniCity
from minida.inference import predict_image
from minida.models import BiSeNet
from minida.viz.prediction_widget import PredictionExplorer
from minida.viz.views import error_map


@pytest.fixture
def explorer():
    torch.manual_seed(0)
    networks = {name: BiSeNet(19, "slim").eval() for name in ("oracle", "source-only")}
    return PredictionExplorer(networks, MiniCity("real", "val", (64, 128), n=3))


def shown(explorer) -> np.ndarray:
    with Image.open(io.BytesIO(explorer.image.value)) as picture:
        return np.asarray(picture.convert("RGB"))


def test_every_control_changes_the_picture_and_its_words(explorer):
    for control, value in (
        (explorer.view, "truth"), (explorer.view, "errors"), (explorer.number, 2),
        (explorer.network, "source-only"), (explorer.view, "image"),
    ):  # fmt: skip
        before, words = shown(explorer), explorer.words.value
        control.value = value
        assert (shown(explorer) != before).any() and explorer.words.value != words


def test_errors_and_share_are_those_of_the_network(explorer):
    explorer.view.value = "errors"
    image, labels = explorer.datasets[""][0]
    guess = torch.from_numpy(predict_image(explorer.networks["oracle"], image, (64, 128)))
    zoom = shown(explorer).shape[0] // 64
    assert (shown(explorer)[::zoom, ::zoom] == error_map(labels, guess)).all()
    assert f"{(guess == labels).float().mean():.1%} right" in explorer.words.value


def test_static_figure_shows_image_truth_and_every_network(explorer):
    axes = explorer.static((0, 2)).axes
    assert [len(ax.images) for ax in axes] == [1] * 8
    assert [ax.get_title() or ax.get_title(loc="left") for ax in axes[:4]] == [
        "image",
        "truth",
        "oracle",
        "source-only",
    ]
    assert "run this cell" in repr(explorer)
