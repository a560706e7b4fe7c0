"""Wrong answers to assignment 03, by exercise: what is wrong, and the cell that a student would hand in."""

RIGHT_COUNT = """
def count(confidence, prediction, classes, bins):
    table = np.zeros((classes, bins), dtype=np.int64)
    for c in range(classes):
        table[c] = np.histogram(confidence[prediction == c], bins, (0, 1))[0]
    return table
"""
RIGHT_FROM_COUNTS = """
def from_counts(counts, q, caps):
    thresholds = np.full(len(counts), np.inf)
    for c, row in enumerate(counts):
        if row.sum():
            upto, wanted = np.cumsum(row), q * row.sum()
            k = np.argmax((upto >= wanted) & (row > 0))
            thresholds[c] = min((k + 1 - (upto[k] - wanted) / row[k]) / counts.shape[1], caps[c])
    return thresholds
"""
RIGHT_JUDGE = """
def judge(labels, truth, classes):
    table = np.zeros((classes, classes + 1))
    known = truth != IGNORE
    np.add.at(table, (truth[known].astype(int), np.minimum(labels[known].astype(int), classes)), 1)
    right, believed = np.diag(table), table[:, :classes]
    fates = np.stack([right, believed.sum(1) - right, table[:, classes]], 1)
    with np.errstate(invalid="ignore"):
        return fates / table.sum(1, keepdims=True), right / believed.sum(0)
"""
RIGHT_TAUGHT = """
def taught(labels, truth, control, student, classes):
    wrong, excess = np.zeros(classes, int), np.full(classes, np.nan)
    for c in range(classes):
        those = (labels == c) & (truth != c) & (truth != IGNORE)
        wrong[c] = those.sum()
        if those.any():
            excess[c] = np.mean(student[those] == c) - np.mean(control[those] == c)
    return wrong, excess
"""


def of_quantiles(*changes: tuple[str, str]) -> str:
    """A right cell of exercise 1, with changes."""
    return changed(
        """
def set_thresholds(images, classes, q, caps):
    thresholds = np.full(classes, np.inf)
    if not images:
        return thresholds
    sure = np.concatenate([confidence.ravel() for confidence, _ in images])
    best = np.concatenate([prediction.ravel() for _, prediction in images])
    for c in range(classes):
        if (best == c).any():
            thresholds[c] = min(np.quantile(sure[best == c], q), caps[c])
    return thresholds
""",
        *changes,
    )


def of_labels(*changes: tuple[str, str]) -> str:
    """A right cell of exercise 3, with changes."""
    return changed(
        """
def believe(probabilities, thresholds):
    prediction, confidence = np.argmax(probabilities, axis=1), np.max(probabilities, axis=1)
    believed = confidence >= thresholds.astype(np.float32)[prediction]
    labels = np.where(believed, prediction, IGNORE)
    kept = np.full(len(thresholds), np.nan)
    for c in range(len(thresholds)):
        if (prediction == c).any():
            kept[c] = believed[prediction == c].mean()
    return labels, kept
""",
        *changes,
    )


