"""Diagrams: BiSeNet's two paths, with the shapes of a real forward pass, and the game of adversarial adaptation."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from torch import Tensor, nn

from minida.data import MiniCity
from minida.viz.style import INK, OKABE_ITO, QUIET, WIDTH
from minida.viz.views import colorize, outline, to_rgb

_SPATIAL, _CONTEXT, _FUSION, _ENDS = [(OKABE_ITO[hue], 0.5) for hue in ("sky", "orange", "green")] + [("k", 0.12)]
_BOXES = {  # part: centre, colour, name
    "image": (4, 25, _ENDS, "image"),
    **{f"spatial_path.{n}": (18 + 9 * n, 38, _SPATIAL, f"conv {n + 1}") for n in range(3)},
    "context_path.stem": (14, 11, _CONTEXT, "stem"),
    **{f"context_path.layer{n}": (14 + 8 * n, 11, _CONTEXT, f"layer {n}") for n in (1, 2, 3, 4)},
    "refine16": (54, 25, _CONTEXT, "ARM"), "refine32": (54, 11, _CONTEXT, "ARM"),
    "joined": (75, 25, _FUSION, "concat"), "fusion": (82, 25, _FUSION, "FFM"), "head": (89, 25, _FUSION, "1×1 conv"),
    "aux16": (67, 18.2, _ENDS, "aux head"), "aux32": (84, 7.6, _ENDS, "aux head"), "logits": (96, 25, _ENDS, "logits"),
}  # fmt: skip
_ARROWS = (  # points
    ((6, 25), (10, 25), (10, 38), (16, 38)), ((10, 25), (10, 11), (12, 11)), ((20, 38), (25, 38)), ((29, 38), (34, 38)),
    ((38, 38), (75, 38), (75, 31)), *(((x, 11), (x + 4, 11)) for x in (16, 24, 32, 40, 48)), ((56, 11), (60.6, 11)),
    ((38, 17), (38, 25), (52, 25)), ((56, 25), (73, 25)), ((46, 4), (46, 2), (62, 2), (62, 9.2)),
    ((63.4, 11), (75, 11), (75, 16.4)), *(((x, 25), (x + 3, 25)) for x in (77, 84, 91)),
)  # fmt: skip
_DASHED = (((61, 25), (61, 18.2), (65, 18.2)), ((71, 11), (71, 7.6), (82, 7.6)))
_NOTES = (
    (21.5, 48, "Spatial path: keeps the detail"), (20, 20.4, "Context path: sees far"),
    (83, 48, "grey: channels and height · dashed: in training only"), (54, 3.4, "tail: global average"),
    (67, 26.4, "upsample ×2"), (73.2, 12.4, "×4"), (92.4, 26.4, "×8"),
)  # fmt: skip


def _arrow(ax, points: Sequence[tuple[float, float]], **look) -> None:
    """A line through the points, with a head at the last."""
    ax.add_patch(FancyArrowPatch(path=Path(points), arrowstyle="-|>", mutation_scale=10, **{"zorder": 0, **look}))


def _box(ax, place: tuple[float, float, float, float], **look) -> None:
    """A rounded box: centre, width and height."""
    x, y, wide, tall = place
    look = {"edgecolor": INK, "linewidth": 0.8, "boxstyle": "round,pad=0,rounding_size=0.5", **look}
    ax.add_patch(FancyBboxPatch((x - wide / 2, y - tall / 2), wide, tall, **look))


@torch.no_grad()
def output_shapes(model: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """Shape of what each part of a BiSeNet returns for `x`, seen by hooks; "joined" is what fusion is given."""
    parts = {part: name for name, part in model.named_modules() if name in _BOXES}
    shapes = {"image": tuple(x.shape)}
    hooks = [p.register_forward_hook(lambda p, i, out: shapes.update({parts[p]: tuple(out.shape)})) for p in parts]
    hooks.append(model.fusion.register_forward_pre_hook(lambda p, i: shapes.update(joined=tuple(i[0].shape))))
    shapes["logits"] = tuple(model(x).logits.shape)
    for hook in hooks:
        hook.remove()
    return {name: shapes[name] for name in _BOXES}


def bisenet_diagram(shapes: Mapping[str, tuple[int, ...]]) -> Figure:
    """Both paths, left to right, from the shapes of `output_shapes`; a box is as tall as its map is fine."""
    fig = Figure((WIDTH, 4.6), layout="none")
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, 100), ylim=(0, 50))
    ax.set_axis_off()
    for points in _ARROWS + _DASHED:
        _arrow(ax, points, color=QUIET, linewidth=1, linestyle="--" if points in _DASHED else "-")
    for name, (x, y, colour, title) in _BOXES.items():
        ratio = round(shapes["image"][2] / shapes[name][2])
        tall = {1: 16, 2: 12, 4: 9, 8: 6.5, 16: 4.6, 32: 3.2}[ratio]
        _box(ax, (x, y, 3.4, tall), facecolor=colour)
        words = {"ha": "center", "size": 8, "linespacing": 1.1}
        ax.text(x, y + tall / 2 + 0.7, title, va="bottom", color=INK, **words)
        size = f"{shapes[name][1]}\nH/{ratio}".removesuffix("/1")
        ax.text(x, y - tall / 2 - 0.7, size, va="top", color=QUIET, **words)
    ax.text(62, 11, "×", ha="center", va="center_baseline", size=15, color=INK)
    for x, y, text in _NOTES:
        ax.text(x, y, text, ha="center", va="center", color=INK, size=9 if "path" in text else 8)
    return fig


# The game, an update a panel. Lengths are tenths of an inch from a panel's lower left corner.
_ROWS = {"source": 18.5, "target": 6.5}
_WAYS = [((a, y), (b, y)) for y, a, b in ((18.5, 16, 22), (18.5, 32, 37), (6.5, 16, 22), (6.5, 32, 37))]
_WAYS += [((51, 6.5), (56, 6.5)), ((66, 6.5), (72, 6.5))]  # to the discriminator, and on to its loss
_GAME = (  # title, what is minimised, loss boxes, ways of the predictions, ways of the gradients, words on the lines
    (
        "First half: the segmentation network learns",
        r"$L = L_{seg} + \lambda\,L_{adv}$  (Eq. 4)",
        {"source": "$L_{seg}$  (Eq. 1)\nlike the source labels?", "target": "$L_{adv}$  (Eq. 2)\ntaken for source?"},
        (*_WAYS, ((51, 18.5), (72, 18.5))),
        (((72, 16), (32, 16)), ((72, 4), (32, 4))),
        ((61, 14.5, "gradient"), (69, 2.5, "gradient")),
    ),
    (
        "Second half: the discriminator learns, from the same predictions",
        "$L_D$  (Eq. 3)",
        {"target": "$L_D$  (Eq. 3)\nsource: 0, target: 1"},
        (*_WAYS, ((51, 18.5), (61, 18.5), (61, 12.5))),
        (((72, 4), (66, 4)),),
        ((53.8, 18.4, "//"), (53.2, 6.4, "//"), (57.4, 19.9, "detached"), (69, 2.5, "gradient")),
    ),
)


def game_diagram() -> Figure:
    """The two updates of `minida.methods.Adversarial.step`, one above the other, with streets of MiniCity."""
    fig = Figure((WIDTH, 6.1), layout="none")
    streets = {"source": MiniCity("game", "val")[3], "target": MiniCity("real", "val")[3]}
    for number, (title, goal, losses, ways, gradients, notes) in enumerate(_GAME):
        ax = fig.add_axes((0, 0.52 - 0.5 * number, 1, 2.9 / 6.1), xlim=(0, 90), ylim=(0, 29))
        ax.set_axis_off()
        ax.text(2, 27, title, va="center", size=12, weight="bold", color=INK)
        ax.text(88, 27, f"minimises  {goal}", ha="right", va="center", size=10, color=INK)
        for row, y in _ROWS.items():
            image, labels = streets[row]
            for x, what, rgb in ((9, "image", to_rgb(image)), (44, "prediction", outline(colorize(labels), labels))):
                ax.imshow(rgb, extent=(x - 7, x + 7, y - 3.5, y + 3.5), aspect="auto", zorder=2)
                ax.text(x, y + 4.3, f"{row} {what}", ha="center", size=9, color=INK)
        _player(ax, (27, 12.5, 23), "G", "segmentation\nnetwork", "sky", ("learns", "unchanged")[number])
        _player(ax, (61, 6.5, 11.5), "D", "discriminator", "orange", ("frozen", "learns")[number])
        for row, words in losses.items():
            _box(ax, (80, _ROWS[row], 16, 7.5), facecolor="white")
            ax.text(80, _ROWS[row], words, ha="center", va="center", size=9, color=INK, linespacing=1.5)
        for way in ways:
            _arrow(ax, way, color=QUIET, linewidth=1.2)
        for way in gradients:
            _arrow(ax, way, color=OKABE_ITO["vermillion"], linewidth=1.6, linestyle=(0, (4, 2)), zorder=1.5)
        for x, y, words in notes:
            cut = {"size": 13, "weight": "bold", "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0}}
            ax.text(x, y, words, ha="center", va="center", color=INK, **(cut if words == "//" else {"size": 8.5}))
    return fig


def _player(ax, place: tuple[float, float, float], letter: str, name: str, hue: str, state: str) -> None:
    """One of the two networks: coloured and framed where it learns, else grey, dashed and hatched."""
    x, y, tall = place
    if state == "learns":
        _box(ax, (x, y, 10, tall), facecolor=(OKABE_ITO[hue], 0.5), linewidth=2)
    else:
        _box(ax, (x, y, 10, tall), facecolor="#f6f6f6", edgecolor="#d8d8d8", hatch="///")
        _box(ax, (x, y, 10, tall), facecolor="none", edgecolor=QUIET, linestyle="--", linewidth=1.2)
    ax.text(x, y + 2.2, letter, ha="center", size=17, weight="bold", color=INK)
    ax.text(x, y + 1.6, f"{name}\n{state}", ha="center", va="top", size=8.5, color=INK)
