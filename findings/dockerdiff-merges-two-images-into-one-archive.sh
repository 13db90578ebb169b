#!/bin/sh
# docker-image-diff 0.1.0 (PyPI), its program `dockerdiff`, which sends only what is new of a `docker save` archive: `diff` of the archives
# of an old and a new version of one image, and `merge` of the old one with that difference.
#
# One would expect the archive of the new version.
# Seen: the members of the difference are appended to those of the old archive, so that `manifest.json` is in it twice, as it is where
# `tar -r` writes a newer version of a file. Of that one archive docker 20.10.24 (Debian 20.10.24+dfsg1-1+deb12u1+b6), which
# extracts it, and containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3), which reads to its end, load the new version; skopeo 1.9.3 (Debian
# 1.9.3+ds1-1+b10) and podman 4.3.1 (Debian 4.3.1+ds1-8+deb12u1+b3), which stop at the first match, the old one. All name it app:1, all
# exit 0, and nothing warns.
#
# What follows: an archive with two manifest.json has no single meaning, and a reader should refuse it. A merged archive has to go
# through docker once (`docker load`, `docker save`) before other tools load it, and the image id has to be compared at the end.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 containerd=1.6.20~ds1-1+deb12u3 docker.io=20.10.24+dfsg1-1+deb12u1+b6 \
  runc podman=4.3.1+ds1-8+deb12u1+b3 libsubid4
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check docker-image-diff==0.1.0
for version in old new; do
  new_layout $version
  echo $version > version; tar --format=ustar --mtime=@0 -cf layer version
  printf '{"architecture":"amd64","os":"linux","config":{"Labels":{"version":"%s"}},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created_by":"COPY version /"}]}' \
    $version "$(digest layer)" > config
  blob $version config any > /dev/null; blob $version layer any > /dev/null
  manifest config layer > manifest
  printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob $version manifest application/vnd.oci.image.manifest.v1+json)" > $version/index.json
  skopeo copy -q --insecure-policy oci:$version docker-archive:$version.tar:app:1
done
py/bin/dockerdiff diff --base old.tar --new new.tar --output difference.tar > /dev/null
py/bin/dockerdiff merge --base old.tar --diff difference.tar --output merged.tar > /dev/null

start_containerd
start_docker
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
podman() { command podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs --cgroup-manager cgroupfs "$@"; }
label() { python3 -c 'import json, sys; print(json.load(sys.stdin)["config"]["Labels"]["version"])'; }
for archive in old new merged; do
  docker load -q -i $archive.tar > /dev/null
  podman load --signature-policy policy.json -q -i $archive.tar > /dev/null 2>&1
  ctr images import --no-unpack $archive.tar > /dev/null
  ctr images export exported.tar docker.io/library/app:1
  tar -xf exported.tar manifest.json
  config=$(python3 -c 'import json; print(json.load(open("manifest.json"))[0]["Config"])')
  echo "$archive: $(tar -tf $archive.tar | grep -c '^manifest.json$') manifest.json; docker $(docker inspect -f '{{.Config.Labels.version}}' app:1)," \
    "containerd $(tar -xOf exported.tar "$config" | label), skopeo $(skopeo inspect --config docker-archive:$archive.tar | label)," \
    "podman $(podman image inspect -f '{{.Labels.version}}' docker.io/library/app:1)"
done | tee seen
stop "$docker"
cat > expected <<'END'
old: 1 manifest.json; docker old, containerd old, skopeo old, podman old
new: 1 manifest.json; docker new, containerd new, skopeo new, podman new
merged: 2 manifest.json; docker new, containerd new, skopeo old, podman old
END
as_stated