def changed(cell: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert cell.count(old) == 1, f"{old!r} is there {cell.count(old)} times"
        cell = cell.replace(old, new)
    return cell


def of_count(*changes: tuple[str, str]) -> str:
    """A right cell of exercise 2, with changes of its first function."""
    cell = """
def count(confidence, prediction, classes, bins):
    real = prediction != IGNORE
    row, sure = prediction[real].astype(int), confidence[real]
    column = np.minimum((sure * bins).astype(int), bins - 1)
    return np.bincount(row * bins + column, minlength=classes * bins).reshape(classes, bins)
"""
    return changed(cell, *changes) + RIGHT_FROM_COUNTS


def of_from_counts(*changes: tuple[str, str]) -> str:
    return RIGHT_COUNT + changed(RIGHT_FROM_COUNTS, *changes)


def of_judge(*changes: tuple[str, str]) -> str:
    """A right cell of exercise 4, with changes of its first function."""
    cell = """
def judge(labels, truth, classes):
    fates, accuracy = np.full((classes, 3), np.nan), np.full(classes, np.nan)
    for c in range(classes):
        mine = labels[truth == c]
        if len(mine):
            fates[c] = np.mean(mine == c), np.mean((mine != c) & (mine != IGNORE)), np.mean(mine == IGNORE)
        known = truth[(labels == c) & (truth != IGNORE)]
        if len(known):
            accuracy[c] = np.mean(known == c)
    return fates, accuracy
"""
    return changed(cell, *changes) + RIGHT_TAUGHT


def of_taught(*changes: tuple[str, str]) -> str:
    return RIGHT_JUDGE + changed(RIGHT_TAUGHT, *changes)


MUTANTS = {
    "quantiles": {
        "a threshold for each image, then their mean": """
def set_thresholds(images, classes, q, caps):
    thresholds = np.full(classes, np.inf)
    for c in range(classes):
        each = [np.quantile(s[p == c], q) for s, p in images if (p == c).any()]
        if each:
            thresholds[c] = min(np.mean(each), caps[c])
    return thresholds
""",
        "the thresholds of the last image": """
def set_thresholds(images, classes, q, caps):
    thresholds = np.full(classes, np.inf)
    for sure, best in images:
        for c in range(classes):
            if (best == c).any():
                thresholds[c] = min(np.quantile(sure[best == c], q), caps[c])
    return thresholds
""",
        "an absent class shifts later thresholds": """
def set_thresholds(images, classes, q, caps):
    found = []
    for c in range(classes):
        values = [v for sure, best in images for v in sure[best == c]]
        if values:
            found.append(min(np.quantile(values, q), caps[c]))
    return np.array(found + [np.inf] * (classes - len(found)))
""",
        "an absent class shifts the caps": """
def set_thresholds(images, classes, q, caps):
    thresholds, caps = np.full(classes, np.inf), list(caps)
    for c in range(classes):
        values = [v for sure, best in images for v in sure[best == c]]
        if values:
            thresholds[c] = min(np.quantile(values, q), caps.pop(0))
    return thresholds
""",
        "an absent class is left out, the result is short": """
def set_thresholds(images, classes, q, caps):
    found = []
    for c in range(classes):
        values = [v for sure, best in images for v in sure[best == c]]
        if values:
            found.append(min(np.quantile(values, q), caps[c]))
    return np.array(found)
""",
        "an absent class gets its cap": of_quantiles(
            ("thresholds = np.full(classes, np.inf)", "thresholds = np.array(caps, float)")
        ),
        "an absent class gets 0": of_quantiles(("np.full(classes, np.inf)", "np.zeros(classes)")),
        "the median, whatever q is": of_quantiles(("[best == c], q)", "[best == c], 0.5)")),
        "q from the top": of_quantiles(("[best == c], q)", "[best == c], 1 - q)")),
        "the larger of quantile and cap": of_quantiles(("min(", "max(")),
        "the report's cap for all": of_quantiles(("caps[c]", "0.9")),
        "one cap, the largest": of_quantiles(("caps[c]", "max(caps)")),
        "the cap is forgotten": of_quantiles(
            ("min(np.quantile(sure[best == c], q), caps[c])", "np.quantile(sure[best == c], q)")
        ),
        "the cap before the quantile": of_quantiles(
            ("min(np.quantile(sure[best == c], q), caps[c])", "np.quantile(np.minimum(sure[best == c], caps[c]), q)")
        ),
        "one quantile over all classes": of_quantiles(("np.quantile(sure[best == c], q)", "np.quantile(sure, q)")),
        "no interpolation": of_quantiles(("[best == c], q)", "[best == c], q, method='lower')")),
        "an empty list raises": of_quantiles(("    if not images:\n        return thresholds\n", "")),
        "images of one size only": """
def set_thresholds(images, classes, q, caps):
    thresholds = np.full(classes, np.inf)
    if images:
        sure = np.stack([s for s, _ in images])
        best = np.stack([p for _, p in images])
        for c in range(classes):
            if (best == c).any():
                thresholds[c] = min(np.quantile(sure[best == c], q), caps[c])
    return thresholds
""",
    },
    "histograms": {
        "1.0 falls into the next class": of_count(
            ("column = np.minimum((sure * bins).astype(int), bins - 1)", "column = (sure * bins).astype(int)"),
            ("minlength=classes * bins)", "minlength=classes * bins)[: classes * bins]"),
        ),
        "1.0 is lost": of_count(("real = prediction != IGNORE", "real = (prediction != IGNORE) & (confidence < 1)")),
        "padding is counted as the last class": of_count(
            ("real = prediction != IGNORE", "real = prediction >= 0"),
            (
                "row, sure = prediction[real].astype(int)",
                "row, sure = np.minimum(prediction[real].astype(int), classes - 1)",
            ),
        ),
        "8 bits overflow": of_count(
            ("prediction[real].astype(int)", "prediction[real]"),
            ("row * bins + column", "row * row.dtype.type(bins) + column"),
        ),
        "bins closed on the right": of_count(
            ("np.minimum((sure * bins).astype(int), bins - 1)", "np.maximum(np.ceil(sure * bins).astype(int) - 1, 0)")
        ),
        "rounded to the nearest bin": of_count(("(sure * bins).astype(int)", "np.rint(sure * bins).astype(int)")),
        "bins and classes swapped": of_count(
            ("row * bins + column", "column * classes + row"), ("reshape(classes, bins)", "reshape(bins, classes)")
        ),
        "shares instead of counts": of_count(("reshape(classes, bins)", "reshape(classes, bins) / max(real.sum(), 1)")),
        "bins from 1 / classes on": of_count(
            ("(sure * bins)", "((sure - 1 / classes) / (1 - 1 / classes) * bins).clip(0)")
        ),
        "the upper edge of the bin": of_from_counts((" - (upto[k] - wanted) / row[k]", "")),
        "the lower edge of the bin": of_from_counts(("k + 1 - (upto[k] - wanted) / row[k]", "k")),
        "the middle of the bin": of_from_counts(("k + 1 - (upto[k] - wanted) / row[k]", "k + 0.5")),
        "interpolated from the wrong side": of_from_counts(("k + 1 - (", "k + (")),
        "the bin after the one in which the count is reached": of_from_counts(("upto >= wanted", "upto > wanted")),
        "empty bins are not passed over": of_from_counts((" & (row > 0)", ""), ("/ row[k]", "/ max(row[k], 1)")),
        "interpolated over the gap": of_from_counts(
            (
                "(k + 1 - (upto[k] - wanted) / row[k]) / counts.shape[1]",
                "np.interp(wanted, np.concatenate([[0], upto]), np.linspace(0, 1, counts.shape[1] + 1))",
            )
        ),
        "q from the top": of_from_counts(("q * row.sum()", "(1 - q) * row.sum()")),
        "the median, whatever q is": of_from_counts(("q * row.sum()", "0.5 * row.sum()")),
        "one count wanted of every class": of_from_counts(("q * row.sum()", "q * counts.sum() / len(counts)")),
        "the cap is forgotten": of_from_counts(("caps[c])", "1.0)")),
        "the first cap for all": of_from_counts(("caps[c])", "caps[0])")),
        "an empty row gets its cap": of_from_counts(("np.full(len(counts), np.inf)", "np.array(caps, float)")),
        "an empty row is left out and later ones move": of_from_counts(
            ("    for c, row in enumerate(counts):", "    for c, row in enumerate(counts[counts.any(1)]):")
        ),
    },
    "labels": {
        "equal is not believed": of_labels(("confidence >= ", "confidence > ")),
        "compared in float64": of_labels((".astype(np.float32)", "")),
        "background: what is not believed becomes class 0": of_labels(("prediction, IGNORE)", "prediction, 0)")),
        "what is not believed becomes -1": of_labels(("prediction, IGNORE)", "prediction, -1)")),
        "the last of equal classes": of_labels(
            (
                "np.argmax(probabilities, axis=1)",
                "probabilities.shape[1] - 1 - np.argmax(probabilities[:, ::-1], axis=1)",
            )
        ),
        "another class takes its place": """
def believe(probabilities, thresholds):
    passes = probabilities >= thresholds.astype(np.float32)[:, None, None]
    labels = np.where(passes.any(1), np.where(passes, probabilities, -1).argmax(1), IGNORE)
    prediction = probabilities.argmax(1)
    with np.errstate(invalid="ignore"):
        kept = [
            np.mean(labels[prediction == c] == c) if (prediction == c).any() else np.nan
            for c in range(len(thresholds))
        ]
    return labels, np.array(kept)
""",
        "the class that exceeds its threshold most": of_labels(
            ("np.argmax(probabilities, axis=1)", "(probabilities / thresholds[:, None, None]).argmax(1)")
        ),
        "one threshold for all, the smallest": of_labels(("[prediction]", ".min()")),
        "the thresholds of present classes only": of_labels(
            (
                "    prediction, confidence",
                "    thresholds = np.r_[thresholds[np.isfinite(thresholds)], thresholds[np.isinf(thresholds)]]\n"
                "    prediction, confidence",
            )
        ),
        "the classes on the last axis": of_labels(
            ("np.argmax(probabilities, axis=1)", "np.argmax(probabilities, axis=-1)"),
            ("np.max(probabilities, axis=1)", "np.max(probabilities, axis=-1)"),
        ),
        "height and width exchanged": of_labels(("return labels, kept", "return labels.swapaxes(1, 2), kept")),
        "kept as a share of all pixels": of_labels(
            ("believed[prediction == c].mean()", "(believed & (prediction == c)).mean()")
        ),
        "kept as a share of the believed pixels": of_labels(
            ("believed[prediction == c].mean()", "(believed & (prediction == c)).sum() / max(believed.sum(), 1)")
        ),
        "kept is 0 for a class that is predicted nowhere": of_labels(
            ("np.full(len(thresholds), np.nan)", "np.zeros(len(thresholds))")
        ),
        "kept is nan where nothing is believed": of_labels(
            ("return labels, kept", "return labels, np.where(kept > 0, kept, np.nan)")
        ),
        "kept of the first image": of_labels(
            ("(prediction == c).any()", "(prediction[0] == c).any()"),
            ("believed[prediction == c].mean()", "believed[0][prediction[0] == c].mean()"),
        ),
    },
    "bias": {
        "fates by the label instead of the truth": of_judge(("mine = labels[truth == c]", "mine = truth[labels == c]")),
        "a pixel without a label is wrong": of_judge(("(mine != c) & (mine != IGNORE)", "mine != c")),
        "fates as shares of all pixels": of_judge(
            ("        known = ", "            fates[c] *= len(mine) / truth.size\n        known = ")
        ),
        "fates of the believed pixels alone": of_judge(
            ("mine = labels[truth == c]", "mine = labels[(truth == c) & (labels != IGNORE)]")
        ),
        "an absent class has fates of 0": of_judge(("np.full((classes, 3), np.nan)", "np.zeros((classes, 3))")),
        "unknown truth lowers the accuracy": of_judge(("(labels == c) & (truth != IGNORE)", "labels == c")),
        "recall instead of accuracy": of_judge(("np.mean(known == c)", "np.mean(labels[truth == c] == c)")),
        "accuracy 0 where there is no label": of_judge(("np.full(classes, np.nan)", "np.zeros(classes)")),
        "accuracy of the predictions of the true class": of_judge(
            ("known = truth[(labels == c) & (truth != IGNORE)]", "known = labels[(truth == c) & (labels != IGNORE)]")
        ),
        "unknown truth is a mistake": of_taught((" & (truth != IGNORE)", "")),
        "wrong by the true class": of_taught(
            (
                "those = (labels == c) & (truth != c) & (truth != IGNORE)",
                "those = (truth == c) & (labels != c) & (labels != IGNORE)",
            )
        ),
        "pixels without a label are mistakes": of_taught(
            ("those = (labels == c) & (truth != c) & (truth != IGNORE)", "those = (truth == c) & (labels != c)")
        ),
        "no control": of_taught((" - np.mean(control[those] == c)", "")),
        "control minus student": of_taught(
            (
                "np.mean(student[those] == c) - np.mean(control[those] == c)",
                "np.mean(control[those] == c) - np.mean(student[those] == c)",
            )
        ),
        "any mistake is a repetition": of_taught(
            ("np.mean(student[those] == c)", "np.mean(student[those] != truth[those])"),
            ("np.mean(control[those] == c)", "np.mean(control[those] != truth[those])"),
        ),
        "only what the student repeats and the control does not": of_taught(
            (
                "np.mean(student[those] == c) - np.mean(control[those] == c)",
                "np.mean((student[those] == c) & (control[those] != c))",
            )
        ),
        "over all believed pixels, right ones too": of_taught(
            ("            excess[c]", "            those = (labels == c) & (truth != IGNORE)\n            excess[c]")
        ),
        "a count instead of a share": of_taught(
            (
                "np.mean(student[those] == c) - np.mean(control[those] == c)",
                "np.sum(student[those] == c) - np.sum(control[those] == c)",
            )
        ),
        "excess 0 where nothing is wrong": of_taught(("np.full(classes, np.nan)", "np.zeros(classes)")),
    },
}
