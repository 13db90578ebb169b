#!/bin/sh
# oci-image-tool 1.0.0-rc1 (Debian 1.0.0~rc2+really.rc1+dfsg-2+b12), the OCI's own tool: `validate` and `unpack` of layouts with two
# layers. In the second of `opaque`, the directory /opt/app is opaque, as the image specification's layer format has it, and gets a new
# file. In `recreated`, the directory is deleted by a whiteout that comes after its new entries; the order within a layer is free.
#
# One would expect the tool of the specification's authors to apply both.
# Seen: both layouts are valid to it. Of `opaque` the old files stay beside the new one, exit 0. Unpacking `recreated` deletes the new
# directory and then fails on its time, exit 1, and the directory that was to be filled is gone. umoci 0.4.7 applies both.
#
# What follows: it is no reference for what an image holds, and what it unpacked has files that the image deleted.
. "$(dirname "$0")/support/common"
debs oci-image-tool=1.0.0~rc2+really.rc1+dfsg-2+b12 umoci=0.4.7+ds-3+b7
mkdir -p old/opt/app new/opt/app
echo old | tee old/opt/app/settings > old/opt/app/plugin; echo new > new/opt/app/settings
: > new/opt/app/.wh..wh..opq; : > new/opt/.wh.app
tar -cf old.tar -C old opt
tar -cf opaque.tar -C new opt/app/.wh..wh..opq opt/app/settings
image() { # NAME
  new_layout "$1"
  layers=$(blob "$1" old.tar application/vnd.oci.image.layer.v1.tar),$(blob "$1" "$1.tar" application/vnd.oci.image.layer.v1.tar)
  printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/x"]},"rootfs":{"type":"layers","diff_ids":["%s","%s"]}}' \
    "$(digest old.tar)" "$(digest "$1.tar")" > config.json
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
    "$(blob "$1" config.json application/vnd.oci.image.config.v1+json)" "$layers" > manifest.json
  printf '{"schemaVersion":2,"manifests":[%s,"annotations":{"org.opencontainers.image.ref.name":"1"}}]}' \
    "$(blob "$1" manifest.json application/vnd.oci.image.manifest.v1+json | sed 's/}$//')" > "$1/index.json"
}
tar -cf recreated.tar --no-recursion -C new opt opt/app opt/app/settings opt/.wh.app
said() { code=0; "$@" > said 2>&1 || code=$?; echo "exit $code"; }
files() { [ ! -d "$1" ] && echo "no $1" || (cd "$1" && find . -type f | LC_ALL=C sort); }
for name in opaque recreated; do
  image "$name"
  echo "$name: validate: $(said oci-image-tool validate --type image --ref name=1 "$name")"
  mkdir "$name-unpacked"
  echo "$name: unpack: $(said oci-image-tool unpack --type imageLayout --ref name=1 "$name" "$name-unpacked")"
  files "$name-unpacked"
  echo "$name: umoci: $(said umoci unpack --rootless --image "$name:1" "$name-umoci")"
  files "$name-umoci/rootfs"
done | tee seen
cat > expected <<'END'
opaque: validate: exit 0
opaque: unpack: exit 0
./opt/app/plugin
./opt/app/settings
opaque: umoci: exit 0
./opt/app/settings
recreated: validate: exit 0
recreated: unpack: exit 1
no recreated-unpacked
recreated: umoci: exit 0
./opt/app/settings
END
as_stated
