#!/bin/sh
# A zstd layer made by pzstd (zstd 1.5.4, Debian 1.5.4+dfsg2-5), the parallel zstd, with the media type of a zstd layer. RFC 8878
# allows skippable frames anywhere, and pzstd begins with one. Copied by skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10) from layout to layout.
#
# One would expect a copy, byte for byte, as it is made of the same layer by plain zstd.
# Seen: skopeo goes by the first four bytes of the blob, not by its type, takes it for an uncompressed tar, and compresses it as it
# does with those. The copy's layer is the zstd stream inside of gzip, called tar+gzip; skopeo says nothing and exits 0, and containerd
# 1.6.20 (Debian 1.6.20~ds1-1+deb12u3), which unpacks the original, finds no tar in the copy. A copy to a registry is the same.
# With --preserve-digests, or to `dir:`, the bytes are kept.
#
# What follows: copies of zstd layers are made with --preserve-digests; and whoever writes a layer anew holds what is inside
# against the diff_id of the config before it is published.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 containerd=1.6.20~ds1-1+deb12u3 libgpgme11 libdevmapper1.02.1 zstd=1.5.4+dfsg2-5
image=application/vnd.oci.image
mkdir files; seq 100000 > files/numbers; tar --format=ustar -cf layer -C files numbers
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(digest layer)" > config
copy() { skopeo copy -q --insecure-policy "$@"; }
said() { # said LAYOUT: the one layer's type and beginning, what is inside of its compression, and whether containerd takes it
  type=$(skopeo inspect --raw "oci:$1:x" | python3 -c 'import json, sys; (layer,) = json.load(sys.stdin)["layers"]; print(layer["mediaType"].split(".")[-1], layer["digest"].split(":")[1])')
  blob=$1/blobs/sha256/${type#* }
  case $type in *gzip*) gzip -dc "$blob" ;; *) zstd -q -dc "$blob" ;; esac > inside
  tar -C "$1" -cf archive.tar .
  ctr -n "$1" images import --base-name "base/$1" --snapshotter native archive.tar > out 2>&1 && unpacked=yes || unpacked=no
  echo "  $1: ${type% *} from $(begins "$blob"), inside: $([ "$(digest inside)" = "$(digest layer)" ] && echo "the diff_id" || begins inside), unpacked: $unpacked"
}
begins() { head -c 4 "$1" | od -An -tx1 | tr -d ' '; }
start_containerd
for tool in zstd pzstd; do
  new_layout $tool
  $tool -q -c layer > layer.$tool
  printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":%s,"layers":[%s]}' $image \
    "$(blob $tool config $image.config.v1+json)" "$(blob $tool layer.$tool $image.layer.v1.tar+zstd)" > manifest
  printf '{"schemaVersion":2,"manifests":[%s]}' \
    "$(blob $tool manifest $image.manifest.v1+json | sed 's|}$|,"annotations":{"org.opencontainers.image.ref.name":"x"}}|')" > $tool/index.json
  echo "$tool"
  said $tool
  copy oci:$tool:x oci:$tool-copy:x && said $tool-copy
  copy --preserve-digests oci:$tool:x oci:$tool-preserved:x && said $tool-preserved
done | tee seen
cat > expected <<'END'
zstd
  zstd: tar+zstd from 28b52ffd, inside: the diff_id, unpacked: yes
  zstd-copy: tar+zstd from 28b52ffd, inside: the diff_id, unpacked: yes
  zstd-preserved: tar+zstd from 28b52ffd, inside: the diff_id, unpacked: yes
pzstd
  pzstd: tar+zstd from 502a4d18, inside: the diff_id, unpacked: yes
  pzstd-copy: tar+gzip from 1f8b0800, inside: 502a4d18, unpacked: no
  pzstd-preserved: tar+zstd from 502a4d18, inside: the diff_id, unpacked: yes
END
as_stated
