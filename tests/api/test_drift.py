"""Drift from the outside: predictions go in, /metrics says how far they are from the usual."""

import io

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from project.api.factory import create_app
from project.inference.drift.baseline import path_of
from project.inference.drift.build import build_baseline
from project.inference.drift.features import features_of, measure_picture
from tests.conftest import make_settings
from tests.fakes import ShadeModel

PATH = "/v1/models/shade/predictions"
COUNT = 120


def pictures(low: int, high: int, count: int = COUNT) -> list[Image.Image]:
    """Plain ones between two shades, of some sizes."""
    dice = np.random.default_rng(3)
    return [
        Image.new("L", (int(dice.integers(20, 90)), 30), int(dice.integers(low, high))).convert(
            "RGB"
        )
        for _ in range(count)
    ]


@pytest.fixture
def folder(tmp_path):
    """With a baseline of light and dark pictures."""
    seen = [
        features_of(
            measure_picture(one),
            ("light" if one.getpixel((0, 0))[0] > 127 else "dark", 1.0),
        )
        for one in pictures(0, 256)
    ]
    path_of("shade", tmp_path).write_text(build_baseline("shade", "1", seen).model_dump_json())
    return tmp_path


def serve(folder, **changes) -> TestClient:
    settings = make_settings(drift_baseline_dir=folder, cache_dir=folder / "cache", **changes)
    return TestClient(create_app(settings, [ShadeModel()]))


def send(client: TestClient, images: list[Image.Image]) -> None:
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        answer = client.post(PATH, content=buffer.getvalue(), headers={"content-type": "image/png"})
        assert answer.status_code == 200


def drift(client: TestClient) -> dict[str, float]:
    """Feature → PSI, and `samples`."""
    found = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        if family.name in {"drift_psi", "drift_window_samples"}:
            for sample in family.samples:
                assert sample.labels["model"] == "shade"
                found[sample.labels.get("feature", "samples")] = sample.value
    return found


def test_the_usual_is_no_drift_and_the_dark_is(folder):
    """Brightness and label tell of it; size does not."""
    with serve(folder) as client:
        assert drift(client) == {"samples": 0}
        send(client, pictures(0, 256))
        seen = drift(client)
        assert seen.pop("samples") == COUNT
        assert seen == pytest.approx(dict.fromkeys(seen, 0), abs=1e-9)
        assert len(seen) == 5
        send(client, pictures(0, 20, 3 * COUNT))
        seen = drift(client)
        assert seen["samples"] == 4 * COUNT
        assert {name for name, psi in seen.items() if psi > 0.25} == {
            *("brightness", "label", "samples")
        }


def test_what_is_answered_from_the_cache_is_not_counted(folder):
    """Its picture was not decoded: nobody knows how it looks."""
    with serve(folder, result_cache="memory") as client:
        (image,) = pictures(0, 256, 1)
        send(client, [image] * 3)
        assert drift(client)["samples"] == 1


@pytest.mark.parametrize("content", ["{", '{"model": "shade"}'])
def test_with_a_damaged_baseline_predictions_go_on(folder, content):
    """There is no drift to be seen, and that is all."""
    path_of("shade", folder).write_text(content)
    with serve(folder) as client:
        send(client, pictures(0, 256, 3))
        assert client.get("/ready").status_code == 200
        assert drift(client) == {}
