"""A model with a small net, for what is done to nets."""

from typing import Any

import numpy as np
from PIL import Image

from project.models.base import Array, BatchModel, ImageInput, InvalidInput
from tests.fakes import ShadeModel, ShadeParams


class NetModel(ShadeModel):
    """A model with a net of its own, as authors write it. source: a number to add to its scores."""

    def build_net(self) -> Any:
        """From (n, 1, h, w) to (n, 5): a convolution, normalisation, a choice of classes."""
        import torch  # noqa: PLC0415 - as authors do

        class Small(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                torch.manual_seed(3)
                body = torch.nn.Conv2d(1, 8, 3, 2), torch.nn.BatchNorm2d(8), torch.nn.ReLU6()
                self.body = torch.nn.Sequential(*body)
                self.head = torch.nn.Linear(8, 5)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                scores: torch.Tensor = self.head(self.body(x).mean(dim=(2, 3)))
                return scores

        net = Small().eval()
        if self.source:
            with torch.no_grad():
                net.head.bias.add_(float(self.source))
        return net

    def preprocess(self, inputs: ImageInput, params: ShadeParams) -> Array:
        return super().preprocess(inputs, params)[None] / 255  # (1, 8, 8)

    def forward(self, batch: Array) -> Any:
        return list(self.net(batch))


class Choosy(NetModel):
    """Refuses drawn pictures."""

    def preprocess(self, inputs: ImageInput, params: ShadeParams) -> Array:
        raise InvalidInput("no face in this picture")


class Wordy(NetModel):
    """Gives dictionaries where others give rows of numbers."""

    def forward(self, batch: Array) -> Any:
        return [{"scores": row} for row in self.net(batch)]


class Turned(NetModel):
    """Hands its net another layout than preprocess gave."""

    def preprocess(self, inputs: ImageInput, params: ShadeParams) -> Array:
        return super().preprocess(inputs, params).transpose(1, 2, 0)  # (8, 8, 1)

    def forward(self, batch: Array) -> Any:
        return super().forward(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))


class Forked(NetModel):
    """A net whose outputs are two: nothing can serve it."""

    def build_net(self) -> Any:
        import torch  # noqa: PLC0415 - as authors do

        class Two(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                return x, x

        return Two()


class Cascade(NetModel):
    """Two nets: one of pictures of any size, and the one of NetModel. Only f32 will do."""

    precisions = ("f32",)
    build_net = BatchModel.build_net

    def build_nets(self) -> Any:
        import torch  # noqa: PLC0415 - as authors do

        torch.manual_seed(4)
        return {"map": torch.nn.Conv2d(1, 3, 3).eval(), "small": super().build_net()}

    def net_examples(self) -> Any:
        random = np.random.default_rng(6)
        shapes = {"map": [(2, 1, 8, 12), (1, 1, 10, 9)], "small": [(2, 1, 8, 8)]}
        return {
            name: [random.random(shape, dtype=np.float32) for shape in given]
            for name, given in shapes.items()
        }

    def forward(self, batch: Array) -> Any:
        return list(self.nets["small"](self.nets["map"](np.pad(batch, 1))[:, :1]))


def batch(count: int) -> Array:
    return np.random.default_rng(5).random((count, 1, 8, 8), dtype=np.float32)


def predicted(model: BatchModel[Any, Any, Any], image: Image.Image, **params: Any) -> Any:
    """What a model answers for one picture."""
    inputs, chosen = model.inputs(image=image), model.params(**params)
    (output,) = model.forward(model.preprocess(inputs, chosen)[np.newaxis])
    return model.postprocess(output, inputs, chosen)
