"""Joint transforms: image and labels move together, padding is ignored, one seed gives one result."""

from dataclasses import replace

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from minida.data import transforms
from minida.data.transforms import Augmentation, denormalise, normalise
from minida.types import IGNORE

SIZE = (24, 48)
PLAIN = Augmentation(SIZE, scale=(1, 1), flip=0, jitter=0, blur=0, noise=0)


def scene(height: int = 24, width: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels 1 to 20 at random, and an image that shows each pixel's label in every channel."""
    labels = torch.randint(1, 21, (height, width), generator=torch.Generator().manual_seed(0))
    return (labels * 10).to(torch.uint8).expand(3, -1, -1).contiguous(), labels


def test_neutral_settings_change_nothing() -> None:
    image, labels = scene()
    out, mask = PLAIN(image, labels, seed=3)
    assert torch.equal(out, image) and torch.equal(mask, labels)
    assert out.dtype == torch.uint8 and mask.dtype == torch.int64


@pytest.mark.parametrize("size", [(16, 20), (24, 48), (40, 60), (10, 60)])
def test_crop_pad_and_flip_move_image_and_labels_together(size: tuple[int, int]) -> None:
    image, labels = scene()
    places = set()
    for seed in range(12):
        out, mask = replace(PLAIN, size=size, flip=0.5)(image, labels, seed)
        assert out.shape == (3, *size) and mask.shape == size
        shown = mask != IGNORE
        assert torch.equal(out[:, shown], (mask[shown] * 10).to(torch.uint8).expand(3, -1))
        assert (out[:, ~shown] == 0).all()
        assert shown.sum() == min(24, size[0]) * min(48, size[1])  # padded no more than needed
        places.add(tuple(out.flatten().tolist()))
    assert len(places) > 1  # crops and flips differ from seed to seed


@pytest.mark.parametrize("size", [(16, 48), (24, 20), (40, 48), (24, 60)])
def test_crops_and_padding_vary_along_each_axis(size: tuple[int, int]) -> None:
    image, labels = scene()
    outs = {tuple(replace(PLAIN, size=size)(image, labels, seed)[1].flatten().tolist()) for seed in range(40)}
    assert len(outs) > 4


def test_flip_probability_one_mirrors_both() -> None:
    image, labels = scene()
    out, mask = replace(PLAIN, flip=1)(image, labels, seed=0)
    assert torch.equal(out, image.flip(-1)) and torch.equal(mask, labels.flip(-1))


@pytest.mark.parametrize("scale", [0.5, 1.5, 2.0, 3.0])
def test_scaled_labels_lie_on_the_scaled_image(scale: float) -> None:
    columns = torch.arange(48).expand(24, 48)  # label = column = brightness
    image = columns.to(torch.uint8).expand(3, -1, -1).contiguous()
    for seed in range(5):
        out, mask = replace(PLAIN, scale=(scale, scale), flip=0.5)(image, columns, seed)
        shown = mask != IGNORE
        difference = (out[0].float() - mask)[shown]
        assert difference.abs().max() <= 1
        assert difference.mean().abs() < 0.1 + 0.3 * (scale < 1)  # half-way columns round one way
        assert set(mask.unique().tolist()) <= {*range(48), IGNORE}


def test_small_scale_pads_exactly_the_missing_area() -> None:
    image, labels = scene()
    out, mask = replace(PLAIN, scale=(0.5, 0.5))(image, labels, seed=1)
    assert (mask != IGNORE).sum() == 12 * 24
    assert (out[:, mask == IGNORE] == 0).all() and (out[:, mask != IGNORE] > 0).all()
    stripes = torch.zeros(3, *SIZE, dtype=torch.uint8)
    stripes[:, :, ::4] = 200
    out, mask = replace(PLAIN, scale=(0.25, 0.25))(stripes, labels, seed=1)
    assert (out[:, mask != IGNORE].int() - 50).abs().max() <= 20  # antialiased, not sampled


def test_scales_cover_their_range_evenly_in_the_logarithm() -> None:
    white = torch.full((3, 24, 48), 255, dtype=torch.uint8)
    augment = replace(PLAIN, scale=(0.25, 1.0))
    shares = torch.tensor([(augment(white, white[0], seed)[0][0] > 0).float().mean() for seed in range(300)])
    assert shares.min() < 0.09 and shares.max() > 0.9
    assert 0.42 < (shares < 0.25).float().mean() < 0.58  # half of the draws lie below scale 1/2


def test_without_labels_nothing_is_padded() -> None:
    white = torch.full((3, 24, 48), 255, dtype=torch.uint8)
    for size in (SIZE, (40, 60)):
        out, mask = replace(PLAIN, size=size, scale=(0.3, 0.4))(white, None, seed=0)
        assert mask is None and out.shape == (3, *size) and (out == 255).all()


def test_filled_source_images_have_no_padding_that_a_discriminator_could_see():
    white, labels = torch.full((3, 64, 128), 255, dtype=torch.uint8), torch.zeros(64, 128, dtype=torch.long)
    half = replace(PLAIN, size=(64, 128), scale=(0.5, 0.5))
    padded, filled = half(white, labels, seed=0), replace(half, fill=True)(white, labels, seed=0)
    assert (padded[0] == 0).any() and (padded[1] == IGNORE).any()
    assert (filled[0] == 255).all() and (filled[1] == 0).all()


def test_strength_widens_the_ranges_and_zero_switches_them_off() -> None:
    image, labels = scene()
    full = Augmentation(SIZE, flip=0, blur=1, noise=0.1)
    assert torch.equal(replace(full, strength=0)(image, labels, seed=5)[0], image)
    _, mask = replace(PLAIN, scale=(0.5, 0.5), strength=2)(image, labels, seed=0)
    assert (mask != IGNORE).sum() == 6 * 12  # 0.5 squared
    gray = torch.full((3, *SIZE), 128, dtype=torch.uint8)
    for option in ("jitter", "noise"):
        spread = []
        for strength in (1, 2):
            augment = replace(PLAIN, **{option: 0.1}, strength=strength)
            values = torch.stack([augment(gray, None, seed)[0] for seed in range(20)]).float()
            spread.append((values - 128).square().mean().sqrt())
        assert 1.7 < spread[1] / spread[0] < 2.3


@pytest.mark.parametrize("option", [{"jitter": 0.4}, {"blur": 1.0}, {"noise": 0.1}])
def test_photometric_changes_leave_the_labels_alone(option: dict) -> None:
    image, labels = scene()
    out, mask = replace(PLAIN, **option)(image, labels, seed=2)
    assert torch.equal(mask, labels)
    assert not torch.equal(out, image)


def test_jitter_changes_brightness_contrast_and_saturation() -> None:
    augment = replace(PLAIN, jitter=0.5)
    gray = torch.full((3, *SIZE), 100, dtype=torch.uint8)
    means = [augment(gray, None, seed)[0].float().mean() for seed in range(40)]
    assert min(means) < 75 and max(means) > 125 and min(means) >= 48 and max(means) <= 150
    halves = gray.clone()
    halves[:, :, 24:] = 140
    contrast = [float((o := augment(halves, None, s)[0].float()).max() / o.min()) for s in range(20)]
    assert min(contrast) < 1.3 and max(contrast) > 1.5  # 1.4 where only brightness changes
    # Colourfulness over contrast: brightness and contrast cancel, the saturation remains.
    colour = torch.full((3, *SIZE), 30, dtype=torch.uint8)
    colour[:, :, 24:] = torch.tensor([70, 50, 30])[:, None, None]
    weights = torch.tensor([0.299, 0.587, 0.114])
    ratios = []
    for seed in range(20):
        out = augment(colour, None, seed)[0].float()
        ratios.append(float((out[0, 0, 40] - out[2, 0, 40]) / (weights @ (out[:, 0, 40] - out[:, 0, 4]))))
    assert min(ratios) < 1.3 and max(ratios) > 2.1  # 1.69 where the saturation stays


def test_blur_smooths_and_noise_has_its_deviation() -> None:
    edge = torch.zeros(3, *SIZE, dtype=torch.uint8)
    edge[:, :, 24:] = 200
    blurred = replace(PLAIN, blur=1)(edge, None, seed=4)[0]
    assert ((blurred > 0) & (blurred < 200)).any()
    assert torch.equal(replace(PLAIN, blur=0)(edge, None, seed=4)[0], edge)
    gray = torch.full((3, 96, 192), 128, dtype=torch.uint8)
    augment = replace(PLAIN, size=(96, 192), noise=0.05)
    deviations = [augment(gray, None, seed)[0].float().std() for seed in range(30)]
    assert 0.8 * 12.75 < max(deviations) <= 1.02 * 12.75 and min(deviations) < 3  # 0.05 · 255 at most


def test_one_seed_one_result_whatever_the_global_generator() -> None:
    image, labels = scene()
    augment = Augmentation(SIZE, blur=1)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = augment(image, labels, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again = augment(image, labels, seed=7)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], augment(image, labels, seed=8)[0])


