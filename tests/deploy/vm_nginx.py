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
from tests.deploy.vm_files import INSTANCES, NGINX
from tests.ops.tools import need

NAME = "vitrine.example.com"
MAIN = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  access_log off;
  include {folder}/vitrine.conf;
}}
"""


@dataclass
class Nginx:
    folder: Path
    http: int
    https: int

    def client(self) -> httpx2.Client:
        url, headers = f"https://127.0.0.1:{self.https}", {"Host": NAME}
        return httpx2.Client(base_url=url, headers=headers, verify=self.context(), timeout=30)

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "tls/fullchain.pem"))
        context.check_hostname = False
        return context

    def serving(self, number: int) -> Path:
        return self.folder / f"run/serving-{INSTANCES[number]}/yes"

    def access_log(self) -> list[dict[str, Any]]:
        lines = (self.folder / "vitrine.access.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def command(self, *words: str) -> list[str]:
        options = ["-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        return [need("nginx"), *options, *words]


def prepare(folder: Path, ports: Sequence[int], changes: Mapping[str, str] | None = None) -> Nginx:
    """Copy the shipped files with other paths and ports. changes: text to its replacement.

    Fails where a text to replace is missing.
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
    for shipped, port in zip(INSTANCES, ports, strict=True):
        upstream = upstream.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{port}")
    (folder / "upstream.conf").write_text(upstream)
    for number in range(len(INSTANCES)):
        nginx.serving(number).parent.mkdir(parents=True)
        nginx.serving(number).touch()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
    return nginx


def certificate(folder: Path) -> None:
    command = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={NAME}".split()
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run([need("openssl"), *command, *files], check=True, capture_output=True)


@contextmanager
def running(nginx: Nginx) -> Iterator[Nginx]:
    with (nginx.folder / "output").open("wb") as output:
        process = subprocess.Popen(nginx.command(), stdout=output, stderr=output)
    try:
        wait_until((nginx.folder / "nginx.pid").exists, "nginx has started", 10)
        yield nginx
    finally:
        process.terminate()
        process.wait(10)
