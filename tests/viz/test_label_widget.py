"""The label explorer without a browser: set a control, look at the pictures and their words."""

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from minida.data import MiniCity, SegmentationDataset, normalise
from minida.labeling import STRATEGIES, make_strategy
from minida.metrics import PseudoLabelQuality
from minida.models import BiSeNet
from minida.types import IGNORE
from minida.viz.label_judge import OPTIONS, LabelJudge
from minida.viz.label_views import VIEWS, label_view
from minida.viz.label_widget import RULES, LabelExplorer

SIZE, COUNT = (48, 96), 4
PRIOR = np.arange(1, 20)[::-1] + 20.0


class Streets(SegmentationDataset):
    """MiniCity with a strip that nobody labelled, and image numbers that are not places."""

    spec, size = "streets", SIZE

    def __init__(self, size=SIZE):
        self.size, self.streets = size, MiniCity("real", "val", size, n=COUNT + 1)

    def __len__(self):
        return len(self.streets)

    def image(self, index):
        return self.streets[index][0]

    def labels(self, index):
        labels = self.streets[index][1].clone()
        labels[:5] = IGNORE
        return labels

    def image_id(self, index):
        return 100 + 3 * index


def network() -> BiSeNet:
    torch.manual_seed(0)
    model = BiSeNet(19, "slim").eval()
    with torch.no_grad():
        model.head.weight *= 1200  # an untrained one is as unsure everywhere
    return model


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture
def explorer(model):
    return LabelExplorer(model, Streets(), PRIOR, COUNT)


def shown(image) -> np.ndarray:
    with Image.open(io.BytesIO(image.value)) as picture:
        return np.asarray(picture.convert("RGB"))


def direct(model, name: str, value: float, temperature: float):
    """Labels and truth (N, H, W) with the strategy alone, all images at once."""
    streets = Streets()
    images, truth = zip(*(streets[n] for n in range(COUNT)), strict=True)
    probs = torch.cat([model.probs(normalise(image[None])) for image in images])
    strategy = make_strategy(
        name, num_classes=19, class_frequency=PRIOR, temperature=temperature, **{OPTIONS[name]: value}
    )
    strategy.observe(probs)
    strategy.fit()
    return strategy.label(probs, torch.tensor([streets.image_id(n) for n in range(COUNT)])), torch.stack(truth)


