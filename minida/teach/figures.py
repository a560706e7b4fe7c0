"""Figures for readers who see them and for those who do not: each carries alternative text.

They are emitted as HTML, because JupyterLab ignores `alt` in the display metadata of a figure.
"""

import base64
import io
import math
import time
from collections.abc import Callable, Mapping
from html import escape

import numpy as np
from IPython.display import display
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from minida.viz.figures import curves
from minida.viz.style import INK, WIDTH
from minida.viz.views import to_rgb

_DPI = 130  # sharp at 100 display pixels an inch, and still light


def _compact(rgb: np.ndarray) -> tuple[str, bytes]:
    """MIME type and bytes: a 256-colour PNG, or a JPEG where that is smaller or 256 colours are too few."""
    picture, png, jpeg = Image.fromarray(rgb), io.BytesIO(), io.BytesIO()
    few = picture.quantize(256, dither=Image.Dither.NONE)
    few.save(png, "png", optimize=True)
    picture.save(jpeg, "jpeg", quality=80, subsampling=0)  # optimize=True fails on noise: Pillow's buffer is short
    # photographs use the colours up, and then two classes of a label map beside them become one
    faithful = (abs(np.asarray(few.convert("RGB"), np.int16) - rgb).max(-1) > 24).mean() < 1e-3
    drawn = faithful and len(png.getvalue()) <= len(jpeg.getvalue())
    return ("image/png", png.getvalue()) if drawn else ("image/jpeg", jpeg.getvalue())


def _html(rgb: np.ndarray, width: int, alt: str, caption: str | None) -> dict[str, str]:
    if len(alt.strip()) < 20:
        raise ValueError(f"alt text {alt!r} is too short: say in 20 characters or more what is to be seen")
    mime, data = _compact(rgb)
    source = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    image = f'<img alt="{escape(alt)}" style="width:{width}px;max-width:100%;height:auto" src="{source}">'
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return {"text/html": f'<figure style="margin:8px 0">{image}{note}</figure>', "text/plain": alt}


def _draw(fig: Figure) -> np.ndarray:
    fig.set_dpi(_DPI)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def figure(fig: Figure, alt: str, caption: str | None = None) -> None:
    """Display a figure with its alternative text (20 characters or more, else ValueError), and close it."""
    display(_html(_draw(fig), round(100 * fig.get_figwidth()), alt, caption), raw=True)
    pyplot.close(fig)


def picture(rgb, alt: str, caption: str | None = None) -> None:
    """Display an image, torch (3, H, W) or NumPy (H, W, 3), with its alternative text."""
    rgb = to_rgb(rgb)
    display(_html(rgb, min(900, max(rgb.shape[1], 384)), alt, caption), raw=True)


_PANELS = {"loss": ("loss", 1), "mIoU in %": ("miou", 100)}


class LiveCurves:
    """A training callback that draws loss and mIoU while the network learns, at most every `every` seconds.

    `panels` names others: {title: (key of the record, scale)}, or with a dotted line (key, scale, value, its words).

    Use it as a context manager, so that the last state is drawn too. `callback=live` follows one training,
    `callback=live.run(name)` one of several; `history` keeps the records of each.
    """

    def __init__(self, steps: int | None = None, every: float = 2.0, panels: Mapping[str, tuple] = _PANELS) -> None:
        self.steps, self.every, self.panels = steps, every, panels
        self.history: dict[str, list[dict]] = {}
        self._handle, self._drawn = None, -math.inf

    def __call__(self, step: int, record: dict) -> None:
        self.run("training")(step, record)

    def run(self, name: str) -> Callable[[int, dict], None]:
        """The callback of the training called `name`."""

        def callback(step: int, record: dict) -> None:
            self.history.setdefault(name, []).append({**record, "step": step})
            if time.monotonic() - self._drawn >= self.every:
                self.draw()

        return callback

    def __enter__(self) -> "LiveCurves":
        return self

    def __exit__(self, *exception: object) -> None:
        self.draw()

    def _series(self, key: str, scale: float) -> dict[str, tuple[list, list]]:
        """{name: (steps, values)} of the runs that have logged `key`."""
        kept = {name: [r for r in records if r.get(key) is not None] for name, records in self.history.items()}
        return {n: ([r["step"] for r in rs], [scale * r[key] for r in rs]) for n, rs in kept.items() if rs}

    def draw(self) -> None:
        """Draw now, over the last drawing."""
        columns = 2 if len(self.panels) == 4 else min(len(self.panels), 3)
        rows = -(-len(self.panels) // columns)
        fig, words = Figure((WIDTH, 0.4 + (2.6 if columns == 3 else 3.2) * rows), layout="constrained"), []
        for place, (label, (key, scale, *reference)) in enumerate(self.panels.items(), 1):
            ax, series = fig.add_subplot(rows, columns, place), self._series(key, scale)
            if reference:
                value, meaning = reference
                ax.axhline(value, color=INK, linestyle=":", linewidth=1.2)
                ax.set_title(f"··· {meaning}", loc="right", size=8.5)  # on the line, curves would cross it
                words.append(f"{label}: dotted line at {value:.2f}, {meaning}")
            if key == "miou":
                ax.axhline(0, alpha=0).sticky_edges.y.append(0)  # the axis starts there
            curves(series, ylabel=label, ax=ax)
            ax.set_xlim(0, 1.02 * self.steps if self.steps else None)
            words += [f"{name}: {label} from {y[0]:.2f} to {y[-1]:.2f}" for name, (_, y) in series.items()]
        content = _html(_draw(fig), 900, f"Training curves. {'; '.join(words) or 'Nothing logged yet'}.", None)
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
        self._drawn = time.monotonic()
