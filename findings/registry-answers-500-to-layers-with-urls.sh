#!/bin/sh
# docker-registry 2.8.2 (Debian 2.8.2+ds1-1): manifests whose one layer has `urls`, all of whose blobs have been pushed before. Any
# descriptor may have `urls`, from which its content may be downloaded (image-spec, descriptor.md).
#
# One would expect 201, as the blobs are there, or a refusal (4xx) that says why.
# Seen: 500, which asks clients to try again, with three errors in one body: UNKNOWN twice, without a word of URLs, and
# MANIFEST_BLOB_UNKNOWN of the layer, whose HEAD is 200 at the same moment. That is so for usual OCI layers, for nondistributable
# ones and for Docker's foreign ones; without `urls` the first two are 201, and the last is 500 as well. A rule in the registry's
# settings (`validation.manifests.urls.allow`) makes all with `urls` 201, and then the layer need not be there at all, a usual one too.
#
# What follows: a 500 to a manifest with `urls` is final and worth no retry; leaving `urls` out makes it another manifest with another
# digest. And a manifest that a registry took is no proof that it has the blobs, when there are `urls`.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1
echo hello > file; tar --format=ustar -cf layer file
echo absent > absent
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(digest layer)" > config
oci=application/vnd.oci.image; docker=application/vnd.docker
image() { # image TYPE CONFIG_TYPE LAYER_TYPE LAYER URLS
  printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' "$1" "$(descriptor config "$2")" "$(descriptor "$4" "$3" | sed "s|}\$|$5}|")" > manifest
}
try() { # try NAME URLS LAYER: a manifest for each kind of layer
  for kind in tar nondistributable foreign; do
    case $kind in
      tar) image $oci.manifest.v1+json $oci.config.v1+json $oci.layer.v1.tar "$3" "$2" ;;
      nondistributable) image $oci.manifest.v1+json $oci.config.v1+json $oci.layer.nondistributable.v1.tar "$3" "$2" ;;
      foreign) image $docker.distribution.manifest.v2+json $docker.container.image.v1+json $docker.image.rootfs.foreign.diff.tar.gzip "$3" "$2" ;;
    esac
    type=$(python3 -c 'import json; print(json.load(open("manifest"))["mediaType"])')
    status=$(curl -s -o answer -w '%{http_code}' -X PUT -H "Content-Type: $type" --data-binary @manifest "$app/manifests/$1-$kind")
    echo "  $1, $kind: $status$([ "$status" = 201 ] || python3 -c 'import json; print("", *(error["code"] for error in json.load(open("answer"))["errors"]))'), the layer: $(curl -sI -o /dev/null -w '%{http_code}' "$app/blobs/$(digest "$3")")"
  done
}
urls=',"urls":["https://example.com/layer"]'
for settings in '' 'validation: {manifests: {urls: {allow: ["^https://example.com/"]}}}'; do
  port=$(free_port)
  serve "data${settings:+-allowed}" "$port" "$settings"
  app=http://127.0.0.1:$port/v2/app
  for file in config layer; do put_blob "$app" $file; done
  echo "${settings:-without settings}"
  try plain '' layer
  try urls "$urls" layer
  try absent "$urls" absent
done | tee seen
cat > expected <<'END'
without settings
  plain, tar: 201, the layer: 200
  plain, nondistributable: 201, the layer: 200
  plain, foreign: 500 UNKNOWN UNKNOWN MANIFEST_BLOB_UNKNOWN, the layer: 200
  urls, tar: 500 UNKNOWN UNKNOWN MANIFEST_BLOB_UNKNOWN, the layer: 200
  urls, nondistributable: 500 UNKNOWN UNKNOWN MANIFEST_BLOB_UNKNOWN, the layer: 200
  urls, foreign: 500 UNKNOWN UNKNOWN MANIFEST_BLOB_UNKNOWN, the layer: 200
  absent, tar: 500 UNKNOWN UNKNOWN MANIFEST_BLOB_UNKNOWN, the layer: 404
  absent, nondistributable: 500 UNKNOWN UNKNOWN MANIFEST_BLOB_UNKNOWN, the layer: 404
  absent, foreign: 500 UNKNOWN UNKNOWN MANIFEST_BLOB_UNKNOWN, the layer: 404
validation: {manifests: {urls: {allow: ["^https://example.com/"]}}}
  plain, tar: 201, the layer: 200
  plain, nondistributable: 201, the layer: 200
  plain, foreign: 500 UNKNOWN UNKNOWN MANIFEST_BLOB_UNKNOWN, the layer: 200
  urls, tar: 201, the layer: 200
  urls, nondistributable: 201, the layer: 200
  urls, foreign: 201, the layer: 200
  absent, tar: 201, the layer: 404
  absent, nondistributable: 201, the layer: 404
  absent, foreign: 201, the layer: 404
END
as_stated
