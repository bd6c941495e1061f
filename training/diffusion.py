"""Trains the prompt encoder and the denoiser together."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from project.models.nets.denoiser import Denoiser
from project.models.nets.latent_decoder import NUMBERS
from project.models.nets.prompt_encoder import PromptEncoder
from project.models.text_to_image_parts.tokenizer import LENGTH, PADDING, Tokenizer
from training.basis import Basis
from training.emoji_names import Thing
from training.pace import Pace
from training.prompts import Prompts
from training.scenes import MIRRORED, grounds

STEPS, PROMPTS, NOISES = 8_000, 128, 4  # each prompt of a batch is seen with some noises at once
BANK = 100_000  # prompts, drawn once
RATE, WARM = 2e-3, 200
EMPTY = 0.12  # share of prompts that are left out, so that the nets learn what no prompt says
TIME_MEAN, TIME_SPREAD = 0.5, 1.2  # of the noise's share, before a sigmoid
PURE = 8  # one of so many sees noise alone, as the first step of sampling does
MIN_TIME = 0.3  # at less noise than this, errors count no more than here
KEPT = 0.999  # of the average of the weights, in each step


class Bank:
    """Prompts of the training pairs as tokens, with the things and colours that they name."""

    def __init__(self, things: list[Thing], words: Tokenizer, seed: int) -> None:
        prompts = Prompts(things, seed)
        drawn = [prompts.draw() for _ in range(BANK)]
        self.tokens = torch.tensor([words.tokens(text) for text, _, _ in drawn])
        self.things = torch.tensor([thing for _, thing, _ in drawn])
        self.colours = torch.tensor([colour for _, _, colour in drawn])

    def some(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (count, LENGTH), things (count,) and colours (count,)."""
        chosen = torch.randint(BANK, (count,), generator=random)
        return self.tokens[chosen].clone(), self.things[chosen], self.colours[chosen]


def train(
    basis: Basis, bank: Bank, words: Tokenizer, steps: int, random: torch.Generator
) -> tuple[PromptEncoder, Denoiser]:
    """The average of the nets over the last steps."""
    encoder, denoiser = PromptEncoder(len(words), LENGTH), Denoiser(NUMBERS)
    nets = nn.ModuleList([encoder, denoiser])
    average = AveragedModel(nets, multi_avg_fn=get_ema_multi_avg_fn(KEPT))
    pace = Pace("denoiser", nets, steps, RATE, WARM)
    for _ in pace:
        tokens, things, colours = bank.some(PROMPTS, random)
        tokens[torch.rand(PROMPTS, generator=random) < EMPTY, 1:] = PADDING
        things, colours = things.repeat(NOISES), colours.repeat(NOISES)
        mirrored = torch.randint(MIRRORED, things.shape, generator=random)
        clean = basis.of(things, mirrored, grounds(colours, random))
        prompt = encoder(tokens).repeat(NOISES, 1)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(denoiser, clean, prompt, basis.worth, random)
        pace.learn(loss)
        average.update_parameters(nets)
    encoder, denoiser = average.module
    return encoder.eval(), denoiser.eval()


def loss_of(
    denoiser: Denoiser, clean: Tensor, prompt: Tensor, worth: Tensor, random: torch.Generator
) -> Tensor:
    """Squared error in pixels, more where there is less noise. clean: (n, NUMBERS)."""
    spread = torch.randn(len(clean), generator=random) * TIME_SPREAD + TIME_MEAN
    time = torch.sigmoid(spread)
    time[::PURE] = 1
    noise = torch.randn(clean.shape, generator=random)
    noisy = (1 - time[:, None]) * clean + time[:, None] * noise
    errors = (denoiser(noisy, time, prompt).float() - clean).square() * worth
    return (errors.mean(1) / time.clamp(min=MIN_TIME).square()).mean()
