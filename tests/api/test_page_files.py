"""The page's files: a browser may keep them, but asks before it uses them."""

import pytest
from starlette.testclient import TestClient

from project.api.factory import create_app
from tests.conftest import make_settings
from tests.job_api import job_api, job_settings


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/static/base.css"])
def test_a_deploy_never_mixes_old_files_with_new_ones(client, path):
    """Each is asked for again, and a file that has not changed costs a 304."""
    answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"
    tag = answer.headers["etag"]
    if path != "/":
        again = client.get(path, headers={"if-none-match": tag})
        assert again.status_code == 304
        assert again.headers["cache-control"] == "no-cache"


def test_the_page_allows_nothing_from_elsewhere(client):
    """No script, no style and no frame but our own."""
    headers = client.get("/", headers={"accept": "text/html"}).headers
    policy = headers["content-security-policy"]
    assert_is_a_page(headers)
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "img-src 'self' blob: data:;" in policy
    assert "unsafe" not in policy
    assert client.get("/").json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/static/index.html", "/docs"])
def test_no_page_can_be_framed_by_another(client, path):
    """The page's file and the documentation too: whoever frames a page chooses what is clicked."""
    answer = client.get(path)
    assert answer.status_code == 200
    assert_is_a_page(answer.headers)
    scripts = answer.headers["content-security-policy"].partition("script-src")[2].split(";")[0]
    assert "unsafe" not in scripts


def assert_is_a_page(headers):
    """Its headers allow the camera, and keep other pages away from it."""
    assert headers["permissions-policy"] == "camera=(self), microphone=()"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_the_documentation_can_be_switched_off(shade):
    """Nothing of it is served, and no advice names it; everything else is."""
    app = create_app(make_settings(docs=False), [shade])
    with TestClient(app) as client:
        for path in ("/docs", "/openapi.json", "/docs/files/swagger-ui.css"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert "/docs" not in answer.json()["detail"]
        assert client.get("/v1/models").status_code == 200


@pytest.mark.anyio
async def test_the_page_may_show_pictures_of_the_bucket_that_holds_those_of_jobs(
    tmp_path, monkeypatch
):
    """The origin of a signed URL; nothing else of the bucket's cloud is allowed."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    settings = job_settings(tmp_path, storage_url="s3://pictures/jobs")
    async with job_api(settings, tmp_path) as api:
        headers = (await api.client.get("/", headers={"accept": "text/html"})).headers
    policy = headers["content-security-policy"]
    assert "img-src 'self' blob: data: http://127.0.0.1:9;" in policy
