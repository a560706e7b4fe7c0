"""Wrong answers to assignment 05, by exercise: what is wrong, and the cell that a student would hand in."""

RIGHT_BIAS = """
def bias(labels, prior):
    counts = np.array([(labels == c).sum() for c in range(len(prior))])
    return terms_of(counts, prior)


def terms_of(counts, prior):
    if counts.sum() == 0:
        return np.full(len(prior), np.nan)
    p, q = prior / prior.sum() + 1e-6, counts / counts.sum() + 1e-6
    p, q = p / p.sum(), q / q.sum()
    return p * np.log(p / q)
"""
RIGHT_PLAN = """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * k / max(1, rounds - 1)
        table[k, 0] = ratio
        if seen.sum():
            chosen = np.minimum(ratio * prior / prior.sum() * seen.sum(), seen)
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
"""

MUTANTS = {
    "quotas": {
        "no carry-over: DARS as it is": """
def quotas(prior, ratio, predicted):
    wanted = ratio * prior / prior.sum() * predicted.sum()
    given = np.minimum(wanted, predicted)
    return given, wanted.sum() - given.sum()
""",
        "carried over once": """
def quotas(prior, ratio, predicted):
    wanted = ratio * prior / prior.sum() * predicted.sum()
    given = np.minimum(wanted, predicted)
    waiting = (prior > 0) & (given < predicted)
    if waiting.any():
        weights = np.where(waiting, prior, 0)
        given = np.minimum(given + (wanted.sum() - given.sum()) * weights / weights.sum(), predicted)
    return given, wanted.sum() - given.sum()
""",
        "no stop at what is predicted": """
def quotas(prior, ratio, predicted):
    return ratio * prior / prior.sum() * predicted.sum(), 0.0
""",
        "the rest in equal parts": """
def quotas(prior, ratio, predicted):
    prior, predicted = np.asarray(prior, float), np.asarray(predicted, float)
    given, left = np.zeros(len(prior)), ratio * predicted.sum()
    for _ in range(len(prior)):
        waiting = (prior > 0) & (given < predicted)
        if not waiting.any():
            break
        weights = waiting if given.any() else prior
        after = np.minimum(given + left * weights / weights.sum(), predicted)
        given, left = after, left - (after - given).sum()
    return given, left
""",
        "the rest by what is predicted": """
def quotas(prior, ratio, predicted):
    prior, predicted = np.asarray(prior, float), np.asarray(predicted, float)
    given, left = np.zeros(len(prior)), ratio * predicted.sum()
    for _ in range(len(prior)):
        waiting = (prior > 0) & (given < predicted)
        if not waiting.any():
            break
        weights = np.where(waiting, predicted if given.any() else prior, 0)
        after = np.minimum(given + left * weights / weights.sum(), predicted)
        given, left = after, left - (after - given).sum()
    return given, left
""",
        "the rest by the room that is left": """
def quotas(prior, ratio, predicted):
    prior, predicted = np.asarray(prior, float), np.asarray(predicted, float)
    given, left = np.zeros(len(prior)), ratio * predicted.sum()
    for _ in range(len(prior)):
        waiting = (prior > 0) & (given < predicted)
        if not waiting.any():
            break
        weights = predicted - given if given.any() else prior
        after = np.minimum(given + left * weights / weights.sum(), predicted)
        given, left = after, left - (after - given).sum()
    return given, left
""",
        "shares of the predictions: CBST": """
def quotas(prior, ratio, predicted):
    return ratio * predicted, 0.0
""",
        "priors of all classes, also of full ones": """
def quotas(prior, ratio, predicted):
    prior, predicted = np.asarray(prior, float), np.asarray(predicted, float)
    given, left = np.zeros(len(prior)), ratio * predicted.sum()
    for _ in range(len(prior)):
        waiting = (prior > 0) & (given < predicted)
        if not waiting.any():
            break
        weights = np.where(waiting, prior, 0)
        after = np.minimum(given + left * weights / prior.sum(), predicted)
        given, left = after, left - (after - given).sum()
    return given, left
""",
        "a class with the prior 0 takes the rest": """
def quotas(prior, ratio, predicted):
    prior, predicted = np.asarray(prior, float), np.asarray(predicted, float)
    given, left = np.zeros(len(prior)), ratio * predicted.sum()
    for _ in range(len(prior)):
        waiting = (prior > 0) & (given < predicted)
        if not waiting.any():
            break
        weights = np.where(waiting, prior, 0)
        after = np.minimum(given + left * weights / weights.sum(), predicted)
        given, left = after, left - (after - given).sum()
    more = np.minimum(left, predicted - given) * (prior == 0)
    return given + more, left - more.sum()
""",
        "the priors are taken as normalised": """
def quotas(prior, ratio, predicted):
    prior, predicted = np.asarray(prior, float), np.asarray(predicted, float)
    given, left = np.zeros(len(prior)), ratio * predicted.sum()
    for _ in range(len(prior)):
        waiting = (prior > 0) & (given < predicted)
        if not waiting.any():
            break
        weights = np.where(waiting, prior, 0)
        after = np.minimum(given + left * weights / (weights.sum() if given.any() else 1), predicted)
        given, left = after, left - (after - given).sum()
    return given, left
""",
        "whole numbers only": """
def quotas(prior, ratio, predicted):
    prior, predicted = np.asarray(prior, float), np.asarray(predicted, float)
    given, left = np.zeros(len(prior)), ratio * predicted.sum()
    for _ in range(len(prior)):
        waiting = (prior > 0) & (given < predicted)
        if not waiting.any():
            break
        weights = np.where(waiting, prior, 0)
        after = np.minimum(given + left * weights / weights.sum(), predicted)
        given, left = after, left - (after - given).sum()
    return np.floor(given), left
""",
        "what is left is forgotten": """
def quotas(prior, ratio, predicted):
    prior, predicted = np.asarray(prior, float), np.asarray(predicted, float)
    given, left = np.zeros(len(prior)), ratio * predicted.sum()
    for _ in range(len(prior)):
        waiting = (prior > 0) & (given < predicted)
        if not waiting.any():
            break
        weights = np.where(waiting, prior, 0)
        after = np.minimum(given + left * weights / weights.sum(), predicted)
        given, left = after, left - (after - given).sum()
    return given, 0.0
""",
        "nan without pixels": """
def quotas(prior, ratio, predicted):
    prior, predicted = np.asarray(prior, float), np.asarray(predicted, float)
    with np.errstate(invalid='ignore'):
        share = predicted / predicted.sum()
    given, left = np.zeros(len(prior)), ratio * predicted.sum()
    for _ in range(len(prior)):
        waiting = (prior > 0) & (given < predicted)
        if not waiting.any():
            break
        weights = np.where(waiting, prior, 0)
        after = np.minimum(given + left * weights / weights.sum(), predicted)
        given, left = after, left - (after - given).sum()
    return given + 0 * share, left
""",
    },
    "ties": {
        "a threshold per image, averaged": """
def align(images, wanted):
    parts = [align_one(confidence, prediction, wanted / len(images)) for confidence, prediction in images]
    if not parts:
        return np.full(len(wanted), np.inf), np.zeros(len(wanted)), np.zeros(len(wanted))
    t, s, u = (np.mean(part, 0) for part in zip(*parts))
    return t, s, u


def align_one(confidence, prediction, wanted):
    t, s, u = np.full(len(wanted), np.inf), np.zeros(len(wanted)), np.zeros(len(wanted))
    for c, n in enumerate(wanted):
        mine = np.sort(confidence[prediction == c])[::-1]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c], u[c] = min(1, n / reached), min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "shifted by one": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine) - 1)]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "sorted upwards": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c]), wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "an absent class has the threshold 0": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.zeros(classes), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "an absent class moves the later ones": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c, name in enumerate(np.unique(best)):
        mine, n = np.sort(sure[best == name])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "a short class gives nothing": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if n > 1e-6 and len(mine) >= n:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "rounded down": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(max(1, int(n)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "no allowance for floats": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "a share above 1": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = n / reached
            u[c] = (n - above) / (reached - above)
    return t, s, u
""",
        "divided by all that is predicted": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / len(mine))
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "only pixels above the threshold have reached it": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / max(above, 1))
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "the ties' share of the whole quota": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, n / (reached - above))
    return t, s, u
