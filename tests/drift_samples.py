"""Features of predictions of the usual kind, for baselines and for what is compared with them."""

from typing import Any

import numpy as np

MODEL = "shade"


def predictions(count: int = 1000, seed: int = 1, **changes: Any) -> list[dict[str, Any]]:
    """The features of so many predictions, of the usual kind but for these changes."""
    dice = np.random.default_rng(seed)
    return [
        {
            "brightness": dice.normal(120, 20),
            "contrast": dice.uniform(20, 80),
            "pixels": 640 * 480,
            "label": dice.choice(["cat", "dog", "rare"], p=[0.6, 0.398, 0.002]),
            "confidence": dice.beta(5, 1),
        }
        | changes
        for _ in range(count)
    ]
