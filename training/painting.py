"""Trains the painter's convolutions: from the denoiser's rough pictures to fine ones."""

import torch
from torch import Tensor
from torch.nn import functional

from project.models.nets.denoiser import Denoiser
from project.models.nets.latent_decoder import LatentDecoder
from project.models.nets.prompt_encoder import PromptEncoder
from training.basis import Basis
from training.diffusion import Bank
from training.pace import Pace
from training.scenes import MIRRORED, composed, grounds

STEPS, BATCH = 1200, 64
RATE, WARM = 2e-3, 100
MAX_TIME = 0.7  # share of noise that the denoiser took away; more leaves nothing to paint


def train(
    basis: Basis,
    layers: Tensor,
    bank: Bank,
    nets: tuple[PromptEncoder, Denoiser],
    steps: int,
    random: torch.Generator,
) -> LatentDecoder:
    """layers: (things, MIRRORED, 4, SIDE, SIDE), what it is to paint."""
    encoder, denoiser = nets
    painter = LatentDecoder()
    painter.basis.copy_(basis.basis)
    painter.mean.copy_(basis.mean)
    painter.to(memory_format=torch.channels_last)
    pace = Pace("painter", painter, steps, RATE, WARM)
    for _ in pace:
        tokens, things, colours = bank.some(BATCH, random)
        mirrored = torch.randint(MIRRORED, (BATCH,), generator=random)
        ground = grounds(colours, random)
        with torch.no_grad():
            clean = basis.of(things, mirrored, ground)
            time = torch.rand(BATCH, generator=random) * MAX_TIME
            noise = torch.randn(clean.shape, generator=random)
            noisy = (1 - time[:, None]) * clean + time[:, None] * noise
            rough = painter.rough(denoiser(noisy, time, encoder(tokens)))
        with torch.autocast("cpu", torch.bfloat16):
            painted = painter(rough.contiguous(memory_format=torch.channels_last))
        fine = composed(layers[things, mirrored], ground)
        pace.learn(functional.l1_loss(painted.float(), fine))
    return painter.eval()
