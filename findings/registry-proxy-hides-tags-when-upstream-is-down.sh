#!/bin/sh
# docker-registry 2.8.2 (Debian 2.8.2+ds1-1) as a pull-through cache, while its upstream cannot be reached.
#
# One would expect an error (5xx) for what the cache cannot know.
# Seen: `tags/list` answers 200 with only the tags that were pulled through it, and a tag that exists upstream but was
# never pulled is 404 MANIFEST_UNKNOWN, which clients take as final: they do not retry, and a mirror with deletion would
# take the other tags as gone. HEAD or GET of a blob that it lacks is 500 at the same moment.
#
# What follows: a tag list or a 404 of a cache proves nothing about the registry behind it.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1
up=$(free_port) down=$(free_port)
serve upstream "$up"; upstream=$pid
# The upstream first: a cache whose upstream does not answer at the start ends at once.
serve cache "$down" "proxy: {remoteurl: \"http://127.0.0.1:$up\"}"

printf '{}' > config
manifest config > image
put_blob "http://127.0.0.1:$up/v2/app" config
for tag in one two three; do put_manifest "http://127.0.0.1:$up/v2/app" $tag image; done
cache=http://127.0.0.1:$down/v2/app
tags() { curl -s -w ' %{http_code}' "$cache/tags/list" | python3 -c 'import json, sys; text, code = sys.stdin.read().rsplit(None, 1); print(code, sorted(json.loads(text)["tags"]))'; }
get() {
  code=$(curl -s -o answer -w '%{http_code}' -H "Accept: application/vnd.oci.image.manifest.v1+json" "$cache/manifests/$1")
  echo "$code $(grep -o '"code":"[A-Z_]*"' answer || echo manifest)"
}
{
  echo "upstream up:   tags $(tags)"
  echo "upstream up:   one  $(get one)"
  stop "$upstream"
  echo "upstream down: tags $(tags)"
  echo "upstream down: one  $(get one)"
  echo "upstream down: two  $(get two)"
  echo "upstream down: blob $(curl -s -o /dev/null -w '%{http_code}' "$cache/blobs/$(digest config)")"
} | tee seen
cat > expected <<'END'
upstream up:   tags 200 ['one', 'three', 'two']
upstream up:   one  200 manifest
upstream down: tags 200 ['one']
upstream down: one  200 manifest
upstream down: two  404 "code":"MANIFEST_UNKNOWN"
upstream down: blob 500
END
as_stated
