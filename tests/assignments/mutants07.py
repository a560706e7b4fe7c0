"""Wrong answers to assignment 07, by exercise: what is wrong, and the cell that a student would hand in."""

_LOSS = """
def loss_and_gradient(weights, features, labels):
    valid = labels != IGNORE
    x, y = features[valid], labels[valid].astype(int)
    if not len(y):
        return 0.0, np.zeros_like(weights)
    z = x @ weights.T
    z = z - z.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    rows = np.arange(len(y))
    d = np.exp(log_p)
    d[rows, y] -= 1
    return -log_p[rows, y].mean(), d.T @ x / len(y)

"""
_FEEDBACKS = """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    g = loss_and_gradient(weights, unknown, pseudo)[1]
    old, before = loss_and_gradient(weights, known, labels)
    new, after = loss_and_gradient(weights - eta * g, known, labels)
    return eta * (before * g).sum(), old - new, eta * (after * g).sum()
"""

MUTANTS = {
    "feedbacks": {
        "new minus old": _LOSS
        + """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    g = loss_and_gradient(weights, unknown, pseudo)[1]
    old, before = loss_and_gradient(weights, known, labels)
    new, after = loss_and_gradient(weights - eta * g, known, labels)
    return eta * (before * g).sum(), new - old, eta * (after * g).sum()
""",
        "new minus old, and the products turned to agree": _LOSS
        + """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    g = loss_and_gradient(weights, unknown, pseudo)[1]
    old, before = loss_and_gradient(weights, known, labels)
    new, after = loss_and_gradient(weights - eta * g, known, labels)
    return -eta * (before * g).sum(), new - old, -eta * (after * g).sum()
""",
        "both products at the old weights": _LOSS
        + """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    g = loss_and_gradient(weights, unknown, pseudo)[1]
    old, slope = loss_and_gradient(weights, known, labels)
    new = loss_and_gradient(weights - eta * g, known, labels)[0]
    h = eta * (slope * g).sum()
    return h, old - new, h
""",
        "the pseudo gradient is taken again at the new weights": _LOSS
        + """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    g = loss_and_gradient(weights, unknown, pseudo)[1]
    moved = weights - eta * g
    old, before = loss_and_gradient(weights, known, labels)
    new, after = loss_and_gradient(moved, known, labels)
    there = loss_and_gradient(moved, unknown, pseudo)[1]
    return eta * (before * g).sum(), old - new, eta * (after * there).sum()
""",
        "the step is on the labels, too": _LOSS
        + """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    g = loss_and_gradient(weights, unknown, pseudo)[1]
    old, before = loss_and_gradient(weights, known, labels)
    new, after = loss_and_gradient(weights - eta * (g + before), known, labels)
    return eta * (before * g).sum(), old - new, eta * (after * g).sum()
""",
        "a step uphill": _LOSS
        + """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    g = loss_and_gradient(weights, unknown, pseudo)[1]
    old, before = loss_and_gradient(weights, known, labels)
    new, after = loss_and_gradient(weights + eta * g, known, labels)
    return eta * (before * g).sum(), old - new, eta * (after * g).sum()
""",
        "the weights change in place before the old loss is taken": _LOSS
        + """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    g = loss_and_gradient(weights, unknown, pseudo)[1]
    moved = weights
    moved -= eta * g
    old, before = loss_and_gradient(weights, known, labels)
    new, after = loss_and_gradient(moved, known, labels)
    return eta * (before * g).sum(), old - new, eta * (after * g).sum()
""",
        "the learning rate is forgotten in the products": _LOSS
        + """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    g = loss_and_gradient(weights, unknown, pseudo)[1]
    old, before = loss_and_gradient(weights, known, labels)
    new, after = loss_and_gradient(weights - eta * g, known, labels)
    return (before * g).sum(), old - new, (after * g).sum()
""",
        "the change of the loss on the pseudo-labels": _LOSS
        + """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    old, g = loss_and_gradient(weights, unknown, pseudo)
    moved = weights - eta * g
    new = loss_and_gradient(moved, unknown, pseudo)[0]
    before, after = (loss_and_gradient(w, known, labels)[1] for w in (weights, moved))
    return eta * (before * g).sum(), old - new, eta * (after * g).sum()
""",
        "cosine instead of product": _LOSS
        + """
def feedbacks(weights, known, labels, unknown, pseudo, eta):
    g = loss_and_gradient(weights, unknown, pseudo)[1]
    old, before = loss_and_gradient(weights, known, labels)
    new, after = loss_and_gradient(weights - eta * g, known, labels)
    cosine = [eta * (a * g).sum() / max(1e-12, np.linalg.norm(a) * np.linalg.norm(g)) for a in (before, after)]
    return cosine[0], old - new, cosine[1]
""",
        "255 in the number of pixels": """
def loss_and_gradient(weights, features, labels):
    valid = labels != IGNORE
    x, y = features[valid], labels[valid].astype(int)
    z = x @ weights.T
    z = z - z.max(1, keepdims=True) if len(y) else z
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    rows = np.arange(len(y))
    d = np.exp(log_p)
    d[rows, y] -= 1
    return -log_p[rows, y].sum() / len(labels), d.T @ x / len(labels)

"""
        + _FEEDBACKS,
        "a sum over the pixels": """
def loss_and_gradient(weights, features, labels):
    valid = labels != IGNORE
    x, y = features[valid], labels[valid].astype(int)
    z = x @ weights.T
    z = z - z.max(1, keepdims=True) if len(y) else z
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    rows = np.arange(len(y))
    d = np.exp(log_p)
    d[rows, y] -= 1
    return -log_p[rows, y].sum(), d.T @ x

"""
        + _FEEDBACKS,
        "nan where nothing is labelled": _LOSS.replace(
            "return 0.0, np.zeros_like(weights)", "return math.nan, np.full_like(weights, np.nan)"
        )
        + _FEEDBACKS,
        "exponentials overflow": """
def loss_and_gradient(weights, features, labels):
    valid = labels != IGNORE
    x, y = features[valid], labels[valid].astype(int)
    if not len(y):
        return 0.0, np.zeros_like(weights)
    with np.errstate(all="ignore"):
        p = np.exp(x @ weights.T)
        p = p / p.sum(1, keepdims=True)
        rows = np.arange(len(y))
        loss = -np.log(p[rows, y]).mean()
    p[rows, y] -= 1
    return loss, p.T @ x / len(y)

"""
        + _FEEDBACKS,
        "stable exponentials, but the logarithm of a 0": """
def loss_and_gradient(weights, features, labels):
    valid = labels != IGNORE
    x, y = features[valid], labels[valid].astype(int)
    if not len(y):
        return 0.0, np.zeros_like(weights)
    z = x @ weights.T
    p = np.exp(z - z.max(1, keepdims=True))
    p = p / p.sum(1, keepdims=True)
    rows = np.arange(len(y))
    loss = -np.log(p[rows, y] + 1e-12).mean()
    p[rows, y] -= 1
    return loss, p.T @ x / len(y)

"""
        + _FEEDBACKS,
        "the derivative transposed": _LOSS.replace("d.T @ x / len(y)", "(d.T @ x / len(y)).T.reshape(weights.shape)")
        + _FEEDBACKS,
    },
    "teacher-gradient": {
        "the opposite sign of h": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = (p - hard) * keep
    g[:known] /= max(1, keep[:known].sum())
    g[known:] *= -h / max(1, keep[known:].sum())
    return g
""",
        "only the size of h": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = (p - hard) * keep
    g[:known] /= max(1, keep[:known].sum())
    g[known:] *= abs(h) / max(1, keep[known:].sum())
    return g
""",
        "soft labels, detached: the gradient vanishes": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    goal = (labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)).astype(float)
    goal[known:] = p[known:]
    keep = (labels != IGNORE)[:, None]
    g = (p - goal) * keep
    g[:known] /= max(1, keep[:known].sum())
    g[known:] *= h / max(1, keep[known:].sum())
    return g
""",
        "soft labels, not detached: the gradient of the entropy": """
def teacher_gradient(logits, labels, known, h):
    z = logits - logits.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    p = np.exp(log_p)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = (p - hard) * keep
    g[:known] /= max(1, keep[:known].sum())
    entropy = -(p * log_p).sum(1, keepdims=True)
    g[known:] = (-p * (log_p + entropy) * keep)[known:] * h / max(1, keep[known:].sum())
    return g
""",
        "the most likely class instead of the label": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    said = labels.copy()
    said[known:] = logits[known:].argmax(1)
    hard = said[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = (p - hard) * keep
    g[:known] /= max(1, keep[:known].sum())
    g[known:] *= h / max(1, keep[known:].sum())
    return g
""",
        "one mean over both parts": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = (p - hard) * keep / max(1, keep.sum())
    g[known:] *= h
    return g
""",
        "a mean over all pixels of a part": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = (p - hard) * keep
    g[:known] /= max(1, labels[:known].size)
    g[known:] *= h / max(1, labels[known:].size)
    return g
""",
        "a mean for each image": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = (p - hard) * keep / np.maximum(1, keep.sum((1, 2, 3), keepdims=True))
    g[:known] /= max(1, known)
    g[known:] *= h / max(1, len(g) - known)
    return g
""",
        "h weighs the labelled part, too": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = h * (p - hard) * keep
    g[:known] /= max(1, keep[:known].sum())
    g[known:] /= max(1, keep[known:].sum())
    return g
""",
        "pixels with 255 keep their probabilities": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = labels != IGNORE
    g = p - hard
    g[:known] /= max(1, keep[:known].sum())
    g[known:] *= h / max(1, keep[known:].sum())
    return g
""",
        "nan where nothing is believed": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = (p - hard) * keep
    with np.errstate(all="ignore"):
        g[:known] /= keep[:known].sum()
        g[known:] *= h / keep[known:].sum()
    return g
""",
        "exponentials overflow": """
def teacher_gradient(logits, labels, known, h):
    with np.errstate(all="ignore"):
        p = np.exp(logits)
        p /= p.sum(1, keepdims=True)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = (p - hard) * keep
    g[:known] /= max(1, keep[:known].sum())
    g[known:] *= h / max(1, keep[known:].sum())
    return g
""",
        "a softmax over the columns": """
def teacher_gradient(logits, labels, known, h):
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    hard = labels[:, None] == np.arange(logits.shape[1]).reshape(1, -1, 1, 1)
    keep = (labels != IGNORE)[:, None]
    g = (p - hard) * keep
    g[:known] /= max(1, keep[:known].sum())
    g[known:] *= h / max(1, keep[known:].sum())
    return g
""",
    },
    "corrected": {
        "no correction": """
def corrected(values, decay):
    found, b, n = [], 0.0, 0
    for h in values:
        if h != h:
            found.append(0.0)
            continue
        found.append(h - b if n else 0.0)
        b = decay * b + (1 - decay) * h
        n += 1
    return found
""",
        "the notebook's: it starts as the first feedback": """
def corrected(values, decay):
    found, b = [], None
    for h in values:
        if h != h:
            found.append(0.0)
            continue
        b = h if b is None else b
        found.append(h - b)
        b = decay * b + (1 - decay) * h
    return found
""",
        "update first, then subtract": """
def corrected(values, decay):
    found, b, n = [], 0.0, 0
    for h in values:
        if h != h:
            found.append(0.0)
            continue
        n += 1
        b = decay * b + (1 - decay) * h
        found.append(h - b / (1 - decay**n))
    return found
""",
        "n is one too many": """
def corrected(values, decay):
    found, b, n = [], 0.0, 0
    for h in values:
        if h != h:
            found.append(0.0)
            continue
        n += 1
        found.append(h - b / (1 - decay**n) if n > 1 else 0.0)
        b = decay * b + (1 - decay) * h
    return found
""",
        "n counts the steps without feedback": """
def corrected(values, decay):
    found, b, seen = [], 0.0, False
    for n, h in enumerate(values):
        if h != h:
            found.append(0.0)
            continue
        found.append(h - b / (1 - decay**n) if seen else 0.0)
        seen = True
        b = decay * b + (1 - decay) * h
    return found
""",
        "nan counts as a feedback of 0": """
def corrected(values, decay):
    found, b, n = [], 0.0, 0
    for h in values:
        missing = h != h
        h = 0.0 if missing else h
        found.append(h - b / (1 - decay**n) if n and not missing else 0.0)
        b = decay * b + (1 - decay) * h
        n += 1
    return found
""",
        "nan enters the average": """
def corrected(values, decay):
    found, b, n = [], 0.0, 0
    for h in values:
        found.append(h - b / (1 - decay**n) if n and h == h else 0.0)
        b = decay * b + (1 - decay) * h
        n += 1
    return found
""",
        "steps without feedback are left out of the list": """
def corrected(values, decay):
    found, b, n = [], 0.0, 0
    for h in values:
        if h == h:
            found.append(h - b / (1 - decay**n) if n else 0.0)
            b = decay * b + (1 - decay) * h
            n += 1
    return found
""",
        "old and new swapped": """
def corrected(values, decay):
    found, b, n, keep = [], 0.0, 0, 1 - decay
    for h in values:
        if h != h:
            found.append(0.0)
            continue
        found.append(h - b / (1 - keep**n) if n and keep < 1 else 0.0)
        b = keep * b + (1 - keep) * h
        n += 1
    return found
""",
        "the first feedback as it is": """
def corrected(values, decay):
    found, b, n = [], 0.0, 0
    for h in values:
        if h != h:
            found.append(0.0)
            continue
        found.append(h - b / (1 - decay**n) if n else h)
        b = decay * b + (1 - decay) * h
        n += 1
    return found
""",
        "average minus feedback": """
def corrected(values, decay):
    found, b, n = [], 0.0, 0
    for h in values:
        if h != h:
            found.append(0.0)
            continue
        found.append(b / (1 - decay**n) - h if n else 0.0)
        b = decay * b + (1 - decay) * h
        n += 1
    return found
""",
        "the corrected average is averaged on": """
def corrected(values, decay):
    found, b, n = [], 0.0, 0
    for h in values:
        if h != h:
            found.append(0.0)
            continue
        found.append(h - b if n else 0.0)
        n += 1
        b = (decay * b + (1 - decay) * h) / (1 - decay**n)
    return found
""",
        "the plain mean of all before": """
def corrected(values, decay):
    found, past = [], []
    for h in values:
        found.append(h - sum(past) / len(past) if past and h == h else 0.0)
        if h == h:
            past.append(h)
    return found
""",
        "a feedback of 0 is taken for none": """
def corrected(values, decay):
    found, b, n = [], 0.0, 0
    for h in values:
        if h != h or not h:
            found.append(0.0)
            continue
        found.append(h - b / (1 - decay**n) if n else 0.0)
        b = decay * b + (1 - decay) * h
        n += 1
    return found
""",
    },
    "strongest": {
        "alpha falls, as in the students' code": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(len(target))
    alpha = np.exp(-5 * np.minimum(1, t / ramp) ** 2) if ramp else np.ones(len(t))
    h = alpha * rate * (1 - t / len(t)) ** power * np.array(target) * np.array(source)
    return int(h.argmax()), float(h.max())
""",
        "alpha falls again after the ramp": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(len(target))
    alpha = np.exp(-5 * (1 - t / ramp) ** 2) if ramp else np.ones(len(t))
    h = alpha * rate * (1 - t / len(t)) ** power * np.array(target) * np.array(source)
    return int(h.argmax()), float(h.max())
""",
        "alpha is a straight line": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(len(target))
    alpha = np.minimum(1, t / ramp) if ramp else np.ones(len(t))
    h = alpha * rate * (1 - t / len(t)) ** power * np.array(target) * np.array(source)
    return int(h.argmax()), float(h.max())
""",
        "alpha goes by the whole training": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(len(target))
    alpha = np.exp(-5 * (1 - t / len(t)) ** 2) if ramp else np.ones(len(t))
    h = alpha * rate * (1 - t / len(t)) ** power * np.array(target) * np.array(source)
    return int(h.argmax()), float(h.max())
""",
        "no ramp, no alpha": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(len(target))
    with np.errstate(all="ignore"):
        alpha = np.nan_to_num(np.exp(-5 * (1 - np.minimum(1, t / ramp)) ** 2)) if ramp else np.zeros(len(t))
    h = alpha * rate * (1 - t / len(t)) ** power * np.array(target) * np.array(source)
    return int(h.argmax()), float(h.max())
""",
        "the square is forgotten": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(len(target))
    alpha = np.exp(-5 * (1 - np.minimum(1, t / ramp))) if ramp else np.ones(len(t))
    h = alpha * rate * (1 - t / len(t)) ** power * np.array(target) * np.array(source)
    return int(h.argmax()), float(h.max())
""",
        "the rate does not fall": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(len(target))
    alpha = np.exp(-5 * (1 - np.minimum(1, t / ramp)) ** 2) if ramp else np.ones(len(t))
    h = alpha * rate * np.array(target) * np.array(source)
    return int(h.argmax()), float(h.max())
""",
        "the rate reaches 0 at the last step": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(len(target))
    alpha = np.exp(-5 * (1 - np.minimum(1, t / ramp)) ** 2) if ramp else np.ones(len(t))
    h = alpha * rate * (1 - t / max(1, len(t) - 1)) ** power * np.array(target) * np.array(source)
    return int(h.argmax()), float(h.max())
""",
        "the sum of the losses": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(len(target))
    alpha = np.exp(-5 * (1 - np.minimum(1, t / ramp)) ** 2) if ramp else np.ones(len(t))
    h = alpha * rate * (1 - t / len(t)) ** power * (np.array(target) + np.array(source))
    return int(h.argmax()), float(h.max())
""",
        "where H is largest, without alpha": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(len(target))
    alpha = np.exp(-5 * (1 - np.minimum(1, t / ramp)) ** 2) if ramp else np.ones(len(t))
    h = rate * (1 - t / len(t)) ** power * np.array(target) * np.array(source)
    return int(h.argmax()), float((alpha * h).max())
""",
        "the last of equal steps": """
def strongest(target, source, rate, power, ramp):
    best = (0, -1.0)
    for t, (a, b) in enumerate(zip(target, source)):
        alpha = math.exp(-5 * (1 - (min(1, t / ramp) if ramp else 1)) ** 2)
        h = alpha * rate * (1 - t / len(target)) ** power * a * b
        if h >= best[1]:
            best = (t, h)
    return best
""",
        "steps from 1": """
def strongest(target, source, rate, power, ramp):
    t = np.arange(1, len(target) + 1)
    alpha = np.exp(-5 * (1 - np.minimum(1, t / ramp)) ** 2) if ramp else np.ones(len(t))
    h = alpha * rate * (1 - t / len(t)) ** power * np.array(target) * np.array(source)
    return int(h.argmax()) + 1, float(h.max())
""",
    },
}
