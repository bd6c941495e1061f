"""The three nets of MTCNN: Zhang et al. 2016, Joint Face Detection and Alignment (1604.02878).

P-Net looks at every place of a picture at once, R-Net and O-Net at one square crop each. Every net
returns one tensor: along its channels the probability of a face, four offsets of the box as shares
of its side (left, top, right, bottom), and, of O-Net, five points as shares of the sides of the
crop (x of all, then y of all). The layers are named as in the published weights.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

from project.models.nets.normalization import FromPixels

MEAN, SCALE = 127.5, 128.0


class PNet(nn.Module):
    """From (n, 3, h, w) to (n, 5, ⌈(h-2)/2⌉-4, …): a window of 12 pixels at each second pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 10, 3),
                prelu1=nn.PReLU(10),
                pool1=nn.MaxPool2d(2, 2, ceil_mode=True),
                conv2=nn.Conv2d(10, 16, 3),
                prelu2=nn.PReLU(16),
                conv3=nn.Conv2d(16, 32, 3),
                prelu3=nn.PReLU(32),
            )
        )
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, 3, h, w), normalised. Returns (n, 5, h', w')."""
        features = self.features(images)
        face = self.conv4_1(features).softmax(dim=1)[:, 1:]
        return torch.cat([face, self.conv4_2(features)], dim=1)


class RNet(nn.Module):
    """From (n, 3, 24, 24) to (n, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 28, 3),
                prelu1=nn.PReLU(28),
                pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
                conv2=nn.Conv2d(28, 48, 3),
                prelu2=nn.PReLU(48),
                pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
                conv3=nn.Conv2d(48, 64, 2),
                prelu3=nn.PReLU(64),
            )
        )
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, 3, 24, 24), normalised. Returns (n, 5)."""
        hidden = self.prelu4(self.dense4(_flat(self.features(images))))
        face = self.dense5_1(hidden).softmax(dim=1)[:, 1:]
        return torch.cat([face, self.dense5_2(hidden)], dim=1)


class ONet(nn.Module):
    """From (n, 3, 48, 48) to (n, 15)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 32, 3),
                prelu1=nn.PReLU(32),
                pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
                conv2=nn.Conv2d(32, 64, 3),
                prelu2=nn.PReLU(64),
                pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
                conv3=nn.Conv2d(64, 64, 3),
                prelu3=nn.PReLU(64),
                pool3=nn.MaxPool2d(2, 2, ceil_mode=True),
                conv4=nn.Conv2d(64, 128, 2),
                prelu4=nn.PReLU(128),
            )
        )
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, 3, 48, 48), normalised. Returns (n, 15)."""
        hidden = self.prelu5(self.dense5(_flat(self.features(images))))
        face = self.dense6_1(hidden).softmax(dim=1)[:, 1:]
        return torch.cat([face, self.dense6_2(hidden), self.dense6_3(hidden)], dim=1)


def _flat(features: Tensor) -> Tensor:
    """(n, c, h, w) → (n, w h c): the weights come from Caffe's MATLAB, which runs down columns."""
    return features.permute(0, 3, 2, 1).flatten(1)


def load_published(net: nn.Module, path: Path) -> FromPixels:
    """A net with the weights of a published state dict; it takes (n, h, w, 3) uint8, RGB."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    own = {name.removeprefix("features."): name for name in net.state_dict()}
    net.load_state_dict({own.get(name, name): value for name, value in state.items()})
    return FromPixels(net.eval(), MEAN, SCALE)
