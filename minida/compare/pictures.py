"""The ladder's table and figures as files."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

from minida.compare.report import markdown, rows
from minida.compare.store import Store
from minida.compare.training import Planned
from minida.data import normalise
from minida.data import open as open_data
from minida.storage import load, write_atomically
from minida.viz.figures import gallery
from minida.viz.ladder import class_figure, cost_figure
from minida.viz.style import use_style


def save(planned: Sequence[Planned], records: Sequence[dict], store: Store, out: str | Path) -> list[Path]:
    """For each protocol OUT/uda.md (the table), uda-cost.png, uda-classes.png, and uda-gallery.png where networks are.

    Returns the files.
    """
    files: list[Path] = []
    for protocol in dict.fromkeys(one.protocol for one in planned):
        preset = planned[0].config.preset
        found = rows(records, protocol, preset)
        files.append(Path(out) / f"{protocol}.md")
        text = markdown(found, protocol) + "\n"
        write_atomically(files[-1], lambda part, text=text: part.write_text(text, encoding="utf-8"))
        first = [one for one in planned if one.protocol == protocol and one.needed and one.config.seed == 0]
        with mpl.rc_context():  # the caller's own look is left as it is
            use_style()
            figures = {"cost": cost_figure(found), "classes": class_figure(found)}
            if any(one.key in store.folders for one in first):
                figures["gallery"] = predictions([one for one in first if one.key in store.folders], store)
            for name, figure in figures.items():
                files.append(Path(out) / f"{protocol}-{name}.png")
                write_atomically(files[-1], lambda part, fig=figure: fig.savefig(part, format="png", dpi=130))
    return files


@torch.no_grad()
def predictions(chosen: Sequence[Planned], store: Store, images: Sequence[int] = (0, 1, 2, 3)) -> Figure:
    """Rows: the images of the evaluated val split, what each rung's network says of them, the truth."""
    config = chosen[0].config
    data = open_data(config.evaluated, "val", config.size)
    some = [data[n % len(data)] for n in images]
    shown = {"image": [image for image, _ in some]}
    for one in chosen:
        model = load(store.folders[one.key])
        batch = normalise(torch.stack([image for image, _ in some]))
        shown[one.title] = list(model.probs(batch).argmax(1))
    shown["truth"] = [labels for _, labels in some]
    names = [textwrap.fill(name, 16) for name in shown]
    return gallery(list(shown.values()), table=data.table, row_names=names)
