#!/bin/sh
# docker-registry 2.8.2 (Debian 2.8.2+ds1-1) as a pull-through cache of another one (`proxy.remoteurl`).
#
# Seen: for the first client that asks for a blob, it reads all of it from the upstream twice, once to answer and once to store it;
# for three clients at once four times. A request for 100 bytes of a blob that it does not have is answered by 200 and the whole
# blob, after two whole reads as well. What it has costs no request, and ranges of it are 206.
#
# What follows: behind a cold cache the first of several range requests must show whether ranges work, not all of them at once; and a
# link that is paid by the byte is not spared by a cache for one machine.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1
upstream=$(free_port) cache=$(free_port)
printf 'version: 0.1\nlog: {accesslog: {disabled: false}}\nstorage: {filesystem: {rootdirectory: %s/upstream}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
  "$work" "$upstream" > upstream.yml
docker-registry serve upstream.yml > upstream.log 2> /dev/null & running="$running $!"
n=0; until curl -sf -o /dev/null "http://127.0.0.1:$upstream/v2/"; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done
serve cache "$cache" "proxy: {remoteurl: \"http://127.0.0.1:$upstream\"}"
new_blob() { # new_blob BYTES: a blob at the upstream; its URL at the cache is in $url
  head -c "$1" /dev/urandom > blob; put_blob "http://127.0.0.1:$upstream/v2/a" blob
  digest=$(digest blob); url="http://127.0.0.1:$cache/v2/a/blobs/$digest"
}
reads() { grep -a "GET /v2/a/blobs/$digest HTTP" upstream.log | grep -ac "\" 200 $(stat -c %s blob) "; }
settled() { sleep 2; reads; } # the access log has a line when an answer has ended
get() { curl -s -o got -w '%{http_code}, %{size_download} bytes' "$@"; }
{
  new_blob 40000000
  echo "one client: $(get "$url"); whole reads upstream: $(settled)"
  echo "again: $(get "$url"); whole reads upstream: $(settled)"
  new_blob 40000001
  for client in 1 2 3; do curl -s --limit-rate 20M -o /dev/null "$url" & clients="${clients-} $!"; done
  wait $clients
  echo "three clients at once; whole reads upstream: $(settled)"
  new_blob 40000002
  echo "range 100-199: $(get -r 100-199 "$url"); whole reads upstream: $(settled)"
  echo "range 100-199 again: $(get -r 100-199 "$url"); whole reads upstream: $(settled)"
} | tee seen
cat > expected <<'END'
one client: 200, 40000000 bytes; whole reads upstream: 2
again: 200, 40000000 bytes; whole reads upstream: 2
three clients at once; whole reads upstream: 4
range 100-199: 200, 40000002 bytes; whole reads upstream: 2
range 100-199 again: 206, 100 bytes; whole reads upstream: 2
END
as_stated