""",
        "the ignored share": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = 1 - min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "the quota rounded in the shares": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            n = np.ceil(n - 1e-6)
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "sorted over all classes": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure)[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "a class without pixels has the share 1": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.where(wanted > 0, 1.0, 0.0), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, above = np.sum(mine >= t[c]), np.sum(mine > t[c])
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - above) / (reached - above))
    return t, s, u
""",
        "ties that are only near": """
def align(images, wanted):
    classes = len(wanted)
    t, s, u = np.full(classes, np.inf), np.zeros(classes), np.zeros(classes)
    sure = np.concatenate([confidence.ravel() for confidence, _ in images] + [np.zeros(0)])
    best = np.concatenate([prediction.ravel() for _, prediction in images] + [np.zeros(0)])
    for c in range(classes):
        mine, n = np.sort(sure[best == c])[::-1], wanted[c]
        if len(mine) and n > 1e-6:
            t[c] = mine[min(int(np.ceil(n - 1e-6)), len(mine)) - 1]
            reached, ties = np.sum(mine >= t[c]), np.sum(np.isclose(mine, t[c]))
            s[c] = min(1, n / reached)
            u[c] = min(1, (n - (reached - ties)) / ties)
    return t, s, u
""",
    },
    "lots": {
        "each pixel by its own lot": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        labels[(prediction == c) & (confidence >= t[c]) & (lots < s[c])] = c
    return labels
""",
        "the surest are kept": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = int(s[c] * reached.sum() + 0.5)
        order = np.argsort(np.where(reached, -confidence, np.inf).ravel(), kind="stable")
        labels.ravel()[order[:kept]] = c
    return labels
""",
        "the first ones are kept": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = int(s[c] * reached.sum() + 0.5)
        order = np.argsort(np.where(reached, 0, np.inf).ravel(), kind="stable")
        labels.ravel()[order[:kept]] = c
    return labels
""",
        "the largest lots are kept": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = int(s[c] * reached.sum() + 0.5)
        order = np.argsort(np.where(reached, -lots, np.inf).ravel(), kind="stable")
        labels.ravel()[order[:kept]] = c
    return labels
""",
        "each image draws for itself": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for b in range(len(prediction)):
        for c in range(len(t)):
            reached = (prediction[b] == c) & (confidence[b] >= t[c])
            order = np.argsort(np.where(reached, lots[b], np.inf).ravel(), kind="stable")
            labels[b].ravel()[order[: int(s[c] * reached.sum() + 0.5)]] = c
    return labels
""",
        "above the threshold only": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence > t[c])
        kept = int(s[c] * reached.sum() + 0.5)
        order = np.argsort(np.where(reached, lots, np.inf).ravel(), kind="stable")
        labels.ravel()[order[:kept]] = c
    return labels
""",
        "the share that is ignored": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = int((1 - s[c]) * reached.sum() + 0.5)
        order = np.argsort(np.where(reached, lots, np.inf).ravel(), kind="stable")
        labels.ravel()[order[:kept]] = c
    return labels
""",
        "rounded to even": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = round(s[c] * int(reached.sum()))
        order = np.argsort(np.where(reached, lots, np.inf).ravel(), kind="stable")
        labels.ravel()[order[:kept]] = c
    return labels
""",
        "rounded down": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = int(s[c] * reached.sum())
        order = np.argsort(np.where(reached, lots, np.inf).ravel(), kind="stable")
        labels.ravel()[order[:kept]] = c
    return labels
""",
        "all equal lots are kept": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = int(s[c] * reached.sum() + 0.5)
        if kept:
            labels[reached & (lots <= np.sort(lots[reached])[kept - 1])] = c
    return labels
""",
        "a share of all that is predicted": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = int(s[c] * (prediction == c).sum() + 0.5)
        order = np.argsort(np.where(reached, lots, np.inf).ravel(), kind="stable")
        labels.ravel()[order[: min(kept, reached.sum())]] = c
    return labels
""",
        "only the ties draw": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = int(s[c] * reached.sum() + 0.5)
        order = np.argsort(np.where(reached, np.where(confidence > t[c], -1, lots), np.inf).ravel(), kind="stable")
        labels.ravel()[order[:kept]] = c
    return labels
""",
        "lots in the order of the pixels that draw": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = int(s[c] * reached.sum() + 0.5)
        mine = np.full(prediction.shape, np.inf)
        mine[reached] = lots.ravel()[: reached.sum()]
        order = np.argsort(mine.ravel(), kind="stable")
        labels.ravel()[order[:kept]] = c
    return labels
""",
        "equal lots by column": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        reached = (prediction == c) & (confidence >= t[c])
        kept = int(s[c] * reached.sum() + 0.5)
        order = np.argsort(np.where(reached, lots, np.inf).transpose(0, 2, 1).ravel(), kind="stable")
        part = np.zeros(labels.size, bool)
        part[order[:kept]] = True
        b, h, w = labels.shape
        labels[part.reshape(b, w, h).transpose(0, 2, 1)] = c
    return labels
""",
        "a sort that is not stable": """
def draw(confidence, prediction, t, s, lots):
    labels = np.full(prediction.shape, IGNORE)
    for c in range(len(t)):
        places = np.flatnonzero((prediction == c) & (confidence >= t[c]))
        order = np.argsort(lots.ravel()[places])
        labels.ravel()[places[order[: int(s[c] * len(places) + 0.5)]]] = c
    return labels
""",
    },
    "rounds": {
        "the KL backwards": """
def bias(labels, prior):
    counts = np.array([(labels == c).sum() for c in range(len(prior))])
    return terms_of(counts, prior)


def terms_of(counts, prior):
    if counts.sum() == 0:
        return np.full(len(prior), np.nan)
    p, q = prior / prior.sum() + 1e-6, counts / counts.sum() + 1e-6
    p, q = p / p.sum(), q / q.sum()
    return q * np.log(q / p)
"""
        + RIGHT_PLAN,
        "no smoothing": """
def bias(labels, prior):
    counts = np.array([(labels == c).sum() for c in range(len(prior))])
    return terms_of(counts, prior)


def terms_of(counts, prior):
    with np.errstate(all="ignore"):
        p, q = prior / prior.sum(), counts / counts.sum()
        return p * np.log(p / q)
"""
        + RIGHT_PLAN,
        "too little smoothing": """
def bias(labels, prior):
    counts = np.array([(labels == c).sum() for c in range(len(prior))])
    return terms_of(counts, prior)


def terms_of(counts, prior):
    if counts.sum() == 0:
        return np.full(len(prior), np.nan)
    p, q = prior / prior.sum() + 1e-8, counts / counts.sum() + 1e-8
    p, q = p / p.sum(), q / q.sum()
    return p * np.log(p / q)
"""
        + RIGHT_PLAN,
        "the base 2": """
def bias(labels, prior):
    counts = np.array([(labels == c).sum() for c in range(len(prior))])
    return terms_of(counts, prior)


def terms_of(counts, prior):
    if counts.sum() == 0:
        return np.full(len(prior), np.nan)
    p, q = prior / prior.sum() + 1e-6, counts / counts.sum() + 1e-6
    p, q = p / p.sum(), q / q.sum()
    return p * np.log2(p / q)
"""
        + RIGHT_PLAN,
        "shares of all pixels": """
def bias(labels, prior):
    counts = np.array([(labels == c).sum() for c in range(len(prior))])
    if counts.sum() == 0:
        return np.full(len(prior), np.nan)
    p, q = prior / prior.sum() + 1e-6, counts / labels.size + 1e-6
    return p * np.log(p / q)


def terms_of(counts, prior):
    if counts.sum() == 0:
        return np.full(len(prior), np.nan)
    p, q = prior / prior.sum() + 1e-6, counts / counts.sum() + 1e-6
    p, q = p / p.sum(), q / q.sum()
    return p * np.log(p / q)
"""
        + RIGHT_PLAN,
        "the sum, not the terms": """
def bias(labels, prior):
    counts = np.array([(labels == c).sum() for c in range(len(prior))])
    return terms_of(counts, prior).sum()


def terms_of(counts, prior):
    if counts.sum() == 0:
        return np.full(len(prior), np.nan)
    p, q = prior / prior.sum() + 1e-6, counts / counts.sum() + 1e-6
    p, q = p / p.sum(), q / q.sum()
    return p * np.log(p / q)
"""
        + RIGHT_PLAN,
        "distances without a sign": """
def bias(labels, prior):
    counts = np.array([(labels == c).sum() for c in range(len(prior))])
    return terms_of(counts, prior)


def terms_of(counts, prior):
    if counts.sum() == 0:
        return np.full(len(prior), np.nan)
    p, q = prior / prior.sum() + 1e-6, counts / counts.sum() + 1e-6
    p, q = p / p.sum(), q / q.sum()
    return abs(p * np.log(p / q))
"""
        + RIGHT_PLAN,
        "0 without labels": """
def bias(labels, prior):
    counts = np.array([(labels == c).sum() for c in range(len(prior))])
    return terms_of(counts, prior)


def terms_of(counts, prior):
    if counts.sum() == 0:
        return np.zeros(len(prior))
    p, q = prior / prior.sum() + 1e-6, counts / counts.sum() + 1e-6
    p, q = p / p.sum(), q / q.sum()
    return p * np.log(p / q)
"""
        + RIGHT_PLAN,
        "IGNORE counted as class 0": """
def bias(labels, prior):
    counts = np.bincount(np.where(labels == 255, 0, labels).ravel(), minlength=len(prior))
    return terms_of(counts, prior)


def terms_of(counts, prior):
    if counts.sum() == 0:
        return np.full(len(prior), np.nan)
    p, q = prior / prior.sum() + 1e-6, counts / counts.sum() + 1e-6
    p, q = p / p.sum(), q / q.sum()
    return p * np.log(p / q)
"""
        + RIGHT_PLAN,
        "the last ratio is never reached": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * k / rounds
        table[k, 0] = ratio
        if seen.sum():
            chosen = np.minimum(ratio * prior / prior.sum() * seen.sum(), seen)
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
""",
        "the first round is grown already": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * (k + 1) / rounds
        table[k, 0] = ratio
        if seen.sum():
            chosen = np.minimum(ratio * prior / prior.sum() * seen.sum(), seen)
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
""",
        "one round divides by 0": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * k / (rounds - 1)
        table[k, 0] = ratio
        if seen.sum():
            chosen = np.minimum(ratio * prior / prior.sum() * seen.sum(), seen)
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
""",
        "a ratio that grows by factors": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first * (last / first) ** (k / max(1, rounds - 1)) if first else last * (k > 0)
        table[k, 0] = ratio
        if seen.sum():
            chosen = np.minimum(ratio * prior / prior.sum() * seen.sum(), seen)
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
""",
        "quotas that nobody can fill count": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * k / max(1, rounds - 1)
        table[k, 0] = ratio
        if seen.sum():
            chosen = ratio * prior / prior.sum() * seen.sum()
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
""",
        "a share of each predicted class": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * k / max(1, rounds - 1)
        table[k, 0] = ratio
        if seen.sum():
            chosen = ratio * seen
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
""",
        "the ratio is not applied": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * k / max(1, rounds - 1)
        table[k, 0] = ratio
        if seen.sum():
            chosen = np.minimum(prior / prior.sum() * seen.sum(), seen)
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
""",
        "the ratio for the coverage": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * k / max(1, rounds - 1)
        table[k, 0] = ratio
        if seen.sum():
            chosen = np.minimum(ratio * prior / prior.sum() * seen.sum(), seen)
            table[k, 1:] = ratio, terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
""",
        "pixels of all rounds": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * k / max(1, rounds - 1)
        table[k, 0] = ratio
        if seen.sum():
            chosen = np.minimum(ratio * prior / prior.sum() * predicted.sum() / rounds, seen)
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
""",
        "before and after swapped": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * k / max(1, rounds - 1)
        table[k, 0] = ratio
        if seen.sum():
            chosen = np.minimum(ratio * prior / prior.sum() * seen.sum(), seen)
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(chosen, prior).sum(), terms_of(seen, prior).sum()
    return table
""",
        "with carry-over": RIGHT_BIAS
        + """
def plan(prior, predicted, first, last):
    rounds = len(predicted)
    table = np.full((rounds, 4), np.nan)
    for k, seen in enumerate(predicted):
        ratio = first + (last - first) * k / max(1, rounds - 1)
        table[k, 0] = ratio
        if seen.sum():
            chosen = np.minimum(ratio * prior / prior.sum() * seen.sum(), seen)
            if chosen.sum():
                chosen = np.minimum(chosen * ratio * seen.sum() / chosen.sum(), seen)
            table[k, 1:] = chosen.sum() / seen.sum(), terms_of(seen, prior).sum(), terms_of(chosen, prior).sum()
    return table
""",
    },
}
