"""The partition explorer: its controls reach the pictures, its numbers are those of a loop, all redraws at once."""

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

import minida
from minida.data import normalise
from minida.data.base import SegmentationDataset
from minida.labeling import EntropyPartition
from minida.types import IGNORE, ClassTable
from minida.viz.partition_widget import PartitionExplorer

SIZE = (32, 64)


class Streets(SegmentationDataset):
    """Three images of noise; labels in blocks, the last rows unknown, class 4 nowhere."""

    def __init__(self, size=SIZE, labelled=True) -> None:
        self.size, self.spec, self.has_labels = size, "streets", labelled
        palette = np.array([[90, 90, 90], [0, 0, 200], [200, 0, 0], [0, 200, 0], [200, 200, 0]])
        self.table = ClassTable(("road", "car", "person", "tree", "train"), palette, (0, 1, 2, 3, 4))
        self.classes = (0, 1, 2, 3, 4)

    def __len__(self) -> int:
        return 3

    def image(self, index):
        generator = torch.Generator().manual_seed(index)
        return torch.randint(0, 256, (3, *self.size), generator=generator, dtype=torch.uint8)

    def labels(self, index):
        rows, columns = (torch.arange(side) // (side // 4) for side in self.size)
        labels = (rows[:, None] + columns[None] + index) % 4
        labels[-4:] = IGNORE
        return labels


def network():
    torch.manual_seed(1)
    model = minida.BiSeNet(5, "slim")
    with torch.no_grad():
        for _ in range(8):  # running averages of something, and opinions
            model.train()(normalise(torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8)))
        model.head.weight.mul_(8)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture
def explorer(model):
    return PartitionExplorer(model, Streets())


def pictures(explorer):
    return [part.value for part in (explorer.reliable, explorer.negatives, explorer.bars)]


def test_every_control_reaches_a_picture_and_the_words(explorer):
    for control, value in (
        (explorer.number, 2), (explorer.alpha, 0.6), (explorer.kind, 2), (explorer.low, 1), (explorer.high, 2),
    ):  # fmt: skip
        before, said = pictures(explorer), explorer.words.value
        control.value = value
        assert pictures(explorer) != before and explorer.words.value != said, control.description
    rows = [explorer.children[place] for place in (0, 1, 3, 4)]
    boxes = [row.children[1].description for row in rows]
    assert boxes == ["Image =", "α =", "r_l =", "r_h ="]
    explorer.children[0].children[1].value = 1  # the typed box
    assert explorer.number.value == 1 and "in image 1:" in explorer.words.value


def by_hand(model, alpha, low, high):
    """γ, and for each pixel whether it is reliable, its guess, and the rank of every class, in loops."""
    data = Streets()
    probs = torch.cat([model.probs(normalise(data.image(n)[None])) for n in range(3)])
    partition = EntropyPartition(5, alpha)
    partition.observe(probs)
    gamma = partition.fit().score[0].item()
    entropy = -(probs * probs.clamp(min=1e-30).log()).sum(1)
    ranks = torch.stack([(probs > probs[:, c : c + 1]).sum(1) for c in range(5)], 1)  # how many are more probable
    truth = torch.stack([data.labels(n) for n in range(3)])
    return gamma, entropy < gamma, ranks, truth


@pytest.mark.parametrize(("alpha", "low", "high"), [(0.2, 3, 5), (0.5, 1, 3), (0.9, 0, 5)])
def test_the_numbers_are_those_of_a_loop(explorer, model, alpha, low, high):
    gamma, reliable, ranks, truth = by_hand(model, alpha, low, high)
    sure, mistaken, (kept, right, unsure) = explorer.judged(alpha, low, high)
    assert explorer.gamma(alpha) == pytest.approx(gamma)
    for c in range(5):
        own = truth == c
        if not own.any():
            assert np.isnan(sure[c])
            continue
        assert sure[c] == pytest.approx((reliable & own).sum().item() / own.sum().item(), abs=2e-3)
        wrong, rest = 0, 0
        for n, y, x in (own & ~reliable).nonzero().tolist():
            rest += 1
            wrong += low <= ranks[n, c, y, x] < high
        assert (np.isnan(mistaken[c]) and not rest) or mistaken[c] == pytest.approx(int(wrong) / rest, abs=2e-3)
    known = truth != IGNORE
    first = ranks.argmin(1) == truth
    assert kept == pytest.approx(reliable.float().mean().item(), abs=1e-3) and kept == pytest.approx(
        1 - alpha, abs=0.02
    )
    assert right == pytest.approx(first[reliable & known].float().mean().item(), abs=2e-3)
    assert unsure == pytest.approx(first[~reliable & known].float().mean().item(), abs=2e-3)


def test_the_negatives_of_the_chosen_class(explorer, model):
    explorer.alpha.value, explorer.low.value, explorer.high.value, explorer.kind.value = 0.5, 2, 4, 1
    _, reliable, ranks, truth = by_hand(model, 0.5, 2, 4)
    wanted = ~reliable[0] & (ranks[0, 1] >= 2) & (ranks[0, 1] < 4)
    assert (explorer.negative_mask() == wanted.numpy()).mean() > 0.998
    mistaken = int((explorer.negative_mask() & (truth[0] == 1).numpy()).sum())
    assert (
        f"Negatives of car in image 0: {explorer.negative_mask().sum():,} pixels; {mistaken:,} of them are car."
        in explorer.describe()
    )
    explorer.low.value = 4  # nothing lies from 4 to below 4
    assert not explorer.negative_mask().any() and "in image 0: 0 pixels" in explorer.describe()


def test_the_ends_of_alpha(explorer):
    explorer.alpha.value = 0
    assert "100.0% of the pixels are reliable" in explorer.describe() and "none of the others" in explorer.describe()
    assert not explorer.negative_mask().any()
    explorer.alpha.value = 1
    assert "0.0% of the pixels are reliable" in explorer.describe()


def test_what_it_refuses(model):
    with pytest.raises(ValueError, match="streets has no labels to judge the partition by"):
        PartitionExplorer(model, Streets(labelled=False))
    with pytest.raises(ValueError, match="the model has 3 classes but streets 5"):
        PartitionExplorer(minida.BiSeNet(3, "slim"), Streets())


def test_the_static_figure_and_the_widget_show_the_same(explorer):
    fig = explorer.static()
    assert [ax.get_title() or ax.get_title(loc="left") for ax in fig.axes] == [
        "reliable at α = 20%",
        "negatives of train",
        "of each class's own pixels",
    ]
    shown = np.asarray(Image.open(io.BytesIO(explorer.reliable.value)).convert("RGB")).astype(int)
    assert abs(shown - explorer.paint()[0]).mean() < 8  # jpeg
    assert "run this cell" in repr(explorer)


def test_a_change_is_quick(model):
    explorer = PartitionExplorer(model, Streets((96, 192)))
    begun = time.perf_counter()
    for value in (0.3, 0.4, 0.5, 0.6, 0.7):
        explorer.alpha.value = value
    assert time.perf_counter() - begun < 5 * 0.5, (
        "100 ms are wanted; this only catches what is far off on a busy machine"
    )
