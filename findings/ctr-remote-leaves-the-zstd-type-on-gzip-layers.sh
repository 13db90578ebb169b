#!/bin/sh
# stargz-snapshotter 0.12.0 (Debian 0.12.0-2+b10) with containerd 1.6.20: `ctr-remote images convert` of an image whose layers are
# zstd:chunked, made by the same command.
#
# Seen: `--estargz` exits 0 and writes gzip layers with a table of contents, but their media type still ends in `tar+zstd`. The
# annotations of zstd:chunked stay beside the new ones: their position and checksum are those of a table that the new layers do not
# have. `--uncompress` has the right media type and the right bytes, and keeps all annotations of both tables on plain tars. The
# way back, `--zstdchunked` of an eStargz image, is right in all of it.
#
# What follows: the bytes say what a layer is, its media type does not; an annotation that tells of a table is a hint at most.
. "$(dirname "$0")/support/common"
debs stargz-snapshotter=0.12.0-2+b10 containerd=1.6.20~ds1-1+deb12u3
start_containerd
mkdir files; echo hello > files/a
tar -cf layer --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C files .
gzip -nk layer
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(digest layer)" > config
oci=application/vnd.oci.image
new_layout image
config=$(blob image config $oci.config.v1+json) layer=$(blob image layer.gz $oci.layer.v1.tar+gzip)
printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' $oci.manifest.v1+json "$config" "$layer" > manifest
printf '{"schemaVersion":2,"manifests":[%s]}' \
  "$(blob image manifest $oci.manifest.v1+json | sed 's/}$/,"annotations":{"org.opencontainers.image.ref.name":"x.io\/a:gzip"}}/')" > image/index.json
tar -cf image.tar -C image .
ctr images import image.tar > /dev/null 2>&1
convert() { ctr-remote -a "$work/containerd.sock" images convert --oci "--$1" "x.io/a:$2" "x.io/a:$3" > /dev/null 2>&1 || echo "exit $?"; }
convert zstdchunked gzip zstd
convert estargz zstd zstd-estargz
convert uncompress zstd zstd-tar
convert estargz gzip estargz
convert zstdchunked estargz estargz-zstd
show() {
  mkdir "$1"; ctr images export "$1.tar" "x.io/a:$1" > /dev/null; tar -xf "$1.tar" -C "$1"
  python3 - "$1" <<'END'
import json, os, sys
blob = lambda digest: open(os.path.join(sys.argv[1], "blobs", *digest.split(":")), "rb").read()
document = json.load(open(sys.argv[1] + "/index.json"))
while "layers" not in document:
    document = json.loads(blob(document["manifests"][0]["digest"]))
layer = document["layers"][0]
bytes_, notes = blob(layer["digest"]), layer.get("annotations", {})
kind = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}.get(bytes_[:2], "tar")
position = notes.get("io.containers.zstd-chunked.manifest-position")
there = "no position"
if position:
    first, length = map(int, position.split(":")[:2])
    there = "position of a zstd frame" if bytes_[first:first + 4] == b"\x28\xb5\x2f\xfd" else "position of something else"
print(f"{sys.argv[1]}: named {layer['mediaType'].rsplit('.', 1)[1]}, is {kind}; {there}; annotations:", *sorted(n.rsplit("/", 1)[-1] for n in notes))
END
}
{ for image in gzip zstd zstd-estargz zstd-tar estargz estargz-zstd; do show $image; done; } | tee seen
cat > expected <<'END'
gzip: named tar+gzip, is gzip; no position; annotations:
zstd: named tar+zstd, is zstd; position of a zstd frame; annotations: io.containers.estargz.uncompressed-size io.containers.zstd-chunked.manifest-checksum io.containers.zstd-chunked.manifest-position toc.digest
zstd-estargz: named tar+zstd, is gzip; position of something else; annotations: io.containers.estargz.uncompressed-size io.containers.zstd-chunked.manifest-checksum io.containers.zstd-chunked.manifest-position toc.digest
zstd-tar: named tar, is tar; position of something else; annotations: io.containers.estargz.uncompressed-size io.containers.zstd-chunked.manifest-checksum io.containers.zstd-chunked.manifest-position toc.digest
estargz: named tar+gzip, is gzip; no position; annotations: io.containers.estargz.uncompressed-size toc.digest
estargz-zstd: named tar+zstd, is zstd; position of a zstd frame; annotations: io.containers.estargz.uncompressed-size io.containers.zstd-chunked.manifest-checksum io.containers.zstd-chunked.manifest-position toc.digest
END
as_stated
