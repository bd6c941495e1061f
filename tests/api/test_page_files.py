"""The page's files: a browser may keep them, but asks before it uses them."""

import pytest

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
    assert headers["permissions-policy"] == "camera=(self), microphone=()"
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "img-src 'self' blob: data:;" in policy
    assert "unsafe" not in policy
    assert client.get("/").json() == {"status": "ok"}


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
