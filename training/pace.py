"""The training loop: an optimizer, its learning-rate schedule, and progress lines."""

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

LINES = 20  # that are printed of a training


class Pace:
    """Iterates over the steps, from 1; `learn` is called once in each."""

    def __init__(self, name: str, nets: nn.Module, steps: int, rate: float, warm: int) -> None:
        self._name, self._steps = name, steps
        self._parameters = [value for value in nets.parameters() if value.requires_grad]
        self._optimizer = torch.optim.AdamW(self._parameters, rate, betas=(0.9, 0.98))

        def share(step: int) -> float:
            return min((step + 1) / warm, (1 + math.cos(math.pi * step / steps)) / 2)

        self._rates = torch.optim.lr_scheduler.LambdaLR(self._optimizer, share)
        self._losses: list[float] = []

    def __iter__(self) -> Iterator[int]:
        """All steps; a line is printed LINES times."""
        started = time.perf_counter()
        every = max(1, self._steps // LINES)
        for step in range(1, self._steps + 1):
            yield step
            if step % every == 0:
                loss = sum(self._losses) / len(self._losses)
                spent = time.perf_counter() - started
                print(f"{self._name}: step {step}, loss {loss:.4f}, {spent:.0f} s", flush=True)
                self._losses.clear()

    def learn(self, loss: Tensor) -> None:
        """Take one optimizer step."""
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._rates.step()
        self._losses.append(loss.item())
