"""Live source: the code a notebook shows is the code that runs."""

import inspect
import textwrap
from pathlib import Path
from typing import NamedTuple

from IPython.display import display
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

import minida


class Source(NamedTuple):
    """A piece of source and where it stands; plain text, or coloured in a notebook."""

    place: str  # file:line, relative to the project
    code: str

    def __repr__(self) -> str:
        return f"{self.place}\n\n{self.code}"

    def _repr_html_(self) -> str:
        look = "padding:8px;background:#f7f7f7;color:#222;line-height:1.35;overflow-x:auto"
        colours = HtmlFormatter(style="xcode", noclasses=True, nobackground=True, prestyles=look)
        code = highlight(self.code, PythonLexer(), colours)
        return f"<details open><summary><code>{self.place}</code></summary>{code}</details>"


def show(obj: object, lines: tuple[int, int] | None = None) -> None:
    """Display the source of a function, class or method with its file and line number.

    `lines` = (first, last) picks some of its lines, counted from 1.
    Raises: ValueError for something without Python source, or for lines outside it.
    """
    try:
        code, start = inspect.getsourcelines(obj)
        path = Path(inspect.getsourcefile(inspect.unwrap(obj)))
    except (TypeError, OSError) as error:
        raise ValueError(f"{obj!r} has no Python source; give a function, a class or a method") from error
    first, last = lines or (1, len(code))
    if not 1 <= first <= last <= len(code):
        raise ValueError(f"lines {lines} are outside {obj!r}, which has lines 1 to {len(code)}")
    root = Path(minida.__file__).parents[1]
    place = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    text = textwrap.dedent("".join(code[first - 1 : last])).rstrip()
    display(Source(f"{place}:{start + first - 1}", text))
