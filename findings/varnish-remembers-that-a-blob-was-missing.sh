#!/bin/sh
# Varnish 7.1.1 (Debian 7.1.1-2+deb12u1) as it comes, before docker-registry 2.8.2 (Debian 2.8.2+ds1-1): an image is pushed and pulled
# through it by skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10). It needs gcc, by which Varnish compiles its settings.
#
# One would expect a slower registry at worst: uploads are passed on, and the registry sends `Cache-Control` with blobs alone.
# Seen: a client asks whether a blob exists before it sends it. Varnish keeps that 404 for two minutes, as the registry says nothing about
# it, and answers the pull by it: the push exits 0, and the image that was just pushed is not there, while the registry itself has it. A tag
# keeps its old image for two minutes too; and what one client got is given to all, whatever types they accept, as the registry sends no
# `Vary`: after a request that names no types, which is answered by Docker's schema 1, docker gets that as well.
#
# What follows: a cache before a registry should store nothing but answers with `Cache-Control`. A 404 right after a push may be older
# than the push, and worth another question some minutes later.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1 skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 varnish=7.1.1-2+deb12u1 libvarnishapi3=7.1.1-2+deb12u1 libjemalloc2
behind=$(free_port) port=$(free_port)
serve data "$behind"
printf 'vcl 4.1;\nbackend registry { .host = "127.0.0.1"; .port = "%s"; }\n' "$behind" > cache.vcl
mkdir varnish
varnishd -F -n "$work/varnish" -a "127.0.0.1:$port" -f "$work/cache.vcl" -s malloc,64m > varnish.log 2>&1 & running="$running $!"
n=0; until curl -sf -o /dev/null "http://127.0.0.1:$port/v2/"; do n=$((n + 1)); [ $n -lt 300 ] || { cat varnish.log; exit 1; }; sleep 0.1; done
layout() { # layout VERSION
  new_layout "v$1"
  echo "$1" > file; tar --format=ustar -cf layer file
  gzip -nc layer > layer.gz
  printf '{"architecture":"amd64","os":"linux","config":{"Labels":{"version":"%s"}},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created_by":"COPY file /"}]}' "$1" "$(digest layer)" > config
  blob "v$1" config any > /dev/null; blob "v$1" layer.gz any > /dev/null
  manifest config layer.gz | sed 's/layer.v1.tar/layer.v1.tar+gzip/' > manifest
  printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob "v$1" manifest application/vnd.oci.image.manifest.v1+json)" > "v$1/index.json"
  digest manifest >> versions
}
exits() { code=0; "$@" > out 2>&1 || code=$?; echo "exit $code$(grep -o ' registry 404' out | head -1)"; }
push() { exits skopeo copy -q --insecure-policy --dest-tls-verify=false "--format=$2" "oci:v$1" "docker://127.0.0.1:$port/app:$2"; }
pull() { rm -rf copy; exits skopeo copy -q --insecure-policy --src-tls-verify=false "docker://127.0.0.1:$1/app:oci" dir:copy; }
blob_at() { curl -sI -o /dev/null -w '%{http_code}' "http://127.0.0.1:$1/v2/app/blobs/$(digest layer.gz)"; }
tag_at() { # tag_at PORT TAG [TYPE]: the type of what a tag names, and its digest as a number
  curl -s -D headers -o answer -H "Accept: ${3-application/vnd.oci.image.manifest.v1+json}" "http://127.0.0.1:$1/v2/app/manifests/$2"
  echo "$(tr -d '\r' < headers | sed -n 's/^Content-Type: application.vnd.//p'), version $(grep -n "$(digest answer)" versions | cut -d: -f1)"
}
schema2=application/vnd.docker.distribution.manifest.v2+json
{
  layout 1
  echo "push: $(push 1 oci)"
  echo "pull: $(pull "$port"), without Varnish: $(pull "$behind")"
  echo "layer: $(blob_at "$port"), without Varnish: $(blob_at "$behind")"
  layout 2
  echo "push of version 2: $(push 2 oci)"
  echo "tag: $(tag_at "$port" oci), without Varnish: $(tag_at "$behind" oci)"
  echo "push as a Docker image: $(push 2 v2s2)"
  curl -s -o /dev/null "http://127.0.0.1:$port/v2/app/manifests/v2s2"
  echo "tag: $(tag_at "$port" v2s2 $schema2 | cut -d, -f1), without Varnish: $(tag_at "$behind" v2s2 $schema2 | cut -d, -f1)"
} > seen
cat seen
cat > expected <<'END'
push: exit 0
pull: exit 1 registry 404, without Varnish: exit 0
layer: 404, without Varnish: 200
push of version 2: exit 0
tag: oci.image.manifest.v1+json, version 1, without Varnish: oci.image.manifest.v1+json, version 2
push as a Docker image: exit 0
tag: docker.distribution.manifest.v1+prettyjws, without Varnish: docker.distribution.manifest.v2+json
END
as_stated
