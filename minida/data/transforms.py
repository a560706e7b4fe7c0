"""Joint image and label transforms, and the normalisation every network expects.

The kernels are torchvision's (`transforms.v2.functional`, dispatched on tv_tensors); the random numbers are
drawn here, from one seed a sample, because v2's modules know only the global generator.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from minida.types import IGNORE

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LARGE = 2**16  # pixels from which a blur is worth two passes


def _statistics(like: Tensor) -> tuple[Tensor, Tensor]:
    values = torch.tensor((IMAGENET_MEAN, IMAGENET_STD), device=like.device)[:, :, None, None] * 255
    return values[0], values[1]  # (3, 1, 1) each


def normalise(images: Tensor) -> Tensor:
    """(..., 3, H, W) uint8 -> float32 with ImageNet's mean and deviation removed."""
    mean, std = _statistics(images)
    return images.float().sub_(mean).mul_(1 / std)  # in place: a third of the time of the plain formula


def denormalise(images: Tensor) -> Tensor:
    """The inverse of `normalise`, for display: (..., 3, H, W) float -> uint8."""
    mean, std = _statistics(images)
    return (images.float() * std + mean).round_().clamp_(0, 255).to(torch.uint8)


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """(3, H, W) float -> as large, in whole values: blurred over 5x5 pixels, mirrored at the borders.

    Large images along their rows, then along their columns: a tenth of the time of torchvision's convolution, and one
    value in some 100,000 is rounded the other way. Small ones gain nothing.
    """
    if image.shape[1] * image.shape[2] < LARGE:
        return F.gaussian_blur(image, [5, 5], [sigma] * 2).round_()
    weights = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / sigma) ** 2)
    weights = (weights / weights.sum()).tolist()
    for dim in (2, 1):
        size, sides = image.shape[dim], [2, 2, 0, 0] if dim == 2 else [0, 0, 2, 2]
        padded = pad(image[None], sides, mode="reflect")[0]
        image = padded.narrow(dim, 0, size) * weights[0]
        for place in range(1, 5):
            image.add_(padded.narrow(dim, place, size), alpha=weights[place])
    return image.round_()


def _grey(image: Tensor) -> Tensor:
    red, green, blue = image
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()  # (H, W)


def _blend(image: Tensor, other: Tensor | float, share: float) -> Tensor:
    return image.mul_(share).add_(other, alpha=1 - share).clamp_(0, 255).floor_()


