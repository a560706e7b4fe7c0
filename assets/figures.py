"""Make the README's pictures again: `python assets/figures.py` (from MiniCity and the committed slim checkpoints)."""

import minida  # noqa: I001 (before torch)

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minida.viz.views import colorize, outline, to_rgb

FOLDER = Path(__file__).resolve().parent
INK, PAPER = (68, 68, 72), (255, 255, 255)


def grid(rows: list[list[np.ndarray]], titles: list[str], gap: int = 10, top: int = 64) -> Image.Image:
    """Pictures of one size in a grid, a title above each column."""
    height, width = rows[0][0].shape[:2]
    sheet = Image.new("RGB", (gap + len(rows[0]) * (width + gap), top + len(rows) * (height + gap)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(36)  # read at a third of its size
    for column, title in enumerate(titles):
        draw.text((gap + column * (width + gap) + width / 2, top / 2), title, INK, font, anchor="mm")
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (gap + column * (width + gap), top + row * (height + gap)))
    return sheet


def drawn(labels) -> np.ndarray:
    """A label map as everywhere: its classes' colours, and a line between them."""
    return outline(colorize(labels), labels)


def contact_sheet() -> Image.Image:
    """Both domains of MiniCity, image beside labels."""
    rows = []
    for domain, indices in (("game", (3, 11, 22)), ("real", (11, 21, 28))):
        city = minida.data.MiniCity(domain, size=(256, 512), n=40)
        for index in indices:
            rows.append([to_rgb(city.image(index)), drawn(city.labels(index))])
    paired = [rows[k] + rows[k + 3] for k in range(3)]
    return grid(paired, ["game", "its labels", "real", "its labels"])


def gap_strip() -> Image.Image:
    """One scene while the gap opens."""
    gaps = (0.0, 0.25, 0.5, 0.75, 1.0)
    row = [to_rgb(minida.data.MiniCity("real", size=(256, 512), n=40, gap=gap).image(11)) for gap in gaps]
    return grid([row], [f"gap {gap:g}" for gap in gaps])


def shift() -> Image.Image:
    """What two networks of one form, trained on game and on real, see in streets of the real domain."""
    city = minida.data.MiniCity("real", "val", size=(96, 192), n=60)
    models = [minida.load(FOLDER / "checkpoints" / f"slim-{domain}.safetensors") for domain in ("game", "real")]
    rows = []
    for index in (12, 31, 47):
        normal = minida.data.normalise(city.image(index)[None])
        views = [to_rgb(city.image(index)), *(drawn(m.probs(normal)[0].argmax(0)) for m in models)]
        views.append(drawn(city.labels(index)))
        rows.append([np.array(Image.fromarray(view).resize((512, 256), 0 if n else 2)) for n, view in enumerate(views)])
    return grid(rows, ["real street", "trained on game", "trained on real", "truth"])


def main() -> None:
    for name, draw in (("contact-sheet", contact_sheet), ("gap", gap_strip), ("domain-shift", shift)):
        sheet = draw()
        sheet = sheet.resize((1600, round(sheet.height * 1600 / sheet.width)), Image.Resampling.LANCZOS)
        sheet.save(FOLDER / f"{name}.jpg", quality=90, subsampling=0)  # 4:4:4 keeps the labels' colours
        print(FOLDER.name, f"{name}.jpg", sheet.size)


if __name__ == "__main__":
    main()
