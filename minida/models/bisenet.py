"""BiSeNet: two paths, one fusion, in the form of the report (Yu et al., ECCV 2018).

A *spatial path* keeps detail at 1/8 of the image; a *context path* (a ResNet) sees far at 1/16 and 1/32.
Attention refinement weighs the context features channel by channel, feature fusion joins both paths.

Departures from the paper, all as the report's network: fusion outputs `num_classes` channels, the 1/16 and
1/32 branches are concatenated instead of summed, the auxiliary heads are single 1x1 convolutions.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from minida.types import SegmentationOutput


def conv_bn_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution without bias (the batch norm has one), batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def upsample(logits: Tensor, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bilinear upsampling as two matrix products, A_h X A_w^T: (B, C, h, w) -> (B, C, height, width) of `dtype`.

    The same values as F.interpolate(mode="bilinear"); its gradient is a matrix product too, which is several
    times faster on a CPU and, unlike the scatter of F.interpolate on a GPU, gives the same sums every run.
    """

    def weights(size: int, new_size: int) -> Tensor:  # (new_size, size): row i makes output i
        identity = torch.eye(size, device=logits.device)[None]
        return F.interpolate(identity, size=new_size, mode="linear", align_corners=False)[0].T.to(dtype)

    with torch.autocast(logits.device.type, enabled=False):
        rows, columns = weights(logits.shape[2], height), weights(logits.shape[3], width)
        return rows @ (logits.to(dtype).contiguous() @ columns.T)


def decided(scores: Tensor, dim: int) -> Tensor:
    """The classes of the largest scores along `dim`. Raises: ValueError where a pixel's are no numbers."""
    best = scores.max(dim)  # on a CPU several times as fast as argmax
    if not best.values.isfinite().all():
        raise ValueError(
            "the network's scores are no numbers, so its weights are damaged; train again or copy it again"
        )
    return best.indices


class SpatialPath(nn.Sequential):
    """Three stride-2 convolutions: (B, 3, H, W) -> (B, 4 * width, H/8, W/8). Paper, section 3.1."""

    def __init__(self, width: int = 64):
        super().__init__(
            conv_bn_relu(3, width, 2), conv_bn_relu(width, 2 * width, 2), conv_bn_relu(2 * width, 4 * width, 2)
        )


class SlimResNet(nn.Module):
    """A ResNet with one basic block a stage and narrow stages, for laptops. Same strides as ResNet-18."""

    def __init__(self, widths: tuple[int, int, int, int]):
        super().__init__()
        self.stem = nn.Sequential(conv_bn_relu(3, widths[0], 2), conv_bn_relu(widths[0], widths[0], 2))
        stages, inputs = [], widths[0]
        for number, width in enumerate(widths):
            stride = 1 if number == 0 else 2
            skip = None
            if stride != 1 or inputs != width:
                skip = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            stages.append(BasicBlock(inputs, width, stride, skip))
            inputs = width
        self.layer1, self.layer2, self.layer3, self.layer4 = stages


@dataclass(frozen=True)
class Backbone:
    """What BiSeNet must know of a context network."""

    width16: int  # channels at 1/16
    width32: int  # channels at 1/32
    spatial: int  # first width of the spatial path
    build: callable  # () -> network with stem parts and layer1 ... layer4


BACKBONES = {
    "resnet18": Backbone(256, 512, 64, lambda: torchvision.models.resnet18(weights=None)),
    "resnet101": Backbone(1024, 2048, 64, lambda: torchvision.models.resnet101(weights=None)),
    "slim": Backbone(64, 128, 8, lambda: SlimResNet((16, 32, 64, 128))),
}


class ContextPath(nn.Module):
    """A classifier's body: (B, 3, H, W) -> features at 1/16, features at 1/32, their global average.

    Paper, section 3.2. The average ("tail") is (B, C32, 1, 1).
    """

    def __init__(self, backbone: Backbone, weights: str | None):
        super().__init__()
        network = backbone.build()
        if weights is not None:
            load_body(network, weights)
        if isinstance(network, torchvision.models.ResNet):
            self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        else:
            self.stem = network.stem
        self.layer1, self.layer2 = network.layer1, network.layer2
        self.layer3, self.layer4 = network.layer3, network.layer4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.layer2(self.layer1(self.stem(x)))  # (B, C8, H/8, W/8)
        at16 = self.layer3(x)  # (B, C16, H/16, W/16)
        at32 = self.layer4(at16)  # (B, C32, H/32, W/32)
        return at16, at32, at32.mean((2, 3), keepdim=True)


