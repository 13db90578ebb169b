#!/bin/sh
# skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10): `copy --dest-compress-format zstd` of an OCI manifest with `artifactType` and `subject`
# (image-spec 1.1), from layout to layout.
#
# One would expect both fields, or neither, in the manifest that is written anew.
# Seen: `subject` is kept and `artifactType` is gone. The result is still listed as a referrer, under another type: that of
# its config. A plain copy keeps every byte.
#
# What follows: recompress before artifacts are attached, and compare types after such a copy.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1
image=application/vnd.oci.image.manifest.v1+json
new_layout l
echo hello > file; tar --format=ustar -cf - file | gzip -n > layer
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$(gzip -dc layer | sha256sum | cut -d' ' -f1)" > config
printf '{"schemaVersion":2,"mediaType":"%s","artifactType":"application/vnd.example.report","config":%s,"layers":[%s],"subject":%s}' $image \
  "$(blob l config application/vnd.oci.image.config.v1+json)" "$(blob l layer application/vnd.oci.image.layer.v1.tar+gzip)" \
  '{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","size":10}' > manifest
printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob l manifest $image)" > l/index.json
skopeo copy -q --insecure-policy oci:l oci:plain:x
skopeo copy -q --insecure-policy --dest-compress --dest-compress-format zstd oci:l oci:zstd:x
for copy in plain zstd; do
  printf '%s: ' $copy; skopeo inspect --raw oci:$copy:x | python3 -c 'import json, sys; m = json.load(sys.stdin); print(sorted(m), m["layers"][0]["mediaType"])'
done | tee seen
cat > expected <<'END'
plain: ['artifactType', 'config', 'layers', 'mediaType', 'schemaVersion', 'subject'] application/vnd.oci.image.layer.v1.tar+gzip
zstd: ['config', 'layers', 'mediaType', 'schemaVersion', 'subject'] application/vnd.oci.image.layer.v1.tar+zstd
END
as_stated
