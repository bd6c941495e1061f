"""The product without observability, which its benchmark stands on, can still be made and asked."""

import importlib

from starlette.testclient import TestClient

from tests.conftest import picture


def test_it_predicts(monkeypatch, tmp_path):
    """It is put together by hand from the product's parts, and would not follow their changes."""
    monkeypatch.setenv("MODELS", "classification")
    monkeypatch.setenv("JOBS", "off")
    monkeypatch.setenv("INFERENCE_BACKEND", "torch")
    monkeypatch.setenv("CACHE_DIR", str(tmp_path))
    app = importlib.import_module("benchmarks.bare_app").app
    with TestClient(app) as client:
        answer = client.post(
            "/v1/models/classification/predictions",
            content=picture(),
            headers={"content-type": "image/png"},
        )
    assert answer.status_code == 200
    assert len(answer.json()["classes"]) == 5
