"""Wrong answers to assignment 02, by exercise: what is wrong, and the cell that a student would hand in."""

_LOWEST = """

def lowest(smoothing):
    return float(-sum(p * np.log(p) for p in (smoothing, 1 - smoothing) if p > 0))
"""
_LOSS = """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        return np.logaddexp(0, z) - label * z

    return (term(source_logits, smoothing).mean() + term(target_logits, 1 - smoothing).mean()) / 2

"""
_SHARES = """

def shares(steps, momentum):
    keep = 1 - momentum
    start, source, target = 1.0, 0.0, 0.0
    for _ in range(steps):
        start, source, target = keep * start, keep * source + momentum, keep * target
        start, source, target = keep * start, keep * source, keep * target + momentum
    return start, source, target
"""
_AVERAGES = """
def averages(batches, mode, momentum):
    channels = batches[0][0].shape[1]
    mean, variance = np.zeros(channels), np.ones(channels)
    for source, target in batches:
        passes = {"source": [source], "target": [target], "separate": [source, target]}
        for values in passes.get(mode) or [np.concatenate((source, target))]:
            mean = (1 - momentum) * mean + momentum * values.mean((0, 2, 3))
            variance = (1 - momentum) * variance + momentum * values.var((0, 2, 3), ddof=1)
    return mean, variance

"""

