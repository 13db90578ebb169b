#!/bin/sh
# pyoci 0.2.1 (PyPI): `pyoci build --tag NAME` of a Python project on a base image from docker-registry 2.8.2.
#
# Seen: the image layout that it writes has `org.opencontainers.image.ref.name` among the annotations of index.json itself, not of the
# manifest's descriptor in it, where the specification puts it, and the whole NAME:TAG as its value. skopeo 1.9.3 finds the image
# without a name, and not by it; umoci 0.4.7 lists no name. The config of the base stays in blobs/, where nothing references it.
#
# What follows: a layout with one image is best opened without a name (`oci:DIR`); a name that nobody finds may be there.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1 skopeo=1.9.3+ds1-1+b10 umoci=0.4.7+ds-3+b7 libgpgme11 libdevmapper1.02.1
python3 -m venv venv; venv/bin/pip -q install pyoci==0.2.1 2> /dev/null
serve_tls
export HOME="$work"
mkdir files project project/app; echo hello > files/a; tar -cf layer -C files .
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(digest layer)" > config
manifest config layer > manifest
for file in config layer; do put_blob "https://localhost:$port/v2/base" $file; done
put_manifest "https://localhost:$port/v2/base" 1 manifest
printf '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.11"\n' > project/pyproject.toml
echo 'print(1)' > project/app/__main__.py
(cd project; ../venv/bin/pyoci build --base-image "localhost:$port/base:1" --tag team/app:1 --no-progress > /dev/null 2>&1)
layout=project/dist/image
says() { code=0; "$@" > out 2>&1 || code=$?; echo "exit $code"; }
{
  python3 - $layout <<'END'
import json, os, sys
index = json.load(open(sys.argv[1] + "/index.json"))
print("annotations of the index:", index["annotations"], "of the descriptor:", index["manifests"][0].get("annotations"))
blob = lambda digest: json.load(open(sys.argv[1] + "/blobs/" + digest.replace(":", "/")))
image = blob(index["manifests"][0]["digest"])
used = {index["manifests"][0]["digest"], image["config"]["digest"], *(layer["digest"] for layer in image["layers"])}
print("blobs:", len(os.listdir(sys.argv[1] + "/blobs/sha256")), "referenced:", len(used))
END
  echo "skopeo by its place: $(says skopeo inspect oci:$layout), by the name: $(says skopeo inspect oci:$layout:team/app:1), by the tag: $(says skopeo inspect oci:$layout:1)"
  echo "umoci ls: $(umoci ls --layout $layout | wc -l) names"
} | tee seen
cat > expected <<'END'
annotations of the index: {'org.opencontainers.image.ref.name': 'team/app:1'} of the descriptor: None
blobs: 5 referenced: 4
skopeo by its place: exit 0, by the name: exit 1, by the tag: exit 1
umoci ls: 0 names
END
as_stated
