"""A real nginx with the configuration of deploy/vm, on free ports of loopback."""

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from drills.server import free_port
from drills.waiting import wait_until
from tests.deploy.vm_files import NGINX
from tests.ops.tools import need

NAME = "vitrine.example.com"
SHIPPED = ("8001", "8002")
MAIN = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  access_log off;
  include {folder}/vitrine.conf;
}}
"""


@dataclass
class Nginx:
    """folder: its prefix. http, https: where it listens."""

    folder: Path
    http: int
    https: int

    def client(self) -> httpx2.Client:
        """A client that knows its certificate."""
        return httpx2.Client(
            base_url=f"https://127.0.0.1:{self.https}",
            headers={"Host": NAME},
            verify=self.context(),
            timeout=30,
        )

    def context(self) -> ssl.SSLContext:
        """TLS with its certificate, whatever the address."""
        context = ssl.create_default_context(cafile=str(self.folder / "tls/fullchain.pem"))
        context.check_hostname = False
        return context

    def serving(self, number: int) -> Path:
        """The file that says that the first or the second instance serves."""
        return self.folder / f"run/serving-{SHIPPED[number]}/yes"

    def access_log(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        lines = (self.folder / "vitrine.access.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def command(self, *words: str) -> list[str]:
        """How it is called."""
        return [
            need("nginx"),
            "-p",
            str(self.folder),
            "-c",
            str(self.folder / "nginx.conf"),
            *words,
        ]


def prepared(folder: Path, ports: Sequence[int], changes: Mapping[str, str] | None = None) -> Nginx:
    """The shipped files with other paths and ports. changes: text that is put in place of text.

    Fails where a text that is to be replaced is not there.
    """
    shutil.copytree(NGINX, folder, dirs_exist_ok=True)
    (folder / "tls").mkdir()
    certificate(folder / "tls")
    nginx = Nginx(folder, free_port(), free_port())
    text = (NGINX / "vitrine.conf").read_text()
    paths = {
        "/etc/nginx/vitrine/": f"{folder}/",
        "/etc/vitrine/tls/": f"{folder}/tls/",
        "/etc/vitrine/nginx/": f"{folder}/local/",
        "/var/log/nginx/": f"{folder}/",
        "/var/www/vitrine": f"{folder}/www",
        "/run/vitrine/": f"{folder}/run/",
        "listen 80;": f"listen 127.0.0.1:{nginx.http};",
        "listen 443 ssl;": f"listen 127.0.0.1:{nginx.https} ssl;",
        "listen [::]:80;": "",
        "listen [::]:443 ssl;": "",
    }
    for old, new in {**paths, **(changes or {})}.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "vitrine.conf").write_text(text)
    upstream = (NGINX / "upstream.conf").read_text()
    for shipped, port in zip(SHIPPED, ports, strict=True):
        upstream = upstream.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{port}")
    (folder / "upstream.conf").write_text(upstream)
    for number in range(len(SHIPPED)):
        nginx.serving(number).parent.mkdir(parents=True)
        nginx.serving(number).touch()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
    return nginx


def certificate(folder: Path) -> None:
    """A pair of files as install.sh makes it."""
    command = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={NAME}",
    ]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run([need("openssl"), *command, *files], check=True, capture_output=True)


@contextmanager
def running(nginx: Nginx) -> Iterator[Nginx]:
    """It serves for the length of the body."""
    with (nginx.folder / "output").open("wb") as output:
        process = subprocess.Popen(nginx.command(), stdout=output, stderr=output)
    try:
        wait_until((nginx.folder / "nginx.pid").exists, "nginx has started", 10)
        yield nginx
    finally:
        process.terminate()
        process.wait(10)
