"""One quiet visual language: type and space, colours for curves, swatches for classes.

Nothing is told apart by colour alone: a curve has its dash, its marker and a name at its end, bars have a
hatch, classes have names and outlines. Colours: Okabe and Ito, "Color Universal Design" (2008). Contrasts: Web
Content Accessibility Guidelines 2.2, 1.4.3 (text: 4.5) and 1.4.11 (lines and bars: 3).
"""

from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from minida.types import CITYSCAPES, IGNORE, ClassTable

_HUES = "black orange sky green yellow blue vermillion purple"
_HEX = "#000000 #E69F00 #56B4E9 #009E73 #F0E442 #0072B2 #D55E00 #CC79A7"
OKABE_ITO = dict(zip(_HUES.split(), _HEX.split(), strict=True))
WIDTH = 9.0  # inches: a JupyterLab cell at 100 pixels an inch
INK, QUIET = "#222222", "#6b6b6b"
# Orange, sky and yellow are too pale for a line on white. Darkened, orange would be vermillion to who sees no green.
LINES = {hue: OKABE_ITO[hue] for hue in ("black", "blue", "vermillion", "green")}
LINES |= {"purple": "#BE6F9B", "brown": "#6B4410", "indigo": "#332288"}
_WORDS = {LINES["green"]: "#007F5C", LINES["vermillion"]: "#BA5200", LINES["purple"]: "#A05C82"}
HATCHES = ("", "////", "....", "xxxx", "----")
_LOOKS = (  # colour, dash, marker
    ("blue", "-", "o"),
    ("vermillion", "--", "s"),
    ("green", "-.", "^"),
    ("purple", ":", "D"),
    ("brown", (0, (5, 1)), "v"),
    ("indigo", (0, (8, 2, 1, 2, 1, 2)), "P"),
    ("black", "-", "X"),
    ("black", ":", "h"),
)
_FIXED = {  # a name keeps its look in every figure of the course
    **{"supervised": 6, "source-only": 1, "adversarial": 4, "pseudo": 5, "self-training": 0},
    **{"dars": 2, "u2pl": 3, "mpl": 7, "sgd": 0, "adam": 1, "rmsprop": 2, "real": 0, "game": 4},
    **{"λ = 0": 6, "DSC": 4, "FCD": 5, "ST": 1, "MPT": 5, "CBST": 4, "DA": 3, "DARS": 2, "labelled": 0},
}


def use_style() -> None:
    """Set matplotlib's defaults for the course; call it once a notebook."""
    mpl.rc("figure", figsize=(WIDTH, 3.6), dpi=100, facecolor="white")
    mpl.rc("figure.constrained_layout", use=True)
    mpl.rc("font", family="DejaVu Sans", size=10)
    mpl.rc("axes", titlesize=11, titlelocation="left", titlepad=10, labelcolor=QUIET, edgecolor="#b0b0b0")
    mpl.rc("axes", grid=True, axisbelow=True)
    mpl.rc("axes.grid", axis="y")
    mpl.rc("axes.spines", top=False, right=False)
    mpl.rc("grid", color="#e4e4e4", linewidth=0.8)
    mpl.rc("lines", linewidth=1.8, markersize=5)
    mpl.rc(("xtick", "ytick"), color=QUIET, labelcolor=INK)
    mpl.rc("text", color=INK)
    mpl.rc("legend", frameon=False)
    mpl.rc("hatch", linewidth=0.7)


def styles_of(names: Iterable[str]) -> dict[str, dict]:
    """A look (color, linestyle, marker) for each name: its fixed one, else the first that nobody here has."""
    fixed = {name: _FIXED.get(name) for name in names}
    spare = iter(sorted(range(len(_LOOKS)), key=lambda index: index in fixed.values()) * len(fixed))
    looks = {name: _LOOKS[next(spare) if index is None else index] for name, index in fixed.items()}
    return {n: {"color": LINES[hue], "linestyle": d, "marker": m} for n, (hue, d, m) in looks.items()}


def colour_of(name: str) -> str:
    """The colour of a named curve or bar."""
    return styles_of([name])[name]["color"]


def text_colour(colour: str) -> str:
    """A line's colour, darker where words on white need it."""
    return _WORDS.get(colour, colour)


def ink_on(colour: Iterable[float]) -> str:
    """Black or white, whichever stands out from a ground: (3,) or (4,) in [0, 1]."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"


def class_legend(fig: Figure, classes: Iterable[int], table: ClassTable = CITYSCAPES) -> None:
    """Put a swatch and a name for each class (IGNORE: "ignored") under the figure."""
    known = {index: (table.palette[index] / 255, table.names[index]) for index in classes if index != IGNORE}
    entries = [*known.values(), *([("#181818", "ignored")] if IGNORE in classes else [])]
    handles = [Patch(facecolor=hue, edgecolor=QUIET, linewidth=0.5, label=name) for hue, name in entries]
    columns = -(-len(handles) // -(-len(handles) // 8))  # rows of equal length, eight at most
    fig.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8.5, handlelength=1.2)