class AttentionRefinement(nn.Module):
    """ARM: every channel weighted by a gate computed from its global average. Paper, figure 2(b)."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        average = x.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * torch.sigmoid(self.norm(self.conv(average)))


class FeatureFusion(nn.Module):
    """FFM: convolution over both paths' features, then a squeeze that reweights it. Paper, figure 2(c)."""

    def __init__(self, inputs: int, num_classes: int):
        super().__init__()
        self.conv = conv_bn_relu(inputs, num_classes)
        self.squeeze = nn.Sequential(
            nn.Conv2d(num_classes, num_classes, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(num_classes, num_classes, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        fused = self.conv(features)  # (B, C, H/8, W/8)
        return fused + fused * self.squeeze(fused.mean((2, 3), keepdim=True))


class BiSeNet(nn.Module):
    """Bilateral segmentation network.

    Args:
        num_classes: C, channels of the logits.
        backbone: "resnet18", "resnet101" or "slim".
        weights: None, "imagenet" (through torchvision), or the path of a ResNet state dict.
        embedding: width E of a representation head on the concatenated features (U2PL), or None.

    Raises:
        ValueError: unknown backbone; a batch of one in training mode (its batch norms over 1x1 maps have
            one value a channel); an input that is not (B, 3, H, W).
    """

    logits_type = torch.float32  # minida.export changes it: most of a slim network's time is logits at full size

    def __init__(
        self,
        num_classes: int = 19,
        backbone: str = "resnet18",
        weights: str | None = None,
        embedding: int | None = None,
    ):
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"backbone {backbone!r} is unknown; choose one of: {', '.join(BACKBONES)}")
        body = BACKBONES[backbone]
        self.num_classes, self.backbone, self.embedding_width = num_classes, backbone, embedding
        self.spatial_path = SpatialPath(body.spatial)
        self.context_path = ContextPath(body, weights)
        self.refine16 = AttentionRefinement(body.width16)
        self.refine32 = AttentionRefinement(body.width32)
        joined = 4 * body.spatial + body.width16 + body.width32
        self.fusion = FeatureFusion(joined, num_classes)
        self.head = nn.Conv2d(num_classes, num_classes, 1)
        self.aux16 = nn.Conv2d(body.width16, num_classes, 1)
        self.aux32 = nn.Conv2d(body.width32, num_classes, 1)
        self.embedding = None
        if embedding is not None:
            self.embedding = nn.Sequential(conv_bn_relu(joined, embedding), nn.Conv2d(embedding, embedding, 1))

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Spatial features (1/8) and both refined context branches (1/16, 1/32)."""
        at16, at32, tail = self.context_path(x)
        return self.spatial_path(x), self.refine16(at16), self.refine32(at32) * tail

    def forward(self, x: Tensor) -> SegmentationOutput:
        """(B, 3, H, W) normalised image -> logits (B, C, H, W); auxiliary logits in training mode only."""
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"BiSeNet expects a batch of images (B, 3, H, W), got {tuple(x.shape)}")
        if self.training and len(x) == 1:
            raise ValueError("BiSeNet cannot train on a batch of 1 (batch norm over 1x1 maps); use 2 or more")
        spatial, at16, at32 = self.features(x)

        def to_eighth(features: Tensor) -> Tensor:
            return F.interpolate(features, size=spatial.shape[2:], mode="bilinear", align_corners=False)

        def to_full(logits: Tensor) -> Tensor:
            return upsample(logits, x.shape[2], x.shape[3], self.logits_type)

        joined = torch.cat((spatial, to_eighth(at16), to_eighth(at32)), dim=1)  # (B, 1024 for R18, H/8, W/8)
        # The paper's order is x8 upsampling, then this 1x1 convolution. Bilinear weights sum to one, so the
        # two commute exactly, and at 1/8 the convolution costs 64 times less.
        logits = to_full(self.head(self.fusion(joined)))
        aux = (to_full(self.aux16(at16)), to_full(self.aux32(at32))) if self.training else ()
        embedding = None if self.embedding is None else self.embedding(joined)
        return SegmentationOutput(logits, aux, embedding)

    @torch.no_grad()
    def probs(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> softmax (B, C, H, W) in evaluation mode, without gradient; the mode is restored."""
        training = self.training
        self.eval()
        try:
            return self(x).logits.float().softmax(dim=1)
        finally:
            self.train(training)


def load_body(network: nn.Module, weights: str) -> None:
    """Put classification weights into a context network: "imagenet" (torchvision's), or a state dict's file.

    Raises:
        ValueError: no such weights for this network, nothing to download them with, or a file that does not fit.
    """
    if weights == "imagenet":
        if not isinstance(network, torchvision.models.ResNet):
            raise ValueError("weights='imagenet' needs backbone resnet18 or resnet101; slim has none")
        name = "ResNet18_Weights" if len(network.layer3) == 2 else "ResNet101_Weights"
        try:
            state = getattr(torchvision.models, name).IMAGENET1K_V1.get_state_dict(check_hash=True)
        except (OSError, RuntimeError) as error:  # no network; a download cut short
            wanted = f"fetch {getattr(torchvision.models, name).IMAGENET1K_V1.url} elsewhere and give weights=FILE"
            raise ValueError(f"ImageNet weights could not be downloaded ({error}); {wanted}") from error
    elif Path(weights).is_file():
        state = _read_state(weights)
    else:
        raise ValueError(f"weights {weights!r}: no such file; give 'imagenet', a state dict's path or None")
    expected = {key: value.shape for key, value in network.state_dict().items() if not key.startswith("fc.")}
    given = {key: value.shape for key, value in state.items() if not key.startswith("fc.")}
    old = {key for key in expected.keys() - given.keys() if key.endswith("num_batches_tracked")}  # of torch < 0.4.1
    wrong = sorted(key for key in (expected.keys() | given.keys()) - old if expected.get(key) != given.get(key))
    if wrong:
        raise ValueError(f"weights {weights!r} do not fit this backbone: {len(wrong)} keys differ, e.g. {wrong[0]}")
    if broken := [key for key in given if not state[key].isfinite().all()]:
        raise ValueError(f"weights {weights!r} hold what is no number, e.g. in {broken[0]}; copy the file again")
    network.load_state_dict({key: state[key] for key in given}, strict=False)


def _read_state(path: str) -> dict[str, Tensor]:
    """The state dict in a file that torch.save wrote. Raises ValueError for any other file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"weights {path!r} cannot be read ({reason}); expected a state dict of torch.save") from None
    if not (isinstance(state, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())):
        raise ValueError(f"weights {path!r} hold no state dict; expected torch.save(network.state_dict(), FILE)")
    return state
