"""nginx before the registry: blobs from its folder with a rate per connection or over TLS, all else passed on."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from measure import Failed
from registry import Registry, free_port

CONFIG = """\
daemon off;
master_process off;
pid {place}/pid;
error_log {place}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log {place}/access.log combined;
  client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place}; uwsgi_temp_path {place}; scgi_temp_path {place};
  sendfile on;
  tcp_nopush {cork};
  map $connection $rate {{ default {rate}; {slow} }}
  server {{
    listen {address}{tls};
    location ~ ^/v2/.+/blobs/sha256:(..)(.+)$ {{
      alias {root}/docker/registry/v2/blobs/sha256/$1/$1$2/data;
      default_type application/octet-stream;
      limit_rate $rate;
    }}
    location / {{ proxy_pass http://{registry}; proxy_set_header Host $http_host; }}
  }}
}}
"""


class Front(Registry):
    """A running nginx; use as a context manager. `rate` is in bytes per second and connection, 0 for no limit; connections
    whose number ends in `crawling`, a regular expression, get 1 MiB/s. `tls` makes a certificate of its own, and `http2` speaks
    it besides HTTP/1.1. `cork` is nginx's `tcp_nopush`, which Debian turns on: the kernel holds the last packet of what nginx
    has counted as sent, and a packet of loopback has 64 kB."""

    def __init__(self, registry: Registry, rate: int = 0, crawling: str = "", tls: bool = False, http2: bool = False,
                 cork: bool = True):
        if shutil.which("nginx") is None:
            raise Failed("no nginx on PATH: apt-get install nginx-light")
        self.place = Path(tempfile.mkdtemp(prefix="front-", dir="/dev/shm"))
        self.address = f"127.0.0.1:{free_port()}"
        self.access_log = self.place / "access.log"
        self.error_log = self.place / "error.log"
        certificate, key = self.place / "certificate.pem", self.place / "key.pem"
        if tls:
            make_certificate(certificate, key)
            self.certificate = certificate
        slow = f"~({crawling})$ 1m;" if crawling else ""
        protocol = " http2" if http2 else ""
        extra = f" ssl{protocol};\n    ssl_protocols TLSv1.2 TLSv1.3;\n    ssl_certificate {certificate};\n    ssl_certificate_key {key}" if tls else ""
        config = CONFIG.format(place=self.place, rate=rate, slow=slow, address=self.address, tls=extra,
                               cork="on" if cork else "off",
                               root=registry.root, registry=registry.address)
        (self.place / "nginx.conf").write_text(config)
        self.command = ["nginx", "-c", f"{self.place}/nginx.conf", "-e", str(self.error_log)]

    def __exit__(self, *_):
        super().__exit__()
        shutil.rmtree(self.place)


def make_certificate(certificate: Path, key: Path) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key),
                    "-out", str(certificate)], check=True, capture_output=True)