def test_inputs_are_not_changed() -> None:
    image, labels = scene()
    before = image.clone(), labels.clone()
    Augmentation(SIZE)(image, labels, seed=0)
    assert torch.equal(image, before[0]) and torch.equal(labels, before[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (0.0, 1.0)}, "scale is"),
        ({"scale": (2.0, 1.0)}, "scale is"),
        ({"flip": 1.5}, "probabilities"),
        ({"blur": -0.1}, "probabilities"),
        ({"noise": -1}, "negative"),
        ({"strength": -1}, "negative"),
        ({"size": (0, 10)}, "negative"),
    ],
)
def test_wrong_settings_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **options)


def test_normalise_by_hand_and_back() -> None:
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    assert torch.allclose(normalise(red).flatten(), torch.tensor(expected), atol=1e-5)
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(2, 3, -1, -1)
    assert normalise(every).dtype == torch.float32 and normalise(every).shape == (2, 3, 16, 16)
    assert torch.equal(denormalise(normalise(every)), every)
    assert torch.equal(every[0, 0].flatten(), torch.arange(256, dtype=torch.uint8))  # not in place


def random_bytes(height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sigma", [0.1, 0.6, 1.1])
def test_the_blur_of_a_large_image_is_torchvisions(sigma) -> None:
    image = random_bytes(256, 300)
    ours, theirs = transforms.gaussian_blur(image.float(), sigma), F.gaussian_blur(image, [5, 5], [sigma] * 2)
    assert (ours - theirs).abs().max() <= 1 and (ours != theirs).float().mean() < 1e-3
    part = image[:, :64, :64]
    assert torch.equal(
        transforms.gaussian_blur(part.float(), sigma), F.gaussian_blur(part, [5, 5], [sigma] * 2).float()
    )


@pytest.mark.parametrize("factors", [(0.6, 1.4, 1.3), (1.37, 0.61, 0.7), (1.0, 1.0, 1.0), (2.5, 0.05, 4.0)])
def test_colour_jitter_is_that_of_torchvision_to_the_byte(factors) -> None:
    image, (brightness, contrast, saturation) = random_bytes(50, 70), factors
    theirs = F.adjust_contrast(F.adjust_brightness(image, brightness), contrast)
    theirs = F.adjust_saturation(theirs, saturation)
    assert torch.equal(transforms.colour_jitter(image.float(), *factors), theirs.float())
