#!/bin/sh
# docker-registry 2.8.2 (Debian 2.8.2+ds1-1): a tagged image whose layer is named by sha512, and a plain garbage-collect.
#
# The upload is taken (201), its answer names the blob by sha256, and both names can be read. A manifest that names the layer
# by sha512 is taken too, and so is its tag.
# Seen: garbage-collect, without --delete-untagged, takes the layer of that tagged image: it marks the sha512 digest as used
# and then frees the same blob under its sha256 digest. The manifest still answers 200. An image of sha256 beside it stays.
#
# What follows: no content named by sha512 belongs into such a registry, even where it accepts it.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1
sha512() { echo "sha512:$(sha512sum < "$1" | cut -d' ' -f1)"; }
head() { curl -sI -o /dev/null -w '%{http_code}' -H 'Accept: application/vnd.oci.image.manifest.v1+json' "$app/$1"; }
port=$(free_port); serve data "$port"; registry=$pid
app=http://127.0.0.1:$port/v2/app
printf '{}' > config; echo one > layer256; echo two > layer512
put_blob "$app" config; put_blob "$app" layer256
session=$(curl -sD - -o /dev/null -X POST "$app/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
answer=$(curl -sD - -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' --data-binary @layer512 "$session&digest=$(sha512 layer512)" | tr -d '\r')
manifest config layer256 > image256
manifest config layer512 | sed "s/$(digest layer512)/$(sha512 layer512)/" > image512
put_manifest "$app" by256 image256; put_manifest "$app" by512 image512
states() {
  echo "$1: by256 $(head manifests/by256) with layer $(head "blobs/$(digest layer256)");" \
    "by512 $(head manifests/by512) with layer $(head "blobs/$(sha512 layer512)"), as sha256 $(head "blobs/$(digest layer512)")"
}
{
  echo "upload: $(echo "$answer" | sed -n '1s/HTTP[^ ]* //p'), named $(echo "$answer" | sed -n "s/^[Dd]ocker-[Cc]ontent-[Dd]igest: \(sha[0-9]*\):.*/\1/p")"
  states before
  stop "$registry"
  docker-registry garbage-collect data.yml > gc.log 2>&1
  echo "marked by sha512: $(grep -c "marking blob $(sha512 layer512)" gc.log), freed by sha256: $(grep -c "blob eligible for deletion: $(digest layer512)" gc.log)"
  serve data "$port"
  states after
} > seen # No pipe: what starts in a subshell would outlive the script.
cat seen
cat > expected <<'END'
upload: 201 Created, named sha256
before: by256 200 with layer 200; by512 200 with layer 200, as sha256 200
marked by sha512: 1, freed by sha256: 1
after: by256 200 with layer 200; by512 200 with layer 404, as sha256 404
END
as_stated
