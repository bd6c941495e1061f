"""Trains the demo of text_to_image from Noto emoji: `python -m training.text_to_image`.

Writes the weights into project/models/files/, and beside them a JSON that says how often pairs of a
thing and a colour that training never showed come out right. `--measure` only measures.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from project.models.text_to_image_parts.demo import KINDS, WEIGHTS
from project.models.text_to_image_parts.tokenizer import Tokenizer
from training import diffusion, emoji, painting
from training.accuracy import measure
from training.basis import basis_of
from training.emoji_names import things
from training.prompts import Prompts
from training.scenes import SIDE, layers

CACHE = Path("var/training")
SEED = 0


def train(share: float) -> None:
    """Fetch, train and write. share: of the steps, less than 1 for a trial."""
    learned = things()
    pictures = emoji.read(emoji.fetch(CACHE), learned)
    emoji.write_sheet(pictures)
    vocabulary = Prompts(learned, SEED).words()
    words = Tokenizer([word for kind in KINDS for word in vocabulary[kind]])
    torch.manual_seed(SEED)
    random = torch.Generator().manual_seed(SEED)
    large = torch.from_numpy(layers(pictures, SIDE))
    small = nn.functional.avg_pool2d(large.flatten(0, 2), 2).unflatten(0, large.shape[:3])
    basis = basis_of(small)
    bank = diffusion.Bank(learned, words, SEED)
    nets = diffusion.train(basis, bank, words, round(share * diffusion.STEPS), random)
    painter = painting.train(basis, large, bank, nets, round(share * painting.STEPS), random)
    encoder, denoiser = nets
    trained = nn.ModuleDict({"encoder": encoder, "denoiser": denoiser, "painter": painter})
    arrays = {
        name: value.numpy().astype(np.float16) for name, value in trained.state_dict().items()
    }
    names = {"things": [thing.names[0] for thing in learned], **vocabulary}
    WEIGHTS.parent.mkdir(exist_ok=True)
    np.savez_compressed(WEIGHTS, **arrays, **{key: np.array(value) for key, value in names.items()})
    print(f"{WEIGHTS.name}: {WEIGHTS.stat().st_size} bytes")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure the weights that are there")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps, for a trial")
    parser.add_argument("--threads", type=int, default=2, help="one is best on a busy machine")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if not given.measure:
        train(given.share)
    measure(WEIGHTS.with_suffix(".json"))


if __name__ == "__main__":
    main()