def test_every_strategy_is_there():
    assert set(RULES) == set(OPTIONS) == set(STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("value, temperature", [(0.3, 1.0), (0.55, 2.0)])
def test_labels_and_numbers_are_those_of_the_strategy(model, name, value, temperature):
    judge = LabelJudge(model, Streets(), PRIOR, COUNT)
    labels, truth = direct(model, name, value, temperature)
    assert 0 < (labels != IGNORE).float().mean() < 1
    for n in (None, *range(COUNT)):
        quality, part = PseudoLabelQuality(19), slice(None) if n is None else slice(n, n + 1)
        quality.update(labels[part], truth[part])
        assert (judge.quality((name, value, temperature), n).counts == quality.counts).all()
        if n is not None:
            assert (judge.labels((name, value, temperature), n) == labels[n]).all()


def test_words_say_what_the_strategy_answers(explorer, model):
    explorer.right.value, explorer.number.value = "cbst", 2
    explorer.sliders["temperature"].value = 1.5
    labels, truth = direct(model, "cbst", 0.2, 1.5)
    everything, here = PseudoLabelQuality(19), PseudoLabelQuality(19)
    everything.update(labels, truth)
    here.update(labels[2], truth[2])
    words = explorer.words[1].value
    parts = {"Here": here, f"All {COUNT} images": everything}
    for title, quality in parts.items():
        covered, right = quality.coverage().overall, quality.accuracy().overall
        assert f"{title}: {covered:.1%} believed, {right:.1%} of that right." in words
    true = np.bincount(truth[truth != IGNORE], minlength=19)
    given = len(set(labels.unique().tolist()) - {IGNORE})
    assert f"{given} of 19 classes, KL to the true shares {everything.kl(true):.3f}." in words
    assert "<b>CBST: " in words and 'role="status" aria-live="polite"' in words
    assert (
        "Image 2 of 0 to 3, right or wrong" in explorer.legend.value
        and VIEWS["right or wrong"] in explorer.legend.value
    )


def test_every_control_changes_what_it_should_and_nothing_else(explorer):
    left, right = {0, 2, 4}, {1, 3, 5}  # pictures, bars, words
    for control, value, changed in (
        (explorer.sliders["ratio"], 0.6, left | right), (explorer.number, 2, {0, 1, 4, 5}),
            *((explorer.view, view, {0, 1}) for view in VIEWS),
        (explorer.sliders["ratio"], 0.4, left | right), (explorer.sliders["temperature"], 2.0, left | right),
        (explorer.sliders["cap"], 0.7, set()), (explorer.left, "mpt", left), (explorer.sliders["cap"], 0.2, left),
        (explorer.sliders["ratio"], 0.3, right), (explorer.right, "entropy", right), (explorer.right, "da", right),
        (explorer.right, "entropy", right), (explorer.sliders["alpha0"], 0.6, right),
        (explorer.sliders["ratio"], 0.2, set()), (explorer.left, "cbst", left),
    ):  # fmt: skip
        parts = (*explorer.pictures, *explorer.bars, *explorer.words)
        before, legend = [part.value for part in parts], explorer.legend.value
        control.value = value
        assert {n for n, part in enumerate(parts) if part.value != before[n]} == changed, (control.description, value)
        if control in (explorer.number, explorer.view):
            assert explorer.legend.value != legend


@pytest.mark.parametrize("view", ["truth", "prediction"])
def test_flat_pictures_are_exact(explorer, view):
    explorer.view.value, explorer.number.value = view, 1
    judge = explorer.judge
    probs = judge.probs[1].argmax(0)
    expected = label_view(view, judge.images[1], judge.truth[1], probs, judge.labels(explorer.choice("st"), 1))
    assert all(np.array_equal(shown(picture), expected) for picture in explorer.pictures)


def test_pictures_and_bars_are_those_of_each_side(explorer):
    for side, name in enumerate(("st", "dars")):
        judge, choice = explorer.judge, explorer.choice(name)
        known = judge.images[0], judge.truth[0], judge.predictions(0), judge.labels(choice, 0)
        pairs = (
            (explorer.pictures[side], label_view("right or wrong", *known)),
            (explorer.bars[side], explorer.bars_of(choice)),
        )
        for image, expected in pairs:  # JPEG: nearly
            assert abs(shown(image).astype(int) - expected).mean() < 3
    assert explorer.bars[0].value != explorer.bars[1].value


def test_slider_and_typed_box_are_one_and_unread_dials_are_off(explorer):
    for name, row in explorer.dials.items():
        slider, box = row.children
        box.value = 0.75
        assert slider.value == explorer.sliders[name].value == 0.75
        slider.value = 0.65
        assert box.value == 0.65
    for left, right, on in (
        ("st", "dars", {"ratio"}), ("mpt", "entropy", {"cap", "alpha0"}), ("mpt", "mpt", {"cap"}),
        ("cbst", "mpt", {"ratio", "cap"}),
    ):  # fmt: skip
        explorer.left.value, explorer.right.value = left, right
        for name, row in explorer.dials.items():
            assert {part.disabled for part in row.children} == {name not in on | {"temperature"}}


def test_a_strategy_that_believes_nothing_says_so(explorer):
    explorer.left.value = "entropy"
    explorer.sliders["alpha0"].value = 1
    assert "It believes nothing." in explorer.words[0].value and "nan" not in explorer.words[0].value
    grey = shown(explorer.pictures[0]).astype(int)
    assert np.ptp(grey, axis=2).max() < 12, "pale everywhere"
    assert "It believes nothing." in "".join(ax.get_title() for ax in explorer.static().axes)


def test_the_network_is_asked_once_and_a_change_shows_at_once(monkeypatch):
    explorer = LabelExplorer(network(), Streets((256, 512)), PRIOR)
    assert explorer.judge.count == 2, "as many as hold the pixels of 20 of 96 x 192"
    monkeypatch.setattr(BiSeNet, "forward", None)
    times = {"number": [], "ratio": []}
    for step in range(1, 4):
        for name, control, value in (("number", explorer.number, step), ("ratio", explorer.sliders["ratio"], step / 5)):
            start = time.perf_counter()
            control.value = value
            times[name].append(time.perf_counter() - start)
    assert max(map(min, times.values())) < 0.25, times  # 0.1 on an idle machine


def test_static_figure_says_the_same(explorer):
    explorer.number.value = 1
    fig = explorer.static()
    titles = [ax.get_title() or ax.get_title(loc="left") for ax in fig.axes]
    assert titles[:2] == ["image 1", "truth 1"]
    for side, name in enumerate(("st", "dars")):
        here, _, classes = explorer.describe(name, 1).split("\n")
        assert titles[2 + side] == f"{RULES[name][0]}. {here}" and titles[4 + side] == classes
        assert np.array_equal(fig.axes[2 + side].images[0].get_array(), explorer.paint("right or wrong", name, 1))
        assert np.array_equal(fig.axes[4 + side].images[0].get_array(), explorer.bars_of(explorer.choice(name)))
    assert VIEWS["right or wrong"] in fig.get_supxlabel()
    assert "run this cell" in repr(explorer) and "LabelExplorer" in repr(explorer)


def test_mistakes_are_one_clear_line(model):
    streets, unlabelled = Streets(), Streets()
    unlabelled.has_labels = False
    for given, words in (
        ((model, unlabelled, PRIOR), "streets has no labels"),
        ((BiSeNet(5, "slim"), streets, PRIOR), "5 classes but streets 19"),
        ((model, streets, PRIOR[:5]), r"prior has the shape \(5,\); expected \(19,\)"),
        ((model, streets, PRIOR, 0), "count is 0; expected 1 to 5"),
        ((model, streets, PRIOR, 6), "count is 6; expected 1 to 5"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words) as error:
            LabelExplorer(*given)
        assert "\n" not in str(error.value)
