"""Wrong answers to assignment 06, by exercise: what is wrong, and the cell that a student would hand in."""


def changed(cell: str, old: str, new: str) -> str:
    """The cell with one place of it changed."""
    assert cell.count(old) == 1, f"{old!r} is there {cell.count(old)} times"
    return cell.replace(old, new)


PARTITION = """
def uncertainty(probabilities, padding):
    logs = np.log(np.where(probabilities > 0, probabilities, 1))
    entropy = -(probabilities * logs).sum(1) / np.log(probabilities.shape[1])
    return np.where(padding, np.nan, entropy)


def split(history, k, alpha0, t, steps):
    alpha = alpha0 / 2 * (1 + np.cos(np.pi * t / steps))
    values = np.concatenate([batch.ravel() for batch in history[-k:]])
    values = values[~np.isnan(values)]
    gamma = np.quantile(values, 1 - alpha) if len(values) else 0.0
    kept = history[-1] < gamma
    pixels = np.sum(~np.isnan(history[-1]))
    return gamma, kept, pixels / kept.sum() if kept.any() else 0.0
"""

NEGATIVES = """
def negatives(probabilities, labels, labelled, unreliable, low, high):
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rank = np.argsort(order, axis=1)
    plane = np.arange(probabilities.shape[1]) == labels[:, None]
    hard = (labelled & (labels != IGNORE))[:, None] & ~plane & (rank < low)
    easy = (~labelled & unreliable)[:, None] & (low <= rank) & (rank < high)
    return hard | easy
"""

BANK = """
def push(memory, written, keys, mask):
    memory, written = memory.copy(), written.copy()
    length = memory.shape[1]
    for c in range(len(written)):
        for key in keys[mask[:, c]]:
            memory[c, written[c] % length] = key
            written[c] += 1
    return memory, written


def by_age(memory, written):
    length = memory.shape[1]
    queues = []
    for queue, n in zip(memory, written):
        queues.append(queue[:n] if n <= length else np.roll(queue, -(n % length), axis=0))
    return queues
"""

CONTRAST = """
def contrast(anchors, banks, tau):
    def unit(x):
        return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)

    total = 0.0
    for z, bank in zip(anchors, banks):
        if len(z) == 0 or len(bank) == 0:
            continue
        positive = z.mean(0)
        same = unit(z) @ unit(positive) / tau
        other = unit(z) @ unit(bank).T / tau
        both = np.concatenate((same[:, None], other), axis=1)
        top = both.max(1)
        total += (np.log(np.exp(both - top[:, None]).sum(1)) + top - same).mean()
    return total / len(anchors)
"""

