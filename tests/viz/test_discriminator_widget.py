"""The discriminator explorer without a browser: what it shows and says is what the discriminator answers."""

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from minida.data import MiniCity, normalise
from minida.models import BiSeNet, FCDiscriminator
from minida.viz.discriminator_widget import DiscriminatorExplorer
from minida.viz.views import colorize, discriminator_map, outline

SIZE = (72, 128)  # 72 is no multiple of 32


def opened(size: tuple[int, int]) -> DiscriminatorExplorer:
    torch.manual_seed(0)
    networks = {name: BiSeNet(19, "slim").eval() for name in ("source-only", "DSC")}
    datasets = {"target": MiniCity("real", "val", size, n=3), "source": MiniCity("game", "val", size, n=4)}
    discriminator = FCDiscriminator(19, 4).requires_grad_(False)
    said = discriminator(networks["DSC"].probs(normalise(datasets["target"][0][0][None])))
    discriminator.layers[-1].weight *= 2 / said.std()  # an untrained one says 0.50 everywhere
    discriminator.layers[-1].bias -= said.mean() * 2 / said.std()
    return DiscriminatorExplorer(networks, discriminator, datasets)


@pytest.fixture
def explorer():
    return opened(SIZE)


def shown(explorer) -> np.ndarray:
    with Image.open(io.BytesIO(explorer.image.value)) as picture:
        return np.asarray(picture.convert("RGB"))


def test_every_control_changes_the_picture_and_its_words(explorer):
    assert explorer.view.value == "discriminator" and explorer.number.max == 2, "as many as the smallest set has"
    for control, value in (
        (explorer.number, 2), (explorer.domain, "source"), (explorer.network, "DSC"), (explorer.view, "prediction"),
        (explorer.domain, "target"), (explorer.view, "truth"), (explorer.view, "image"),
    ):  # fmt: skip
        before, words = explorer.image.value, explorer.words.value
        control.value = value
        assert explorer.image.value != before and explorer.words.value != words
    assert all(control in explorer.children for control in (explorer.network, explorer.domain, explorer.view))


@pytest.mark.parametrize("domain, name", [("target", "source-only"), ("source", "DSC")])
def test_it_shows_and_says_what_the_discriminator_answers(explorer, domain, name):
    explorer.domain.value, explorer.network.value, explorer.number.value = domain, name, 1
    image, labels = explorer.datasets[domain][1]
    network = explorer.networks[name]
    probs = network.probs(normalise(image[None]))
    said = explorer.discriminator(probs)[0, 0].sigmoid()
    assert said.shape == (2, 4) and said.std() > 0.01
    assert np.allclose(explorer.judge(name, domain, 1), said, atol=1e-5)
    guess = probs[0].argmax(0)
    zoom = 640 // SIZE[1]
    large = outline(colorize(guess), guess).repeat(zoom, 0).repeat(zoom, 1)
    assert np.array_equal(shown(explorer), discriminator_map(large, said))
    words = explorer.words.value
    assert f"Image 1, {domain}, discriminator. {name}: {(guess == labels).float().mean():.1%} right." in words
    assert f"target is {said.mean():.0%} on average; {(said > 0.5).sum()} of 8 cells above 50 % (vermillion)" in words
    assert 'role="status"' in words


def test_other_views_stay_those_of_the_predictions(explorer):
    explorer.view.value = "truth"
    labels = explorer.datasets["target"][0][1]
    zoom = 640 // SIZE[1]
    assert np.array_equal(shown(explorer)[::zoom, ::zoom], outline(colorize(labels), labels))


def test_a_change_redraws_in_time_and_asks_nobody_twice(monkeypatch):
    explorer = opened((256, 512))
    monkeypatch.setattr(BiSeNet, "forward", None)
    monkeypatch.setattr(FCDiscriminator, "forward", None)
    times = []
    for view in ("image", "discriminator") * 4:
        start = time.perf_counter()
        explorer.view.value = view
        times.append(time.perf_counter() - start)
    assert min(times[1::2]) < 0.1


def test_static_figure_shows_both_domains_and_every_network_judged(explorer):
    fig = explorer.static((0, 2))
    assert [ax.get_title(loc="left") or ax.get_title() for ax in fig.axes[:3]] == ["truth", "source-only", "DSC"]
    assert [ax.texts[-1].get_text() for ax in fig.axes[::3]] == ["target 0", "target 2", "source 0", "source 2"]
    explorer.domain.value, explorer.network.value, explorer.number.value = "source", "DSC", 2
    assert np.array_equal(fig.axes[-1].images[0].get_array(), shown(explorer)), "the last cell is the widget's picture"
    assert "probability of target in %" in fig.get_suptitle()
    assert "run this cell" in repr(explorer) and "DiscriminatorExplorer" in repr(explorer)
