#!/bin/sh
# olot 1.2.1 (PyPI), which adds models to images as layers, in an OCI image layout, for KServe: to an image whose config has no `history`,
# which the image specification calls OPTIONAL; to two images that share a config, as the same image compressed by gzip and by zstd does;
# and to an image with a health check and an `os.version`.
#
# One would expect an error to leave the layout as it was, and a success to leave of the image all but the layers as it was.
# Seen: the first two fail, and the images are lost: blobs are changed in place and renamed by their new digest before the check that fails,
# so that index.json names manifests, or these a config, that are not there any more. skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10) opens none of
# them. The third exits 0. Its health check, shell and triggers (ONBUILD) are gone, as the image specification does not have them, and
# `os.version` is named `os_version` now, in the config and in index.json.
#
# What follows: give olot a copy of the layout, and compare the configs afterwards. `rpull append` adds a layer without that.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 zstd=1.5.4+dfsg2-5
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check olot==1.2.1
image=application/vnd.oci.image
mkdir files; seq 1000 > files/numbers; tar --format=ustar -cf layer -C files numbers
gzip -nc layer > layer.gzip; zstd -qc layer > layer.zstd
echo weights > model.bin
config() { # config REST
  printf '{"architecture":"amd64","os":"linux","os.version":"1.0","rootfs":{"type":"layers","diff_ids":["%s"]}%s}' "$(digest layer)" "$1" > config
}
layout() { # layout DIR COMPRESSION...: an image for each compression of the layer, named by it, all with the config
  new_layout "$1"; layout=$1; shift; entries=
  for compression; do
    printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":%s,"layers":[%s]}' $image \
      "$(blob "$layout" config $image.config.v1+json)" "$(blob "$layout" "layer.$compression" "$image.layer.v1.tar+$compression")" > manifest
    annotations=$(printf '"annotations":{"org.opencontainers.image.ref.name":"%s"}' "$compression")
    platform='"platform":{"architecture":"amd64","os":"linux","os.version":"1.0"}'
    entries=$entries${entries:+,}$(blob "$layout" manifest $image.manifest.v1+json | sed "s|}\$|,$platform,$annotations}|")
  done
  printf '{"schemaVersion":2,"manifests":[%s]}' "$entries" > "$layout/index.json"
}
opens() { for name in gzip zstd; do skopeo inspect --config "oci:$1:$name" > /dev/null 2>&1 && echo $name || true; done; }
try() { # try DIR: what can be opened before and after
  before=$(opens "$1")
  code=0; py/bin/olot "$1" model.bin > said 2>&1 || code=$?
  echo "$1: opens:" $before
  echo "$1: exit $code" $(grep -oE '^[A-Za-z]+Error' said || true) "opens:" $(opens "$1")
}
{
  config ''
  layout no-history gzip; try no-history
  config ',"history":[{"created_by":"COPY numbers /"}]'
  layout shared-config gzip zstd; try shared-config
  config ',"history":[{"created_by":"COPY numbers /"}],"config":{"Cmd":["run"],"Healthcheck":{"Test":["CMD","ok"]},"Shell":["sh"],"OnBuild":["RUN x"]}'
  layout success gzip; try success
  skopeo inspect --config --raw oci:success:gzip | python3 -c '
import json, sys
config = json.load(sys.stdin)
print("config:", *(field for field in config if field.startswith("os")), *config["config"])'
  echo "index.json:" $(grep -oE '"os[._][a-z]*"' success/index.json)
} | tee seen
cat > expected <<'END'
no-history: opens: gzip
no-history: exit 1 ValueError opens:
shared-config: opens: gzip zstd
shared-config: exit 1 FileNotFoundError opens:
success: opens: gzip
success: exit 0 opens: gzip
config: os os_version Cmd
index.json: "os_version"
END
as_stated
