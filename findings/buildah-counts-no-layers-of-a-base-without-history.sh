#!/bin/sh
# buildah 1.28.2 (Debian 1.28.2+ds1-3+deb12u1+b3): `from`, `copy` and `commit` on a base of one layer whose config has no `history`, which
# the image specification calls OPTIONAL; and on the same base with it.
#
# One would expect entries for all layers, or none at all.
# Seen: from the base without history comes an image of two layers whose history has one entry, that of the new layer. Readers that match
# entries with layers in order are off by one. umoci 0.4.7 (Debian 0.4.7+ds-3+b7) shows the base's layer as what that step
# added, and does not list the real one. skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10) converts the image to Docker's schema 1
# with one layer of the two: that of the base, without what was built on it, exit 0.
#
# What follows: a base image needs a `history` with one entry for each layer; the layers of a converted image have to be compared with
# those of its source; and a history with fewer entries than layers tells nothing about single layers.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 umoci=0.4.7+ds-3+b7 buildah=1.28.2+ds1-3+deb12u1+b3 libsubid4
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
buildah() { command buildah --root "$work/buildah" --runroot "$work/buildah-run" --storage-driver vfs "$@"; }
echo base > base; tar --format=ustar -cf layer base
echo added > added
try() { # try NAME HISTORY
  new_layout "$1"
  printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}%s}' "$(digest layer)" "$2" > config
  blob "$1" config any > /dev/null; blob "$1" layer any > /dev/null
  manifest config layer > manifest
  printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob "$1" manifest application/vnd.oci.image.manifest.v1+json)" > "$1/index.json"
  container=$(buildah from --signature-policy policy.json "oci:$1" 2> /dev/null)
  buildah copy -q "$container" added /added > /dev/null
  buildah config --created-by 'COPY added /' "$container"
  buildah commit -q --signature-policy policy.json --disable-compression "$container" "oci:$work/$1-built:x" > /dev/null
  mkdir "$1-schema1"
  code=0; skopeo copy -q --insecure-policy --format v2s1 "oci:$1-built:x" "dir:$1-schema1" || code=$?
  umoci stat --json --image "$1-built:x" > "$1-stat.json"
  python3 - "$1" $code <<'END'
import hashlib, json, sys
name, code = sys.argv[1:]
def blob(digest):
    return json.load(open(f"{name}-built/blobs/{digest.replace(':', '/')}"))
image = blob(json.load(open(f"{name}-built/index.json"))["manifests"][0]["digest"])
names = dict(zip((layer["digest"] for layer in image["layers"]), ["base", "added"]))
steps = [(step.get("created_by"), names[step["layer"]["digest"]]) for step in json.load(open(f"{name}-stat.json"))["history"]]
converted = [names[layer["blobSum"]] for layer in reversed(json.load(open(f"{name}-schema1/manifest.json"))["fsLayers"])]
print(f"{name}: layers {list(names.values())}, {len(blob(image['config']['digest'])['history'])} in the history")
print("  umoci stat:", *(f"{step} -> {layer};" for step, layer in steps))
print(f"  skopeo to schema 1: exit {code}, layers {converted}")
END
}
{
  try with-history ',"history":[{"created_by":"COPY base /"}]'
  try without-history ''
} | tee seen
cat > expected <<'END'
with-history: layers ['base', 'added'], 2 in the history
  umoci stat: COPY base / -> base; COPY added / -> added;
  skopeo to schema 1: exit 0, layers ['base', 'added']
without-history: layers ['base', 'added'], 1 in the history
  umoci stat: COPY added / -> base;
  skopeo to schema 1: exit 0, layers ['base']
END
as_stated
