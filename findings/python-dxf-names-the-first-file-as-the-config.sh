#!/bin/sh
# python-dxf 12.1.1 (PyPI): files pushed to docker-registry 2.8.2 (Debian 2.8.2+ds1-1) and given a name, as its README shows.
#
# Seen: the manifest has Docker's image type, each file as a layer of type application/octet-stream, and the first file once more as
# the config, named an image config in full size. So the "config" can have any size and any bytes; there is no JSON in the image
# but its manifest. skopeo 1.9.3 refuses it for the type of its layers.
#
# What follows: nobody may read a config because its media type says that it is one; a copy moves it like any other blob, and what
# shows images has to do without it.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1 skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1
python3 -m venv venv; venv/bin/pip -q install python-dxf==12.1.1 2> /dev/null; PATH=$work/venv/bin:$PATH
port=$(free_port); serve registry "$port"
export DXF_HOST="localhost:$port" DXF_INSECURE=1
head -c 9000000 /dev/zero > large; echo two > small
{
  dxf push-blob files large > /dev/null; dxf push-blob files small > /dev/null
  dxf set-alias files both "$(digest large)" "$(digest small)" > manifest
  python3 - <<'END'
import json
manifest = json.load(open("manifest"))
config, layers = manifest["config"], manifest["layers"]
print("manifest:", manifest["mediaType"])
print("config:", config["mediaType"], config["size"], "bytes, the first layer:", config["digest"] == layers[0]["digest"])
print("layers:", *sorted((layer["mediaType"], layer["size"]) for layer in layers))
END
  code=0; skopeo inspect --tls-verify=false "docker://localhost:$port/files:both" > out 2>&1 || code=$?
  echo "skopeo inspect: exit $code, $(sed -n 's/.*msg="\(.*\)"$/\1/p' out | tr -d '\\' | sed 's|docker://localhost:[0-9]*|docker://HOST|')"
} | tee seen
cat > expected <<'END'
manifest: application/vnd.docker.distribution.manifest.v2+json
config: application/vnd.docker.container.image.v1+json 9000000 bytes, the first layer: True
layers: ('application/octet-stream', 4) ('application/octet-stream', 9000000)
skopeo inspect: exit 1, Error parsing manifest for image: unsupported docker v2s2 media type: "application/octet-stream"
END
as_stated
