"""The page's files: a browser may keep them, but asks before it uses them."""

import pytest


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/static/style.css"])
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
    policy = client.get("/", headers={"accept": "text/html"}).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert client.get("/").json() == {"status": "ok"}
