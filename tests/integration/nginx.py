"""The example of ``deploy/nginx`` as it stands there, on ports of the test, with a certificate of its own."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.integration.installation import wait_for

EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx" / "sharpwave.conf"
NAME = "sharpwave.example.org"
HEAD = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/sharpwave.conf;
}}
"""


@dataclass(frozen=True)
class Written:
    """A configuration, and what trusts its certificate."""

    file: Path
    trust: ssl.SSLContext


def write_configuration(folder: Path, ports: Mapping[int, int], upstreams: Sequence[str]) -> Written:
    """Write the example with other ports and addresses; whatever else it says is what is tested."""
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME, "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.pem"))
    text = EXAMPLE.read_text("utf-8")
    for port, other in ports.items():
        text = re.sub(rf"listen {port}\b", f"listen 127.0.0.1:{other}", text)
        text = re.sub(rf"listen \[::\]:{port}\b.*\n", "\n", text)
    text = re.sub(r"/etc/nginx/tls/sharpwave\.(pem|key)", str(folder / "tls.pem"), text)
    (line,) = re.findall(r"^    server 127\.0\.0\.1:8000 max_fails.*$", text, re.MULTILINE)
    text = text.replace(line, "\n".join(line.replace("127.0.0.1:8000", one) for one in upstreams))
    text = text.replace("server 127.0.0.1:8000;", f"server {upstreams[0]};")
    (folder / "sharpwave.conf").write_text(text)
    (folder / "nginx.conf").write_text(HEAD.format(folder=folder))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return Written(folder / "nginx.conf", trust)


@contextmanager
def running(program: str, folder: Path, written: Written) -> Iterator[subprocess.Popen[bytes]]:
    """Run nginx until the end of the block."""
    process = subprocess.Popen([program, "-e", str(folder / "error.log"), "-c", str(written.file)])
    try:
        wait_for((folder / "nginx.pid").exists, within_s=60, what="nginx")
        yield process
    finally:
        process.terminate()
        deadline = time.monotonic() + 20
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
                pytest.fail("nginx did not end")
            time.sleep(0.05)
