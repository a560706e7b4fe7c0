"""Measures of what is seen: contrast, and how far colours are apart to people without one kind of cones.

Contrast: Web Content Accessibility Guidelines 2.2, criteria 1.4.3 (text, 4.5 : 1) and 1.4.11 (lines and bars, 3 : 1).
Colour vision: Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
IEEE TVCG 15(6), 2009, severity 1.0, in linear RGB. Distances: CIE 1976, in Lab.
"""

import numpy as np
from matplotlib.colors import to_rgb

WHITE, TAIL_BAND = (1, 1, 1), to_rgb("#f3f3f3")
SIGHT = {
    "all cones": np.eye(3),
    "protan": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
    "deutan": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)],
    "tritan": [(1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)],
}
TO_XYZ = [(0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041)]


def linear(rgb) -> np.ndarray:
    """sRGB in [0, 1] -> linear light."""
    rgb = np.asarray(rgb, float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other) -> np.ndarray:
    """WCAG 2.2, "contrast ratio"; colours (..., 3) in [0, 1]."""
    light = [linear(colour) @ (0.2126, 0.7152, 0.0722) + 0.05 for colour in (one, other)]
    return np.maximum(*light) / np.minimum(*light)


def lab(rgb, sight: str) -> np.ndarray:
    """Colours (..., 3) in [0, 1] in CIE Lab, as they are seen."""
    seen = np.clip(linear(rgb) @ np.transpose(SIGHT[sight]), 0, 1)
    share = seen @ np.transpose(TO_XYZ) / np.sum(TO_XYZ, 1)
    x, y, z = np.moveaxis(np.where(share > (6 / 29) ** 3, np.cbrt(share), share * 841 / 108 + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def apart(one, other) -> float:
    """The least distance of any colour of one set from any of the other, to whoever sees them worst."""
    one, other = (np.reshape(colours, (-1, 3)) / 1.0 for colours in (one, other))
    return min(np.linalg.norm(lab(one, sight)[:, None] - lab(other, sight)[None], axis=-1).min() for sight in SIGHT)
