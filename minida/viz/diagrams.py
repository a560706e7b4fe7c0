"""BiSeNet as a picture: its two paths, labelled with the shapes of a real forward pass."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor, nn

from minida.viz.style import INK, OKABE_ITO, QUIET, WIDTH

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
        look = {"color": QUIET, "linewidth": 1, "linestyle": "--" if points in _DASHED else "-"}
        ax.plot(*zip(*points, strict=True), **look, zorder=0)
        ax.annotate("", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", **look})
    for name, (x, y, colour, title) in _BOXES.items():
        ratio = round(shapes["image"][2] / shapes[name][2])
        tall = {1: 16, 2: 12, 4: 9, 8: 6.5, 16: 4.6, 32: 3.2}[ratio]
        look = {"facecolor": colour, "edgecolor": INK, "boxstyle": "round,pad=0,rounding_size=0.5"}
        ax.add_patch(FancyBboxPatch((x - 1.7, y - tall / 2), 3.4, tall, linewidth=0.8, **look))
        words = {"ha": "center", "size": 8, "linespacing": 1.1}
        ax.text(x, y + tall / 2 + 0.7, title, va="bottom", color=INK, **words)
        size = f"{shapes[name][1]}\nH/{ratio}".removesuffix("/1")
        ax.text(x, y - tall / 2 - 0.7, size, va="top", color=QUIET, **words)
    ax.text(62, 11, "×", ha="center", va="center_baseline", size=15, color=INK)
    for x, y, text in _NOTES:
        ax.text(x, y, text, ha="center", va="center", color=INK, size=9 if "path" in text else 8)
    return fig
