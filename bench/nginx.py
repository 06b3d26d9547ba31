"""nginx for the bench: the upstream, the bare proxy, the server of files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import serving
from tests.running import free_port

_CONFIG = """
{user}
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 8192;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_max_body_size 64m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        {server}
    }}
}}
"""

_LIMITED_PROXY_HTTP = """
    limit_req_zone $http_x_forwarded_for zone=callers:10m rate=100000r/s;
    upstream behind {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
"""
_LIMITED_PROXY = """
        access_log {folder}/access.log;
        location / {
            limit_req zone=callers burst=100000 nodelay;
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
"""


def nginx_path() -> str:
    """Where the program is. Raises FileNotFoundError when it is not installed."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise FileNotFoundError("nginx is not installed")
    return found


@contextmanager
def nginx(folder: Path, server: str, http: str = "") -> Iterator[tuple[int, int]]:
    """nginx with these lines in its server and http parts; yields its port and process id."""
    folder.mkdir(parents=True)
    port = free_port()
    config = folder / "nginx.conf"
    # Started by root its workers would be nobody, who may not read a temporary folder.
    user = "user root;" if os.geteuid() == 0 else ""
    text = _CONFIG.format(user=user, folder=folder, port=port, server=server, http=http)
    config.write_text(text)
    command = [nginx_path(), "-c", str(config), "-p", str(folder)]
    with serving(command, port, folder / "output.log") as pid:
        yield port, pid


@contextmanager
def limited_proxy(folder: Path, upstream: int) -> Iterator[tuple[int, int]]:
    """A bare reverse proxy before 127.0.0.1:`upstream` that counts requests by caller."""
    server = _LIMITED_PROXY.replace("{folder}", str(folder))
    with nginx(folder, server, _LIMITED_PROXY_HTTP.format(upstream=upstream)) as served:
        yield served
