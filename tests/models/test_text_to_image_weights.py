"""The weights of the text-to-image demo: small, whole, and no others are taken for them."""

import numpy as np
import pytest

import project.models.text_to_image_parts.demo
from project.errors import ConfigurationError
from project.models.text_to_image_parts.demo import WEIGHTS, Demo


@pytest.mark.parametrize(
    "fault", ["missing", "no archive", "a key less", "another shape", "pickle"]
)
def test_weights_that_are_not_its_own_keep_it_from_loading(tmp_path, fault):
    """The operator reads how to restore them; a pickle is not opened."""
    path = tmp_path / "text_to_image.npz"
    with np.load(WEIGHTS) as file:
        arrays = dict(file)
    match fault:
        case "a key less":
            del arrays["encoder.norm.weight"]
        case "another shape":
            arrays["painter.mean"] = arrays["painter.mean"][1:]
        case "pickle":
            arrays["things"] = np.array([print], dtype=object)
    if fault == "no archive":
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    elif fault != "missing":
        np.savez(path, **arrays)
    with pytest.raises(ConfigurationError, match="restore it, or make it again"):
        Demo(path)


def test_the_weights_are_small_and_finite():
    """They are in git; a number that float16 cannot hold would have become infinite."""
    assert project.models.text_to_image_parts.demo.WEIGHTS.stat().st_size < 6_000_000
    with np.load(WEIGHTS) as file:
        assert all(np.isfinite(file[name]).all() for name in file if file[name].dtype.kind == "f")
