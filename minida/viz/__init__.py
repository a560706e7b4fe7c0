"""Pictures: `style` (one visual language), `views` (arrays), `figures` (matplotlib), `widgets` (ipywidgets).

Names are resolved when asked for: `views` works where neither matplotlib nor ipywidgets is installed.
"""

from importlib import import_module

_NAMES = {
    "style": "INK LINES OKABE_ITO QUIET colour_of styles_of text_colour use_style",
    "views": "colorize encode error_map one_class outline overlay",
    "figures": "class_bars confusion_figure curves gallery iou_table",
    "ladder": "class_figure cost_figure",
    "widgets": "StreetExplorer",
}


def __getattr__(name: str) -> object:
    for module, names in _NAMES.items():
        if name in names.split():
            return getattr(import_module(f"minida.viz.{module}"), name)
    raise AttributeError(f"minida.viz has no {name!r}; it has {' '.join(_NAMES.values())}")
