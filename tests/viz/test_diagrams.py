"""BiSeNet's diagram has the numbers of a forward pass; the game's says who learns, and nothing overlaps."""

import itertools
import warnings

import matplotlib as mpl
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from minida.models import BiSeNet
from minida.viz.diagrams import bisenet_diagram, game_diagram, output_shapes
from minida.viz.style import OKABE_ITO


def words(fig) -> list[str]:
    return [text.get_text() for text in fig.axes[0].texts]


@pytest.mark.parametrize("backbone, joined", [("slim", 224), ("resnet18", 1024)])
def test_shapes_and_labels_come_from_the_network(backbone, joined):
    model = BiSeNet(19, backbone).train()
    shapes = output_shapes(model, torch.zeros(2, 3, 64, 128))
    assert shapes["joined"] == (2, joined, 8, 16) and shapes["logits"] == (2, 19, 64, 128)
    assert shapes["spatial_path.0"][2:] == (32, 64) and shapes["refine32"][2:] == (2, 4)
    assert shapes["aux32"] == (2, 19, 2, 4)
    drawn = words(bisenet_diagram(shapes))
    assert f"{joined}\nH/8" in drawn and "19\nH" in drawn and "3\nH" in drawn
    assert drawn.count("aux head") == 2


def test_no_hook_stays():
    model = BiSeNet(19, "slim").train()
    output_shapes(model, torch.zeros(2, 3, 64, 128))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


@pytest.fixture(scope="module")
def game():
    return game_diagram()


def gradients(ax) -> list[tuple]:
    """Start and end of each gradient's way, in the panel's tenths of an inch."""
    arrows = [patch for patch in ax.patches if isinstance(patch, mpl.patches.FancyArrowPatch)]
    hue = mpl.colors.to_rgba(OKABE_ITO["vermillion"])
    ways = [arrow._path_original.vertices for arrow in arrows if arrow.get_edgecolor() == hue]
    assert all(arrow.get_linestyle() not in ("-", "solid") for arrow in arrows if arrow.get_edgecolor() == hue), (
        "colour alone"
    )
    return [(tuple(way[0]), tuple(way[-1])) for way in ways]


def test_the_game_says_who_learns_and_where_the_gradient_ends(game):
    first, second = game.axes
    told = [" ".join(text.get_text() for text in ax.texts) for ax in game.axes]
    for sentence in ("segmentation network learns", "discriminator\nfrozen", "(Eq. 1)", "(Eq. 2)", "(Eq. 4)"):
        assert sentence in told[0]
    for sentence in ("discriminator\nlearns", "network\nunchanged", "(Eq. 3)", "detached"):
        assert sentence in told[1]
    assert (told[0].count("//"), told[1].count("//")) == (0, 2), "both predictions are detached, in step 2 only"
    assert [end[0] for _, end in gradients(first)] == [32, 32], "both losses reach the segmentation network"
    assert [end[0] for _, end in gradients(second)] == [66], "the discriminator, and no further"


def test_what_does_not_learn_is_hatched_and_stands_at_the_same_place(game):
    hatched = [[patch.get_window_extent() for patch in ax.patches if patch.get_hatch()] for ax in game.axes]
    assert [len(boxes) for boxes in hatched] == [1, 1]
    (frozen,), (unchanged,) = hatched
    assert frozen.x0 > unchanged.x1, "the discriminator in step 1, the segmentation network in step 2"
    thick = [[patch.get_window_extent() for patch in ax.patches if patch.get_linewidth() == 2] for ax in game.axes]
    for (learner,), rests in zip(thick, (unchanged, frozen), strict=True):
        assert learner.x0 == pytest.approx(rests.x0) and learner.size == pytest.approx(rests.size)


def test_no_words_of_the_game_overlap_or_are_small_or_lack_a_glyph(game):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(game).draw()
    texts = [text for ax in game.axes for text in ax.texts]
    boxes = [text.get_window_extent() for text in texts]
    assert min(text.get_fontsize() for text in texts) >= 8
    assert all(0 < box.x0 < box.x1 < game.bbox.x1 and 0 < box.y0 < box.y1 < game.bbox.y1 for box in boxes)
    pairs = itertools.combinations(zip(texts, boxes, strict=True), 2)
    assert [(a.get_text(), b.get_text()) for (a, box), (b, other) in pairs if box.overlaps(other)] == []
