#!/bin/sh
# drayage 0.2.9 (PyPI), a pull-through cache, before a registry that holds back the second half of a blob until it is told to go on.
#
# One would expect a HEAD to be passed on as a HEAD, the bytes of a GET as they come, and a 206 for a range of what the cache has.
# Seen: neither a HEAD nor a GET is answered before the whole blob is in the cache, and both make it fetch the whole blob by GET. When
# the client stops waiting, the download is dropped, and the next request starts it at byte 0, although the first half is in the
# cache as a file. A range is answered by 200 and the whole blob, cold or cached.
#
# What follows: behind such a cache the time to the first byte is that of the whole download from upstream. A client with a fixed timeout
# for response headers never gets a large layer, however often it tries: the timeout has to cover the largest layer. Checking
# that a blob exists costs its transfer, parts cannot be fetched in parallel, and a broken download cannot be resumed.
. "$(dirname "$0")/support/common"
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check drayage==0.2.9
head -c 1000000 /dev/zero > blob
cat > upstream.py <<'END'
import http.server, os, sys, time

class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_HEAD(self): self.do_GET()
    def do_GET(self):
        blob = open("blob", "rb").read()
        with open("requests", "a") as log:
            log.write(f"{self.command} {self.headers.get('Range', 'whole')}\n")
        self.send_response(200)
        self.send_header("Content-Length", str(len(blob)))
        self.end_headers()
        if self.command == "GET":
            try:
                self.wfile.write(blob[:500000])
                while not os.path.exists("go-on"): time.sleep(0.1)
                self.wfile.write(blob[500000:])
            except OSError:
                self.close_connection = True

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Registry).serve_forever()
END
upstream=$(free_port) port=$(free_port)
python3 upstream.py "$upstream" & running="$running $!"
n=0; until curl -sf -I -o /dev/null "http://127.0.0.1:$upstream/v2/"; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done
mkdir cache
printf 'listen = "127.0.0.1:%s"\ncache_dir = "%s/cache"\n[upstreams.docker_io]\nregistry = "http://127.0.0.1:%s"\n' "$port" "$work" "$upstream" > drayage.toml
py/bin/drayage serve -c drayage.toml > drayage.log 2>&1 & running="$running $!"
n=0; until curl -sf -o /dev/null "http://127.0.0.1:$port/v2/"; do n=$((n + 1)); [ $n -lt 100 ] || { cat drayage.log; exit 1; }; sleep 0.1; done
ask() { # ask CURL_OPTION...
  : > requests; code=0
  answer=$(curl -s -o got -w '%{http_code}, %{size_download} bytes' "$@" "http://127.0.0.1:$port/v2/docker.io/library/app/blobs/$(digest blob)") || code=$?
  echo "curl exits $code: $answer; upstream:$(sed 's/^/ /' requests)"
}
{
  echo "held back, HEAD for 3 s: $(ask -I -m 3)"
  echo "held back, GET for 3 s: $(ask -m 3)"
  echo "unfinished files in the cache: $(find cache -name '*.tmp' -size +0 | wc -l)"
  : > go-on
  echo "no longer, HEAD: $(ask -I)"
  echo "cached, GET: $(ask)"
  echo "cached, range 100-199: $(ask -r 100-199)"
  printf x >> blob
  echo "another blob, range 100-199: $(ask -r 100-199)"
} | tee seen
cat > expected <<'END'
held back, HEAD for 3 s: curl exits 28: 000, 0 bytes; upstream: GET whole
held back, GET for 3 s: curl exits 28: 000, 0 bytes; upstream: GET whole
unfinished files in the cache: 1
no longer, HEAD: curl exits 0: 200, 0 bytes; upstream: GET whole
cached, GET: curl exits 0: 200, 1000000 bytes; upstream:
cached, range 100-199: curl exits 0: 200, 1000000 bytes; upstream:
another blob, range 100-199: curl exits 0: 200, 1000001 bytes; upstream: GET whole
END
as_stated