def colour_jitter(image: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    """(3, H, W) float in whole values -> the same, changed in place by these factors; 1 changes nothing.

    The values are those of torchvision's three adjustments of bytes, one after the other, in half their time.
    """
    image = _blend(image, 0.0, brightness)
    image = _blend(image, _grey(image).mean(), contrast)
    return _blend(image, _grey(image), saturation)


def around(centre: tuple[int, int], window: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Top and left of the window in an image of `size` that has `centre` in its middle, as far as the borders let."""
    return tuple(min(max(c - w // 2, 0), s - w) for c, w, s in zip(centre, window, size, strict=True))


@dataclass(frozen=True)
class Augmentation:
    """Random scale, crop, flip, colour jitter, blur and noise, the same for an image and its labels.

    A call depends on its arguments alone: one seed, one result, and no global generator is touched. Without
    labels nothing could mark padding as IGNORE, so the scale then fills the crop as with `fill`.
    """

    size: tuple[int, int]  # (H, W) of the crop; what lies outside the image is black, its labels IGNORE
    scale: tuple[float, float] = (0.5, 2.0)  # range of the random scale, drawn evenly in its logarithm
    flip: float = 0.5  # probability of a horizontal flip
    jitter: float = 0.4  # brightness, contrast and saturation change by a factor of up to 1 ± jitter
    blur: float = 0.2  # probability of a Gaussian blur
    noise: float = 0.03  # largest deviation of the Gaussian noise, as a share of the full range
    fill: bool = False  # keep the scale large enough for the crop: padding would tell a discriminator the domain
    strength: float = 1.0  # β of self-training: scales the ranges of scale, jitter, blur and noise; 0 is none

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(f"scale is {self.scale}; expected 0 < low <= high, such as (0.5, 2.0)")
        if not (0 <= self.flip <= 1 and 0 <= self.blur <= 1):
            raise ValueError(f"flip is {self.flip} and blur {self.blur}; both are probabilities, 0 to 1")
        if min(self.jitter, self.noise, self.strength) < 0 or min(self.size) < 1:
            raise ValueError(f"size, jitter, noise and strength must not be negative: {self}")

    def __call__(
        self, image: Tensor, labels: Tensor | None, seed: int, centre: tuple[int, int] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(3, h, w) uint8 and (h, w) labels or None -> (3, H, W) uint8 and (H, W) int64 or None.

        `centre`: the pixel (y, x) to crop around, as nearly as the image's borders let; else the place is random.
        """
        generator = torch.Generator().manual_seed(seed)
        u = torch.rand(12, generator=generator).tolist()
        scale = self._scale(u[0], image.shape[-2:], self.fill or labels is None)
        out = self._place(image, scale, u[1:4], InterpolationMode.BILINEAR, centre)
        if labels is not None:
            mask = tv_tensors.Mask(labels.to(torch.uint8)[None])  # (1, h, w): a byte moves faster than int64
            mask = self._place(mask, scale, u[1:4], InterpolationMode.NEAREST_EXACT, centre)
            labels = mask.as_subclass(Tensor)[0].long()  # (H, W)
        return self._recolour(out, u[4:], generator), labels

    def _scale(self, u: float, size: tuple[int, int], fill: bool) -> float:
        low, high = self.scale
        scale = (low * (high / low) ** u) ** self.strength
        return max(scale, self.size[0] / size[0], self.size[1] / size[1]) if fill else scale

    def _place(
        self, plane: Tensor, scale: float, u: list[float], mode: InterpolationMode, centre: tuple[int, int] | None
    ) -> Tensor:
        """Cut the window that the crop shows, resize only that, pad what is missing, flip."""
        (H, W), (h, w) = self.size, plane.shape[-2:]
        window = min(h, round(H / scale) or 1), min(w, round(W / scale) or 1)
        shown = min(H, round(h * scale) or 1), min(W, round(w * scale) or 1)
        # Along an axis either the window is smaller than the image or it is shown smaller than the crop.
        top, left = int(u[0] * (h - window[0] + 1)), int(u[1] * (w - window[1] + 1))
        if centre is not None:
            top, left = around(centre, window, (h, w))
        above, before = int(u[0] * (H - shown[0] + 1)), int(u[1] * (W - shown[1] + 1))
        is_mask = isinstance(plane, tv_tensors.Mask)
        plane = plane.as_subclass(Tensor)[:, top : top + window[0], left : left + window[1]]
        if window != shown:
            plane = F.resize(plane, list(shown), interpolation=mode, antialias=not is_mask)
        if shown != (H, W):
            sides = [before, above, W - shown[1] - before, H - shown[0] - above]
            plane = F.pad(plane, sides, fill=IGNORE if is_mask else 0)
        return F.horizontal_flip(plane) if u[2] < self.flip else plane

    def _recolour(self, image: Tensor, u: list[float], generator: torch.Generator) -> Tensor:
        image, jitter = image.float(), min(self.jitter * self.strength, 0.95)
        if jitter:
            image = colour_jitter(image, *(1 + jitter * (2 * each - 1) for each in u[:3]))
        if u[3] < self.blur:  # a deviation of 0.1 pixels blurs nothing
            image = gaussian_blur(image, 0.1 + self.strength * u[4])
        if self.noise * self.strength:
            sigma = 255 * self.noise * self.strength * u[5]
            image = torch.randn(image.shape, generator=generator).mul_(sigma).add_(image).round_()
        return image.clamp_(0, 255).to(torch.int16).to(torch.uint8)  # at once it takes three times as long
