"""nginx in front of a server: another host name, https with a certificate made for the occasion."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NGINX = shutil.which("nginx", path=os.environ["PATH"] + os.pathsep + "/usr/sbin")

CONFIGURATION = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name {host};
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    location / {{
      proxy_pass http://127.0.0.1:{behind};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"""


class Proxy:
    """nginx as a child on loopback, which serves as `host`; everything it needs lies in the folder."""

    def __init__(self, folder: Path, host: str, behind: int) -> None:
        self._host = host
        _certify(folder, host)
        self._trust = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
        self.port = _free_port()
        told = CONFIGURATION.format(folder=folder, host=host, port=self.port, behind=behind)
        (folder / "nginx.conf").write_text(told)
        self._errors = folder / "error.log"
        self._process = subprocess.Popen(
            [NGINX, "-p", folder, "-c", folder / "nginx.conf", "-e", self._errors]
        )
        self._wait()

    def client(self, **headers: str) -> httpx.Client:
        """Give a client that reaches the host name at the proxy, and checks its certificate."""
        client = httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}",
            headers={"Host": self._host, **headers},
            verify=self._trust,
            timeout=30,
        )
        client.event_hooks["request"].append(self._named)
        return client

    def place(self, url: str) -> str:
        """Give the path by which the proxy is asked for a public URL; fails for any other URL."""
        public = f"https://{self._host}/"
        assert url.startswith(public), url
        return "/" + url.removeprefix(public)

    def stop(self) -> None:
        """End nginx."""
        self._process.terminate()
        self._process.wait(10)

    def _named(self, request: httpx.Request) -> None:
        request.extensions["sni_hostname"] = self._host

    def _wait(self) -> None:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, self._errors.read_text()
            time.sleep(0.05)
        raise AssertionError(self._errors.read_text())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _certify(folder: Path, host: str) -> None:
    """Make a key, and a certificate for the host that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
