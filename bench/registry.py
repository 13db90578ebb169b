"""Debian's docker-registry on loopback, with the configuration of its package but for port, folder and login."""

import re
import shutil
import socket
import subprocess
import time
from os import sysconf
from pathlib import Path

from measure import Failed

CONFIG = """\
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: {root}
  delete:
    enabled: true
http:
  addr: {address}
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"""

# The access log (combined format) is the registry's default; one line per answered request.
ACCESS = re.compile(rb'^\S+ \S+ \S+ \[[^]]*\] "(?:GET|HEAD|POST|PUT|PATCH|DELETE) [^"]*" \d+ (\d+|-)')


class Registry:
    """A running registry; use as a context manager, it is stopped by pid on the way out. `certificate` is that of one over TLS."""

    certificate: Path | None = None

    def __init__(self, work: Path):
        self.program = shutil.which("docker-registry") or shutil.which("registry")
        if self.program is None:
            raise Failed("no docker-registry on PATH: apt-get install docker-registry")
        self.address = f"127.0.0.1:{free_port()}"
        self.access_log = work / "registry-access.log"
        self.error_log = work / "registry-error.log"
        self.root = work / "registry"
        config = work / "registry.yml"
        config.write_text(CONFIG.format(root=self.root, address=self.address))
        self.command = [self.program, "serve", str(config)]

    def __enter__(self):
        with open(self.access_log, "wb") as out, open(self.error_log, "wb") as err:
            # A session of its own: Ctrl-C must reach the benchmark, which then stops the registry last.
            self.process = subprocess.Popen(self.command, stdout=out, stderr=err, start_new_session=True)
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait_until_up(self):
        host, port = self.address.split(":")
        for _ in range(100):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failed(f"the registry does not start, see {self.error_log}")

    def version(self) -> str:
        output = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True)
        return output.stdout.strip()

    def cpu_seconds(self) -> float:
        """CPU time used so far, in steps of the kernel's clock tick (10 ms)."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / sysconf("SC_CLK_TCK")

    def mark(self) -> int:
        """A position in the access log, for `since`."""
        return self.access_log.stat().st_size

    def since(self, mark: int) -> tuple[int, int]:
        """Requests answered and body bytes sent after `mark`; waits until the log is quiet."""
        size = -1
        while size != (now := self.mark()):
            size = now
            time.sleep(0.05)
        with open(self.access_log, "rb") as log:
            log.seek(mark)
            sizes = [m.group(1) for line in log if (m := ACCESS.match(line))]
        return len(sizes), sum(int(s) for s in sizes if s != b"-")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