MUTANTS = {
    "partition": {
        "0 log 0 is nan": changed(
            PARTITION, "np.log(np.where(probabilities > 0, probabilities, 1))", "np.log(probabilities)"
        ),
        "a large number against log 0": changed(
            PARTITION, "np.log(np.where(probabilities > 0, probabilities, 1))", "np.log(probabilities + 1e-3)"
        ),
        "not divided by log C": changed(PARTITION, " / np.log(probabilities.shape[1])", ""),
        "divided by C": changed(PARTITION, "np.log(probabilities.shape[1])", "probabilities.shape[1]"),
        "divided by the log of the height": changed(
            PARTITION, "np.log(probabilities.shape[1])", "np.log(probabilities.shape[2])"
        ),
        "summed over the rows": changed(PARTITION, ".sum(1) /", ".sum(2) /"),
        "1 - confidence": changed(
            PARTITION, "-(probabilities * logs).sum(1) / np.log(probabilities.shape[1])", "1 - probabilities.max(1)"
        ),
        "padding is sure": changed(PARTITION, "np.where(padding, np.nan, entropy)", "np.where(padding, 0, entropy)"),
        "padding is true where a pixel is": changed(
            PARTITION, "np.where(padding, np.nan, entropy)", "np.where(padding, entropy, np.nan)"
        ),
        "padding counts as 0 in the quantile": changed(PARTITION, "values[~np.isnan(values)]", "np.nan_to_num(values)"),
        "padding makes the quantile nan": changed(PARTITION, "values[~np.isnan(values)]", "values"),
        "a linear schedule": changed(
            PARTITION, "alpha0 / 2 * (1 + np.cos(np.pi * t / steps))", "alpha0 * (1 - t / steps)"
        ),
        "a quarter of a wave": changed(
            PARTITION, "alpha0 / 2 * (1 + np.cos(np.pi * t / steps))", "alpha0 * np.cos(np.pi / 2 * t / steps)"
        ),
        "a constant share": changed(PARTITION, "alpha0 / 2 * (1 + np.cos(np.pi * t / steps))", "alpha0"),
        "half of alpha0 at the start": changed(PARTITION, "alpha0 / 2 * (1 +", "alpha0 / 4 * (1 +"),
        "the last batch alone": changed(PARTITION, "history[-k:]", "history[-1:]"),
        "all batches": changed(PARTITION, "history[-k:]", "history"),
        "the first k batches": changed(PARTITION, "history[-k:]", "history[:k]"),
        "the last batch is not in the window": changed(PARTITION, "history[-k:]", "(history[-k - 1 : -1] or history)"),
        "the mean of a quantile for each batch": changed(
            PARTITION,
            "np.quantile(values, 1 - alpha)",
            "np.nanmean([np.nanquantile(batch, 1 - alpha) for batch in history[-k:] if np.isfinite(batch).any()])",
        ),
        "the quantile at alpha": changed(PARTITION, "np.quantile(values, 1 - alpha)", "np.quantile(values, alpha)"),
        "no interpolation": changed(
            PARTITION, "np.quantile(values, 1 - alpha)", "np.sort(values)[int((1 - alpha) * (len(values) - 1))]"
        ),
        "equal is kept": changed(PARTITION, "history[-1] < gamma", "history[-1] <= gamma"),
        "the uncertain ones are kept": changed(PARTITION, "history[-1] < gamma", "history[-1] > gamma"),
        "padding is kept": changed(PARTITION, "history[-1] < gamma", "~(history[-1] >= gamma)"),
        "the weight counts padding": changed(PARTITION, "np.sum(~np.isnan(history[-1]))", "history[-1].size"),
        "the weight counts the window": changed(PARTITION, "np.sum(~np.isnan(history[-1]))", "len(values)"),
        "the weight upside down": changed(PARTITION, "pixels / kept.sum()", "kept.sum() / pixels"),
        "nothing kept makes the weight infinite": changed(PARTITION, " if kept.any() else 0.0", ""),
        "no value at all makes gamma nan": changed(PARTITION, "if len(values) else 0.0", "if len(values) else np.nan"),
    },
    "negatives": {
        "both masks times the class's own plane (released code)": changed(
            NEGATIVES, "hard | easy", "(hard | easy) & plane"
        ),
        "labelled mask times the class's own plane": changed(NEGATIVES, "hard | easy", "(hard & plane) | easy"),
        "unlabelled mask times the class's own plane": changed(NEGATIVES, "hard | easy", "hard | (easy & plane)"),
        "the order instead of the ranks": changed(NEGATIVES, "np.argsort(order, axis=1)", "order"),
        "the least probable class has rank 0": changed(
            NEGATIVES, "np.argsort(-probabilities", "np.argsort(probabilities"
        ),
        "ties the other way round": changed(
            NEGATIVES,
            'np.argsort(-probabilities, axis=1, kind="stable")',
            'np.argsort(probabilities, axis=1, kind="stable")[:, ::-1]',
        ),
        "all equal classes have one rank": changed(
            NEGATIVES, "np.argsort(order, axis=1)", "(probabilities[:, None, :] > probabilities[:, :, None]).sum(2)"
        ),
        "ranks over the pixels": changed(NEGATIVES, "np.argsort(order, axis=1)", "np.argsort(order, axis=0)"),
        "ranks from 1": changed(NEGATIVES, "np.argsort(order, axis=1)", "np.argsort(order, axis=1) + 1"),
        "unknown labels are negatives": changed(NEGATIVES, "labelled & (labels != IGNORE)", "labelled"),
        "unknown labels count as unlabelled": changed(
            NEGATIVES, "~labelled & unreliable", "(~labelled | (labels == IGNORE)) & unreliable"
        ),
        "only 255 means unlabelled": changed(
            changed(NEGATIVES, "~labelled & unreliable", "(labels == IGNORE) & unreliable"),
            "labelled & (labels != IGNORE)",
            "labels != IGNORE",
        ),
        "its own class is a negative, too": changed(NEGATIVES, " & ~plane", ""),
        "its own class has no rank": changed(
            NEGATIVES, "(rank < low)", "(rank - (rank > (rank * plane).sum(1)[:, None]) * plane.any(1)[:, None] < low)"
        ),
        "an old guess is left out": changed(NEGATIVES, "hard | easy", "(hard | easy) & ~plane"),
        "labelled pixels only where unreliable": changed(
            NEGATIVES, "(labelled & (labels", "(unreliable & labelled & (labels"
        ),
        "reliable pixels, too": changed(NEGATIVES, "~labelled & unreliable", "~labelled"),
        "only reliable pixels": changed(NEGATIVES, "~labelled & unreliable", "~labelled & ~unreliable"),
        "rank low is likely": changed(
            changed(NEGATIVES, "(rank < low)", "(rank <= low)"), "(low <= rank)", "(low < rank)"
        ),
        "rank high is inside": changed(NEGATIVES, "(rank < high)", "(rank <= high)"),
        "high is forgotten": changed(NEGATIVES, " & (rank < high)", ""),
        "low is forgotten for unlabelled pixels": changed(NEGATIVES, " & (low <= rank)", ""),
        "unlikely for labelled, likely for unlabelled": changed(
            changed(NEGATIVES, "(rank < low)", "(rank >= low)"), "(low <= rank) & (rank < high)", "(rank < low)"
        ),
        "classes in rows": changed(NEGATIVES, "return hard | easy", "return (hard | easy).T"),
    },
    "bank": {
        "an absent class moves the banks (released code)": changed(
            changed(
                BANK,
                "    for c in range(len(written)):\n        for key in keys[mask[:, c]]:",
                "    for c, column in enumerate(np.flatnonzero(mask.any(0))):\n"
                "        for key in keys[mask[:, column]]:",
            ),
            "memory.copy(), written.copy()",
            "memory.copy(), np.array(written)",
        ),
        "every key into every queue": changed(BANK, "keys[mask[:, c]]", "keys"),
        "a key into its first queue only": changed(BANK, "keys[mask[:, c]]", "keys[mask[:, c] & ~mask[:, :c].any(1)]"),
        "the newest row first": changed(BANK, "keys[mask[:, c]]", "keys[mask[:, c]][::-1]"),
        "each push starts at place 0": changed(
            BANK,
            "        for key in keys[mask[:, c]]:\n            memory[c, written[c] % length] = key",
            "        for n, key in enumerate(keys[mask[:, c]]):\n            memory[c, n % length] = key",
        ),
        "written stops at the length": changed(
            BANK, "            written[c] += 1", "            written[c] = min(written[c] + 1, length)"
        ),
        "written starts again": changed(
            BANK, "            written[c] += 1", "            written[c] = (written[c] + 1) % length"
        ),
        "a full queue takes no more": changed(
            BANK,
            "            memory[c, written[c] % length] = key",
            "            if written[c] < length:\n                memory[c, written[c]] = key",
        ),
        "of a large push the first L keys": changed(BANK, "keys[mask[:, c]]", "keys[mask[:, c]][:length]"),
        "of a large push the last L keys, at the wrong places": changed(
            BANK, "keys[mask[:, c]]", "keys[mask[:, c]][-length:]"
        ),
        "one count for all classes": changed(
            BANK,
            "            written[c] += 1\n    return memory, written",
            "            written[c] += 1\n    return memory, np.full_like(written, written.max())",
        ),
        "shifted instead of a ring": changed(
            BANK,
            "            memory[c, written[c] % length] = key",
            "            memory[c] = np.concatenate((memory[c, 1:], key[None]))",
        ),
        "a key that is in no queue is an error": changed(
            BANK, "    length = memory.shape[1]\n    for c", "    length = memory.shape[1]\n    keys[0]\n    for c"
        ),
        "places in order, not ages": changed(BANK, "np.roll(queue, -(n % length), axis=0)", "queue"),
        "rolled the other way": changed(
            BANK, "np.roll(queue, -(n % length), axis=0)", "np.roll(queue, n % length, axis=0)"
        ),
        "rolled in both axes": changed(BANK, "np.roll(queue, -(n % length), axis=0)", "np.roll(queue, -(n % length))"),
        "the newest first": changed(BANK, "    return queues", "    return [queue[::-1] for queue in queues]"),
        "unwritten places, too": changed(BANK, "queue[:n] if n <= length else np", "np"),
        "absent classes are left out": changed(
            BANK, "    return queues", "    return [queue for queue in queues if len(queue)]"
        ),
        "a key of zeros is no key": changed(
            BANK, "    return queues", "    return [queue[queue.any(1)] for queue in queues]"
        ),
    },
    "contrast": {
        "an absent class moves the banks (released code)": changed(
            CONTRAST, "zip(anchors, banks)", "zip([z for z in anchors if len(z)], banks)"
        ),
        "an absent class moves the anchors": changed(
            CONTRAST, "zip(anchors, banks)", "zip(anchors, [bank for bank in banks if len(bank)])"
        ),
        "absent on either side, paired by place": changed(
            CONTRAST,
            "zip(anchors, banks)",
            "zip([z for z in anchors if len(z)], [bank for bank in banks if len(bank)])",
        ),
        "divided by the classes present": changed(
            CONTRAST,
            "total / len(anchors)",
            "total / max(1, sum(len(z) > 0 and len(b) > 0 for z, b in zip(anchors, banks)))",
        ),
        "not divided by C": changed(CONTRAST, "total / len(anchors)", "total"),
        "no anchors give nan": changed(CONTRAST, "len(z) == 0 or len(bank) == 0", "len(bank) == 0"),
        "the sum over the anchors": changed(CONTRAST, "+ top - same).mean()", "+ top - same).sum()"),
        "every anchor weighs the same": changed(
            changed(CONTRAST, "+ top - same).mean()", "+ top - same).sum()"),
            "total / len(anchors)",
            "total / max(1, sum(map(len, anchors)))",
        ),
        "the mean over the negatives": changed(
            CONTRAST,
            "np.exp(both - top[:, None]).sum(1)",
            "(np.exp(same - top) + np.exp(other - top[:, None]).mean(1))",
        ),
        "the positive is not in the denominator": changed(
            CONTRAST, "np.concatenate((same[:, None], other), axis=1)", "other"
        ),
        "products instead of cosines": changed(
            CONTRAST, "return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)", "return x"
        ),
        "columns divided by their lengths": changed(
            CONTRAST, "np.linalg.norm(x, axis=-1, keepdims=True)", "np.linalg.norm(x, axis=0, keepdims=True)"
        ),
        "a vector of length 0 gives nan": changed(
            CONTRAST,
            "np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)",
            "np.linalg.norm(x, axis=-1, keepdims=True)",
        ),
        "the mean of unit vectors": changed(CONTRAST, "z.mean(0)", "unit(z).mean(0)"),
        "each anchor is its own positive": changed(CONTRAST, "unit(z) @ unit(positive)", "(unit(z) * unit(z)).sum(1)"),
        "the first anchor is the positive": changed(CONTRAST, "z.mean(0)", "z[0]"),
        "the mean of all classes' anchors": changed(CONTRAST, "z.mean(0)", "np.concatenate(anchors).mean(0)"),
        "multiplied by tau": CONTRAST.replace("/ tau", "* tau"),
        "tau is always 0.5": CONTRAST.replace("/ tau", "/ 0.5"),
        "the positive without tau": changed(CONTRAST, "unit(positive) / tau", "unit(positive)"),
        "exponentials overflow": changed(
            CONTRAST,
            "np.log(np.exp(both - top[:, None]).sum(1)) + top - same",
            "-np.log(np.exp(same) / np.exp(both).sum(1))",
        ),
        "the logarithm of a share that is 0": changed(
            CONTRAST,
            "np.log(np.exp(both - top[:, None]).sum(1)) + top - same",
            "-np.log(np.exp(same - top) / np.exp(both - top[:, None]).sum(1))",
        ),
        "shares cut off at 1e-12": changed(
            CONTRAST,
            "np.log(np.exp(both - top[:, None]).sum(1)) + top - same",
            "-np.log(np.exp(same - top) / np.exp(both - top[:, None]).sum(1) + 1e-12)",
        ),
        "the sign": changed(CONTRAST, "total / len(anchors)", "-total / len(anchors)"),
    },
}
