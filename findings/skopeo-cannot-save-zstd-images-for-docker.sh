#!/bin/sh
# skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10) and podman 4.3.1 (Debian 4.3.1+ds1-8+deb12u1+b3): an image whose layer is compressed by zstd, into
# an archive for `docker load`. In such an archive layers are plain tars, whatever they were before.
#
# One would expect that the compression of the source does not matter, as that of gzip.
# Seen: both fail with "zstd compression is not supported for docker images", skopeo with --dest-decompress too: the manifest is
# converted before the layers are. So does `podman save`, whose default that archive is, of an image that it has pulled and unpacked,
# while the image of the same id (its config is the same) that was pulled with gzip layers is saved. An OCI archive can be written,
# and so can the Docker archive in two steps: a copy with --dest-decompress to `dir:`, and one from there.
#
# What follows: whether an image can be saved for docker is not to be seen from its id; a host that has it by zstd needs the two steps.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 podman=4.3.1+ds1-8+deb12u1+b3 libsubid4 zstd=1.5.4+dfsg2-5
image=application/vnd.oci.image
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
mkdir files; seq 10000 > files/numbers; tar --format=ustar -cf layer -C files numbers
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(digest layer)" > config
gzip -nc layer > layer.gzip; zstd -q -c layer > layer.zstd
said() { code=0; "$@" > out 2>&1 || code=$?; echo "exit $code$(grep -o ' zstd compression is not supported for docker images' out | head -1)"; }
copy() { said skopeo copy -q --insecure-policy "$@"; }
for kind in gzip zstd; do
  new_layout $kind
  printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":%s,"layers":[%s]}' $image \
    "$(blob $kind config $image.config.v1+json)" "$(blob $kind layer.$kind $image.layer.v1.tar+$kind)" > manifest
  printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob $kind manifest $image.manifest.v1+json)" > $kind/index.json
  podman() { command podman --root "$work/podman-$kind" --runroot "$work/run-$kind" --storage-driver vfs "$@"; }
  id=$(podman pull -q --signature-policy policy.json oci:$kind 2> /dev/null)
  echo "$kind: the image's id is $([ "$id" = "$(digest config | cut -d: -f2)" ] && echo "the config's digest" || echo "$id")"
  echo "  skopeo: $(copy oci:$kind docker-archive:$kind.tar:app:1)"
  echo "  skopeo --dest-decompress: $(copy --dest-decompress oci:$kind docker-archive:$kind-plain.tar:app:1)"
  echo "  podman save: $(said podman save -o $kind-saved.tar "$id")"
  echo "  podman save --format oci-archive: $(said podman save --format oci-archive -o $kind-saved-oci.tar "$id")"
  echo "  skopeo in two steps: $(copy --dest-decompress oci:$kind dir:$kind-step), $(copy dir:$kind-step docker-archive:$kind-stepped.tar:app:1)"
done | tee seen
cat > expected <<'END'
gzip: the image's id is the config's digest
  skopeo: exit 0
  skopeo --dest-decompress: exit 0
  podman save: exit 0
  podman save --format oci-archive: exit 0
  skopeo in two steps: exit 0, exit 0
zstd: the image's id is the config's digest
  skopeo: exit 1 zstd compression is not supported for docker images
  skopeo --dest-decompress: exit 1 zstd compression is not supported for docker images
  podman save: exit 125 zstd compression is not supported for docker images
  podman save --format oci-archive: exit 0
  skopeo in two steps: exit 0, exit 0
END
as_stated