MUTANTS = {
    "smoothed": {
        "source is 1 and target 0": """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        return np.logaddexp(0, z) - label * z

    return (term(source_logits, 1 - smoothing).mean() + term(target_logits, smoothing).mean()) / 2
"""
        + _LOWEST,
        "the minus of Eq. 3 covers its first term only": """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        return np.logaddexp(0, z) - label * z

    return (term(source_logits, smoothing).mean() - term(target_logits, 1 - smoothing).mean()) / 2
"""
        + _LOWEST,
        "the logarithm of a sigmoid": """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        with np.errstate(all="ignore"):
            p = 1 / (1 + np.exp(-z))
            return -label * np.log(p) - (1 - label) * np.log(1 - p)

    return (term(source_logits, smoothing).mean() + term(target_logits, 1 - smoothing).mean()) / 2
"""
        + _LOWEST,
        "probabilities clipped": """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        with np.errstate(over="ignore"):
            p = np.clip(1 / (1 + np.exp(-z)), 1e-12, 1 - 1e-12)
        return -label * np.log(p) - (1 - label) * np.log(1 - p)

    return (term(source_logits, smoothing).mean() + term(target_logits, 1 - smoothing).mean()) / 2
"""
        + _LOWEST,
        "binary_cross_entropy, whose logarithms end at -100": """
def discriminator_loss(source_logits, target_logits, smoothing):
    import torch
    from torch.nn.functional import binary_cross_entropy

    def term(z, label):
        p = torch.as_tensor(z).sigmoid()
        return float(binary_cross_entropy(p, torch.full_like(p, label)))

    return (term(source_logits, smoothing) + term(target_logits, 1 - smoothing)) / 2
"""
        + _LOWEST,
        "one mean over the cells of both domains": """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        return (np.logaddexp(0, z) - label * z).ravel()

    return np.concatenate((term(source_logits, smoothing), term(target_logits, 1 - smoothing))).mean()
"""
        + _LOWEST,
        "sums, as Eq. 3 is printed": """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        return np.logaddexp(0, z) - label * z

    return (term(source_logits, smoothing).sum() + term(target_logits, 1 - smoothing).sum()) / 2
"""
        + _LOWEST,
        "each domain counts one": """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        return np.logaddexp(0, z) - label * z

    return term(source_logits, smoothing).mean() + term(target_logits, 1 - smoothing).mean()
"""
        + _LOWEST,
        "half of the smoothing, as for two classes in PyTorch": """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        return np.logaddexp(0, z) - label * z

    return (term(source_logits, smoothing / 2).mean() + term(target_logits, 1 - smoothing / 2).mean()) / 2
"""
        + _LOWEST,
        "the target alone is smoothed": """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        return np.logaddexp(0, z) - label * z

    return (term(source_logits, 0).mean() + term(target_logits, 1 - smoothing).mean()) / 2
"""
        + _LOWEST,
        "the same label for both domains": """
def discriminator_loss(source_logits, target_logits, smoothing):
    def term(z, label):
        return np.logaddexp(0, z) - label * z

    return (term(source_logits, smoothing).mean() + term(target_logits, smoothing).mean()) / 2
"""
        + _LOWEST,
        "lowest is nan without smoothing": _LOSS
        + """
def lowest(smoothing):
    with np.errstate(all="ignore"):
        return float(-smoothing * np.log(smoothing) - (1 - smoothing) * np.log(1 - smoothing))
""",
        "lowest is one term of the entropy": _LOSS
        + """
def lowest(smoothing):
    return float(-np.log(1 - smoothing))
""",
        "lowest is always a coin toss": _LOSS
        + """
def lowest(smoothing):
    return float(np.log(2)) if smoothing > 0 else 0.0
""",
        "lowest counts both domains": _LOSS
        + """
def lowest(smoothing):
    return float(-2 * sum(p * np.log(p) for p in (smoothing, 1 - smoothing) if p > 0))
""",
    },
    "adversarial": {
        "sums, as Eq. 2 is printed": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": (logits**2, 2 * logits),
        "saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
        "non-saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    return weight * (values * counts).sum(), weight * slopes * counts
""",
        "padding is in the mean": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": (logits**2, 2 * logits),
        "saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
        "non-saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    return weight * (values * counts).mean(), weight * slopes * counts / logits.size
""",
        "padding has a gradient": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": (logits**2, 2 * logits),
        "saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
        "non-saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    share = weight / max(counts.sum(), 1)
    return share * (values * counts).sum(), share * slopes
""",
        "no cell counts, and all is nan": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(all="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
        values, slopes = {
            "least-squares": (logits**2, 2 * logits),
            "saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
            "non-saturating": (np.logaddexp(0, logits), sigmoid),
        }[kind]
        share = weight * counts / counts.sum()
    return (share * values).sum(), share * slopes
""",
        "the weight is missing in the gradient": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": (logits**2, 2 * logits),
        "saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
        "non-saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    share = counts / max(counts.sum(), 1)
    return weight * (share * values).sum(), share * slopes
""",
        "the gradient of a sum beside the mean": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": (logits**2, 2 * logits),
        "saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
        "non-saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    return weight * (counts * values).sum() / max(counts.sum(), 1), weight * counts * slopes
""",
        "a mean for each image": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": (logits**2, 2 * logits),
        "saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
        "non-saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    images = np.maximum(counts.sum((1, 2, 3), keepdims=True), 1)
    share = weight * counts / images / len(logits)
    return (share * values).sum(), share * slopes
""",
        "the two names swapped": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": (logits**2, 2 * logits),
        "non-saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
        "saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    share = weight * counts / max(counts.sum(), 1)
    return (share * values).sum(), share * slopes
""",
        "the target rewarded for being recognised": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": ((logits - 1) ** 2, 2 * (logits - 1)),
        "saturating": (-np.logaddexp(0, logits), -sigmoid),
        "non-saturating": (np.logaddexp(0, -logits), sigmoid - 1),
    }[kind]
    share = weight * counts / max(counts.sum(), 1)
    return (share * values).sum(), share * slopes
""",
        "the sign of the saturating slope": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": (logits**2, 2 * logits),
        "saturating": (-np.logaddexp(0, -logits), sigmoid - 1),
        "non-saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    share = weight * counts / max(counts.sum(), 1)
    return (share * values).sum(), share * slopes
""",
        "least squares of the probability": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": (sigmoid**2, 2 * sigmoid**2 * (1 - sigmoid)),
        "saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
        "non-saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    share = weight * counts / max(counts.sum(), 1)
    return (share * values).sum(), share * slopes
""",
        "the 2 of the square forgotten": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    values, slopes = {
        "least-squares": (logits**2, logits),
        "saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
        "non-saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    share = weight * counts / max(counts.sum(), 1)
    return (share * values).sum(), share * slopes
""",
        "the logarithm of a rounded sigmoid": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(all="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
        values, slopes = {
            "least-squares": (logits**2, 2 * logits),
            "saturating": (np.log(sigmoid), 1 - sigmoid),
            "non-saturating": (-np.log(1 - sigmoid), sigmoid),
        }[kind]
    share = weight * counts / max(counts.sum(), 1)
    return (share * values).sum(), share * slopes
""",
        "a slope that overflows": """
def adversarial(logits, counts, kind, weight):
    with np.errstate(all="ignore"):
        sigmoid = np.exp(logits) / (1 + np.exp(logits))
    values, slopes = {
        "least-squares": (logits**2, 2 * logits),
        "saturating": (-np.logaddexp(0, -logits), 1 - sigmoid),
        "non-saturating": (np.logaddexp(0, logits), sigmoid),
    }[kind]
    share = weight * counts / max(counts.sum(), 1)
    return (share * values).sum(), share * slopes
""",
    },
    "cost": {
        "sides rounded up": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        height, width = (-(-(side + 2 * padding - kernel) // stride) + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        parameters += weights + bias * (outputs + separable * inputs)
        work += weights * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
        "the side divided by the stride": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        if min(height, width) + 2 * padding < kernel:
            return None
        height, width = height // stride, width // stride
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        parameters += weights + bias * (outputs + separable * inputs)
        work += weights * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
        "a kernel that does not fit": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        height, width = (int((side + 2 * padding - kernel) / stride + 1) for side in (height, width))
        if min(height, width) < 0:
            return None
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        parameters += weights + bias * (outputs + separable * inputs)
        work += weights * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
        "only the last map is looked at": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        parameters += weights + bias * (outputs + separable * inputs)
        work += weights * height * width
        inputs = outputs
    return None if min(height, width) < 1 else (parameters, work, (height, width))
""",
        "work of the map that comes in": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        parameters += weights + bias * (outputs + separable * inputs)
        work += weights * height * width
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        inputs = outputs
    return parameters, work, (height, width)
""",
        "pointwise first, on the larger map": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        before = height * width
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        if separable:
            parameters += kernel**2 * inputs + inputs * outputs + bias * (inputs + outputs)
            work += inputs * outputs * before + kernel**2 * inputs * height * width
        else:
            parameters += kernel**2 * inputs * outputs + bias * outputs
            work += kernel**2 * inputs * outputs * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
        "one bias in a separable layer": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        parameters += weights + bias * outputs
        work += weights * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
        "the bias of DSC is never there": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        parameters += weights + (bias and not separable) * outputs
        work += weights * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
        "FLOPs instead of multiply-adds": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        parameters += weights + bias * (outputs + separable * inputs)
        work += 2 * weights * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
        "the report's upsampling is paid too": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        parameters += weights + bias * (outputs + separable * inputs)
        work += weights * height * width
        inputs = outputs
    return parameters, work + (11 * size[0] * size[1] if min(size) >= 32 else 0), (height, width)
""",
        "a bias is a multiply-add": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        weights += bias * (outputs + separable * inputs)
        parameters += weights
        work += weights * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
        "depthwise kernels see every channel": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        plain = kernel**2 * inputs * outputs
        weights = kernel**2 * inputs * inputs + inputs * outputs if separable else plain
        parameters += weights + bias * (outputs + separable * inputs)
        work += weights * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
        "kernels of 4, as in the notebook": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    height, width = size
    for outputs, kernel, stride, padding in layers:
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        weights = 16 * inputs + inputs * outputs if separable else 16 * inputs * outputs
        parameters += weights + bias * (outputs + separable * inputs)
        work += weights * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
        "the width first": """
def cost(inputs, layers, size, separable, bias):
    parameters = work = 0
    width, height = size
    for outputs, kernel, stride, padding in layers:
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            return None
        weights = kernel**2 * inputs + inputs * outputs if separable else kernel**2 * inputs * outputs
        parameters += weights + bias * (outputs + separable * inputs)
        work += weights * height * width
        inputs = outputs
    return parameters, work, (height, width)
""",
    },
    "averages": {
        "the variance divided by n": """
def averages(batches, mode, momentum):
    channels = batches[0][0].shape[1]
    mean, variance = np.zeros(channels), np.ones(channels)
    for source, target in batches:
        passes = {"source": [source], "target": [target], "separate": [source, target]}
        for values in passes.get(mode) or [np.concatenate((source, target))]:
            mean = (1 - momentum) * mean + momentum * values.mean((0, 2, 3))
            variance = (1 - momentum) * variance + momentum * values.var((0, 2, 3))
    return mean, variance
"""
        + _SHARES,
        "momentum keeps the old value": """
def averages(batches, mode, momentum):
    channels = batches[0][0].shape[1]
    mean, variance = np.zeros(channels), np.ones(channels)
    for source, target in batches:
        passes = {"source": [source], "target": [target], "separate": [source, target]}
        for values in passes.get(mode) or [np.concatenate((source, target))]:
            mean = momentum * mean + (1 - momentum) * values.mean((0, 2, 3))
            variance = momentum * variance + (1 - momentum) * values.var((0, 2, 3), ddof=1)
    return mean, variance
"""
        + _SHARES,
        "the running variance starts at 0": """
def averages(batches, mode, momentum):
    channels = batches[0][0].shape[1]
    mean, variance = np.zeros(channels), np.zeros(channels)
    for source, target in batches:
        passes = {"source": [source], "target": [target], "separate": [source, target]}
        for values in passes.get(mode) or [np.concatenate((source, target))]:
            mean = (1 - momentum) * mean + momentum * values.mean((0, 2, 3))
            variance = (1 - momentum) * variance + momentum * values.var((0, 2, 3), ddof=1)
    return mean, variance
"""
        + _SHARES,
        "a joint pass without the distance of the means": """
def averages(batches, mode, momentum):
    channels = batches[0][0].shape[1]
    mean, variance = np.zeros(channels), np.ones(channels)
    for source, target in batches:
        passes = {"source": [[source]], "target": [[target]], "separate": [[source], [target]]}
        for parts in passes.get(mode) or [[source, target]]:
            new_mean = np.mean([values.mean((0, 2, 3)) for values in parts], axis=0)
            new_variance = np.mean([values.var((0, 2, 3), ddof=1) for values in parts], axis=0)
            mean = (1 - momentum) * mean + momentum * new_mean
            variance = (1 - momentum) * variance + momentum * new_variance
    return mean, variance
"""
        + _SHARES,
        "joint is separate": """
def averages(batches, mode, momentum):
    channels = batches[0][0].shape[1]
    mean, variance = np.zeros(channels), np.ones(channels)
    for source, target in batches:
        passes = {"source": [source], "target": [target]}
        for values in passes.get(mode) or [source, target]:
            mean = (1 - momentum) * mean + momentum * values.mean((0, 2, 3))
            variance = (1 - momentum) * variance + momentum * values.var((0, 2, 3), ddof=1)
    return mean, variance
"""
        + _SHARES,
        "the target mode records the source too": """
def averages(batches, mode, momentum):
    channels = batches[0][0].shape[1]
    mean, variance = np.zeros(channels), np.ones(channels)
    for source, target in batches:
        passes = {"source": [source], "joint": [np.concatenate((source, target))]}
        for values in passes.get(mode) or [source, target]:
            mean = (1 - momentum) * mean + momentum * values.mean((0, 2, 3))
            variance = (1 - momentum) * variance + momentum * values.var((0, 2, 3), ddof=1)
    return mean, variance
"""
        + _SHARES,
        "the target's pass first": """
def averages(batches, mode, momentum):
    channels = batches[0][0].shape[1]
    mean, variance = np.zeros(channels), np.ones(channels)
    for source, target in batches:
        passes = {"source": [source], "target": [target], "separate": [target, source]}
        for values in passes.get(mode) or [np.concatenate((source, target))]:
            mean = (1 - momentum) * mean + momentum * values.mean((0, 2, 3))
            variance = (1 - momentum) * variance + momentum * values.var((0, 2, 3), ddof=1)
    return mean, variance
"""
        + _SHARES,
        "a mean of the images' variances": """
def averages(batches, mode, momentum):
    channels = batches[0][0].shape[1]
    mean, variance = np.zeros(channels), np.ones(channels)
    for source, target in batches:
        passes = {"source": [source], "target": [target], "separate": [source, target]}
        for values in passes.get(mode) or [np.concatenate((source, target))]:
            mean = (1 - momentum) * mean + momentum * values.mean((0, 2, 3))
            with np.errstate(all="ignore"):
                variance = (1 - momentum) * variance + momentum * values.var((2, 3), ddof=1).mean(0)
    return mean, variance
"""
        + _SHARES,
        "only the last step counts": """
def averages(batches, mode, momentum):
    for source, target in batches:
        channels = source.shape[1]
        mean, variance = np.zeros(channels), np.ones(channels)
        passes = {"source": [source], "target": [target], "separate": [source, target]}
        for values in passes.get(mode) or [np.concatenate((source, target))]:
            mean = (1 - momentum) * mean + momentum * values.mean((0, 2, 3))
            variance = (1 - momentum) * variance + momentum * values.var((0, 2, 3), ddof=1)
    return mean, variance
"""
        + _SHARES,
        "source and target share alike": _AVERAGES
        + """
def shares(steps, momentum):
    start = (1 - momentum) ** (2 * steps)
    return start, (1 - start) / 2, (1 - start) / 2
""",
        "the start value fades once a step": _AVERAGES
        + """
def shares(steps, momentum):
    start = (1 - momentum) ** steps
    return start, (1 - start) * (1 - momentum) / (2 - momentum), (1 - start) / (2 - momentum)
""",
        "earlier passes do not fade": _AVERAGES
        + """
def shares(steps, momentum):
    source, target = steps * momentum * (1 - momentum), steps * momentum
    return 1 - source - target, source, target
""",
        "the source's share is the larger one": _AVERAGES
        + """
def shares(steps, momentum):
    start = (1 - momentum) ** (2 * steps)
    return start, (1 - start) / (2 - momentum), (1 - start) * (1 - momentum) / (2 - momentum)
""",
    },
}
