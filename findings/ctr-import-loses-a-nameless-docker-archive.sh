#!/bin/sh
# containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3): `ctr images import` of what `skopeo copy IMAGE docker-archive:FILE`
# writes when no name is given behind FILE (skopeo 1.9.3, Debian 1.9.3+ds1-1+b10). `docker load` and `podman load` keep such
# an image under its id.
#
# Seen: ctr prints nothing and exits 0. The blobs are in the content store, and no image names them, so that the garbage
# collector takes them. Only with --digests there is an image, and its name begins with the day of the import: the same
# file imported on two days is two images.
#
# What follows: an archive for containerd needs a name in it; the exit code does not tell that something was imported.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 containerd=1.6.20~ds1-1+deb12u3 libgpgme11 libdevmapper1.02.1
new_layout l
echo hello > file; tar --format=ustar -cf layer file
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(digest layer)" > config
manifest config layer > manifest
for file in layer config; do blob l $file any > /dev/null; done
printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob l manifest application/vnd.oci.image.manifest.v1+json)" > l/index.json
skopeo copy -q --insecure-policy oci:l docker-archive:nameless.tar
skopeo copy -q --insecure-policy oci:l docker-archive:named.tar:example.com/app:1
start_containerd
import() {
  code=0; ctr images import --no-unpack "$@" > out 2>&1 || code=$?
  echo "exit $code, $(wc -c < out) bytes said, images: [$(ctr images ls -q | sed "s/import-$(date +%F)@sha256:[0-9a-f]*/import-TODAY@DIGEST/" | xargs)]"
}
{
  echo "nameless:           $(import nameless.tar)"
  echo "nameless --digests: $(import --digests nameless.tar)"
  echo "named:              $(import named.tar)"
} | tee seen
cat > expected <<'END'
nameless:           exit 0, 0 bytes said, images: []
nameless --digests: exit 0, 0 bytes said, images: [import-TODAY@DIGEST]
named:              exit 0, 0 bytes said, images: [example.com/app:1 import-TODAY@DIGEST]
END
as_stated
