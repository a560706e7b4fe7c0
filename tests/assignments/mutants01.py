"""Wrong answers to assignment 01, by exercise: what is wrong, and the cell that a student would hand in."""

MUTANTS = {
    "confusion": {
        "rows and columns swapped": """
def confusion(labels, predictions, classes):
    valid = labels != IGNORE
    truth, guess = labels[valid].astype(int), predictions[valid].astype(int)
    matrix = np.zeros((classes, classes + 1), int)
    for t, g in zip(truth, guess):
        if 0 <= g < classes:
            matrix[g, t] += 1
        else:
            matrix[t, classes] += 1
    return matrix
""",
        "ignored pixels are counted": """
def confusion(labels, predictions, classes):
    truth, guess = labels.astype(int).ravel(), predictions.astype(int).ravel()
    truth = np.where(truth == IGNORE, 0, truth)
    guess = np.where((guess < 0) | (guess >= classes), classes, guess)
    return np.bincount(truth * (classes + 1) + guess, minlength=classes * (classes + 1)).reshape(classes, classes + 1)
""",
        "8 bits overflow": """
def confusion(labels, predictions, classes):
    valid = labels != IGNORE
    truth, guess = labels[valid], predictions[valid]
    guess = np.where((guess < 0) | (guess >= classes), classes, guess)
    index = (truth * (classes + 1) + guess).astype(int)
    size = classes * (classes + 1)
    return np.bincount(index, minlength=size)[:size].reshape(classes, classes + 1)
""",
        "strange predictions are dropped": """
def confusion(labels, predictions, classes):
    valid = (labels != IGNORE) & (predictions >= 0) & (predictions < classes)
    truth, guess = labels[valid].astype(int), predictions[valid].astype(int)
    return np.bincount(truth * (classes + 1) + guess, minlength=classes * (classes + 1)).reshape(classes, classes + 1)
""",
        "255 in a prediction is ignored, too": """
def confusion(labels, predictions, classes):
    valid = (labels != IGNORE) & (predictions != IGNORE)
    truth, guess = labels[valid].astype(int), predictions[valid].astype(int)
    guess = np.where((guess < 0) | (guess >= classes), classes, guess)
    return np.bincount(truth * (classes + 1) + guess, minlength=classes * (classes + 1)).reshape(classes, classes + 1)
""",
    },
    "ious": {
        "an absent class scores 0": """
def ious(matrix):
    matrix = np.asarray(matrix, dtype=float)
    right = np.diag(matrix)
    union = matrix.sum(1) + matrix[:, :-1].sum(0) - right
    return right / np.maximum(union, 1)
""",
        "recall instead of IoU": """
def ious(matrix):
    matrix = np.asarray(matrix, dtype=float)
    with np.errstate(invalid="ignore"):
        return np.diag(matrix) / matrix.sum(1)
""",
        "the last column is forgotten": """
def ious(matrix):
    matrix = np.asarray(matrix, dtype=float)[:, :-1]
    right = np.diag(matrix)
    with np.errstate(invalid="ignore"):
        return right / (matrix.sum(1) + matrix.sum(0) - right)
""",
        "true positives counted twice": """
def ious(matrix):
    matrix = np.asarray(matrix, dtype=float)
    with np.errstate(invalid="ignore"):
        return np.diag(matrix) / (matrix.sum(1) + matrix[:, :-1].sum(0))
""",
        "nan where a class meets no class": """
def ious(matrix):
    matrix = np.asarray(matrix, dtype=float)
    right = np.diag(matrix)
    there = matrix[:, :-1].sum(1) + matrix[:, :-1].sum(0) > 0
    union = matrix.sum(1) + matrix[:, :-1].sum(0) - right
    return np.where(there, right / np.maximum(union, 1), np.nan)
""",
    },
    "refine": {
        "one average for the whole image": """
def refine(features, weight, bias):
    averages = features.mean((2, 3))
    scores = averages @ weight.T + bias
    return features * (1 / (1 + np.exp(-scores)))[:, :, None, None]
""",
        "the weight transposed": """
def refine(features, weight, bias):
    scores = np.einsum("co,bch->boh", weight, features.mean(3)) + bias[None, :, None]
    return features * (1 / (1 + np.exp(-scores)))[..., None]
""",
        "columns instead of rows": """
def refine(features, weight, bias):
    scores = np.einsum("oc,bcw->bow", weight, features.mean(2)) + bias[None, :, None]
    return features * (1 / (1 + np.exp(-scores)))[:, :, None, :]
""",
        "the bias after the sigmoid": """
def refine(features, weight, bias):
    scores = np.einsum("oc,bch->boh", weight, features.mean(3))
    return features * (1 / (1 + np.exp(-scores)) + bias[None, :, None])[..., None]
""",
    },
}
