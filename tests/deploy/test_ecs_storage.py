"""The storage takes the role of a task, as ECS hands it out."""

import asyncio
import http.server
import json
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from project.storage.cloud import CloudStorage
from tests.deploy.ecs import containers, environment, service

ROLE = {
    "AccessKeyId": "AKIDTASK",
    "SecretAccessKey": "secret",
    "Token": "token-of-the-role",
    "Expiration": "2099-01-01T00:00:00Z",
}


@contextmanager
def clouds(seen):
    """ECS' address for credentials, and a bucket, in one server. seen: headers by path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer(json.dumps(ROLE).encode())

        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(b"")

        def _answer(self, body):
            seen[self.path] = dict(self.headers)
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_files_are_put_and_signed_with_the_tasks_role(tmp_path, monkeypatch):
    """No key stands in the environment; the region is the one that the template gives."""
    given = environment(containers(service(), "ApiTask")["api"])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("AWS_REGION", given["AWS_REGION"])
    token = tmp_path / "token"
    token.write_text("of the container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
    seen = {}
    with clouds(seen) as url:
        # On Fargate the same comes from 169.254.170.2, by the variable with RELATIVE in its name.
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/role")
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        storage = CloudStorage(given["STORAGE_URL"], 900)
        asyncio.run(storage.put("jobs/1", b"a picture", "image/png"))
        address = asyncio.run(storage.url("jobs/1", "image/png", "1.png"))
    bucket = given["STORAGE_URL"].removeprefix("s3://")
    signature = seen[f"/{bucket}/jobs/1"]
    assert f"Credential={ROLE['AccessKeyId']}/" in signature["authorization"]
    assert f"/{given['AWS_REGION']}/s3/" in signature["authorization"]
    assert signature["x-amz-security-token"] == ROLE["Token"]
    assert parse_qs(urlsplit(address).query)["X-Amz-Security-Token"] == [ROLE["Token"]]
