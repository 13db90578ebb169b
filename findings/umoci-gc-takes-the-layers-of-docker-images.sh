#!/bin/sh
# umoci 0.4.7 (Debian 0.4.7+ds-3+b7): `umoci gc` on a layout that has an OCI image, the same image in Docker's media types,
# and a Docker manifest list of it, each with a name. A layout may hold content of any media type.
#
# Seen: gc exits 0, says nothing, keeps all three named documents, and deletes the config and the layer that only the Docker
# manifest names, and the manifest that only the list names. The OCI image, and an OCI index of it, are kept whole.
#
# What follows: a layout, or a store, that has images as Docker Hub serves them must never be cleaned by umoci; a pull finds what
# is missing and brings it again.
. "$(dirname "$0")/support/common"
debs umoci=0.4.7+ds-3+b7
oci=application/vnd.oci.image; docker=application/vnd.docker
new_layout l
image() { # image NAME: a config and a layer of its own, in l; $config and $layer are their descriptors without their end
  printf '{"architecture":"amd64","os":"linux","author":"%s","config":{},"rootfs":{"type":"layers","diff_ids":[]}}' "$1" > "$1.config"
  echo "layer of $1" > "$1.layer"
  config=$(blob l "$1.config" "$2") layer=$(blob l "$1.layer" "$3")
  printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' "$4" "$config" "$layer" > "$1.manifest"
}
list() { printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}' "$1" "$2"; }
named() { sed "s/}\$/,\"annotations\":{\"org.opencontainers.image.ref.name\":\"$1\"}}/"; }
oci_image() { image "$1" $oci.config.v1+json $oci.layer.v1.tar $oci.manifest.v1+json; }
docker_image() { image "$1" $docker.container.image.v1+json $docker.image.rootfs.diff.tar $docker.distribution.manifest.v2+json; }
oci_image a; a=$(blob l a.manifest $oci.manifest.v1+json | named a)
oci_image b; list $oci.index.v1+json "$(blob l b.manifest $oci.manifest.v1+json)" > b.index
b=$(blob l b.index $oci.index.v1+json | named b)
docker_image c; c=$(blob l c.manifest $docker.distribution.manifest.v2+json | named c)
docker_image d; list $docker.distribution.manifest.list.v2+json "$(blob l d.manifest $docker.distribution.manifest.v2+json)" > d.index
d=$(blob l d.index $docker.distribution.manifest.list.v2+json | named d)
printf '{"schemaVersion":2,"manifests":[%s,%s,%s,%s]}' "$a" "$b" "$c" "$d" > l/index.json
there() { for file; do [ -e "l/blobs/sha256/$(digest "$file" | cut -d: -f2)" ] && printf '%s ' "$file"; done; echo; }
{
  echo "names: $(umoci ls --layout l | sort | tr '\n' ' ')"
  code=0; umoci gc --layout l > out 2>&1 || code=$?
  echo "gc exits $code and prints $(wc -c < out) bytes; what is there after it:"
  there a.manifest a.config a.layer
  there b.index b.manifest b.config b.layer
  there c.manifest c.config c.layer
  there d.index d.manifest d.config d.layer
} | tee seen
cat > expected <<'END'
names: a b c d 
gc exits 0 and prints 0 bytes; what is there after it:
a.manifest a.config a.layer 
b.index b.manifest b.config b.layer 
c.manifest 
d.index 
END
as_stated
