"""Wrong answers to assignment 04: the source's own solutions, each with one mistake in it."""

from minida import classroom
from minida.classroom.format import about, is_answer, read

NAME = "04-centroids"
CELLS = {
    about(cell)["grade_id"]: cell.source
    for cell in read(classroom.SOURCE / NAME / f"{NAME}.ipynb").cells
    if is_answer(cell) and cell.cell_type == "code"
}


def but(exercise: str, *changes: tuple[str, str]) -> str:
    """The solution of an exercise with some of its text changed."""
    text = CELLS[exercise]
    for old, new in changes:
        assert text.count(old) == 1, f"{exercise}: {old!r} stands there {text.count(old)} times"
        text = text.replace(old, new)
    return text


MUTANTS = {
    "window": {
        "rounded to even": but("window", ("int(2 * part.sum() + count) // (2 * count)", "round(part.sum() / count)")),
        "rounded down": but("window", ("int(2 * part.sum() + count) // (2 * count)", "int(part.sum() // count)")),
        "the centroid, whatever lies there": but("window", ("if labels[y, x] != kind:", "if False:")),
        "nearest to the rounded centroid": but(
            "window",
            ("(count * rows - rows.sum()) ** 2", "(rows - y) ** 2"),
            ("(count * columns - columns.sum()) ** 2", "(columns - x) ** 2"),
        ),
        "the lowest of equally near pixels": but(
            "window", ("y, x = int(rows[far.argmin()]), int(columns[far.argmin()])",
                       "y, x = int(rows[::-1][far[::-1].argmin()]), int(columns[::-1][far[::-1].argmin()])"),
        ),
        "cut off instead of moved": but("window", (", labels.shape[0] - height)", ", labels.shape[0])")),
        "no lower end": but("window", ("min(max(x - width // 2, 0), ", "min(x - width // 2, ")),
        "class 0 for an absent class": but("window", ("return None", "return 0, 0, *size")),
        "rows and columns swapped": but("window", ("for part in (rows, columns))", "for part in (columns, rows))")),
        "a large crop stays large": but("window", ("min(side, whole) for", "side for")),
        "the median instead of the mean": but(
            "window", ("int(2 * part.sum() + count) // (2 * count)", "int(np.floor(np.median(part) + 0.5))")
        ),
        "the middle of the box": but(
            "window",
            ("int(2 * part.sum() + count) // (2 * count)", "int(part.min() + part.max() + 1) // 2"),
        ),
    },
    "plan": {
        "the most frequent class first": but("plan", ("np.argsort(total, kind=", "np.argsort(-total, kind=")),
        "rare by images": but("plan", ("total = pixels.sum(0, dtype=np.int64)", "total = (pixels > 0).sum(0)")),
        "8 bits overflow": but("plan", ("pixels.sum(0, dtype=np.int64)", "pixels.sum(0, dtype=pixels.dtype)")),
        "absent classes have a turn": but("plan", (" if total[c] > 0]", "]"), ("if pixels[image, kind] > 0]", "]")),
        "images without the class are drawn": but("plan", (" if pixels[image, kind] > 0]", "]")),
        "the class alone counts": but("plan", ("(drawn[n, kind], drawn[n].sum())", "drawn[n, kind]")),
        "the image alone counts": but("plan", ("(drawn[n, kind], drawn[n].sum())", "drawn[n].sum()")),
        "the image before the class": but(
            "plan", ("(drawn[n, kind], drawn[n].sum())", "(drawn[n].sum(), drawn[n, kind])")
        ),
        "by the image's number": but("plan", ("for image in order if", "for image in sorted(order) if")),
        "the pair turned round": but("plan", ("plan.append((kind, image))", "plan.append((image, kind))")),
        "a sort that is not stable": but("plan", ('np.argsort(total, kind="stable")', "np.argsort(total)")),
    },
    "schedule": {
        "the batch rounded up": but("schedule", ("step // (height * width)", "-(-step // (height * width))")),
        "equal steps, not equal pixels": but(
            "schedule", ("max(0, (2 * missing + len(crops) * each) // (2 * len(crops) * each))",
                         "max(0, (steps - warmup) // len(crops))"),
        ),
        "errors add up": but("schedule", ("number * rest - len(crops) * done", "rest")),
        "steps rounded down": but("schedule", ("(2 * missing + len(crops) * each) //", "2 * missing //")),
        "steps rounded to even": but(
            "schedule", ("(2 * missing + len(crops) * each) // (2 * len(crops) * each)",
                         "round(missing / (len(crops) * each))"),
        ),
        "the warm-up is not paid for": but("schedule", ("(steps - warmup) * step", "steps * step")),
        "steps of the baseline's pixels": but("schedule", ("done += count * each", "done += count * step")),
        "phases without a step": but("schedule", (" if phase[3] > 0]", "]")),
        "no warm-up entry": but("schedule", ("schedule = [(full[0], full[1], batch, warmup)]", "schedule = []")),
        "images and pixels swapped": but(
            "schedule", ("return images / (batch * steps), area / (batch * steps * full[0] * full[1])",
                         "return area / (batch * steps * full[0] * full[1]), images / (batch * steps)"),
        ),
        "steps instead of images": but("schedule", ("sum(many * count for", "sum(count for")),
    },
    "shares": {
        "a mean over images": but(
            "shares",
            ("counts = sum((np.bincount(part[part != IGNORE], minlength=classes) for part in parts), "
             "np.zeros(classes))",
             "each = [np.bincount(part[part != IGNORE], minlength=classes) for part in parts]\n"
             "        counts = sum((one / max(1, one.sum()) for one in each), np.zeros(classes))"),
        ),
        "ignored pixels are class 0": but(
            "shares", ("np.bincount(part[part != IGNORE], minlength=classes)",
                       "np.bincount(np.where(part == IGNORE, 0, part).ravel(), minlength=classes)"),
        ),
        "nothing drawn is 0": but("shares", ("np.full((2, classes), np.nan)", "np.zeros((2, classes))")),
        "a crop counts once": but("shares", ("in draws]", "in dict.fromkeys(draws)]")),
        "height and width swapped": but(
            "shares", ("[top : top + height, left : left + width]", "[top : top + width, left : left + height]")
        ),
        "the crops alone": but("shares", ("zip(found, (maps, crops))", "zip(found, (crops, crops))")),
        "KL the other way": but("shares", ("return p * np.log(p / q)", "return q * np.log(q / p)")),
        "only the sum": but("shares", ("return p * np.log(p / q)", "return (p * np.log(p / q)).sum()")),
        "in bits": but("shares", ("np.log(p / q)", "np.log2(p / q)")),
        "no smoothing": but("shares", (" + SMOOTHING for", " for")),
        "smoothed and not normalised": but("shares", ("    p, q = p / p.sum(), q / q.sum()\n", "")),
    },
}  # fmt: skip
