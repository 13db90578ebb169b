#!/bin/sh
# One OCI archive whose index.json names its image by `org.opencontainers.image.ref.name` as the image specification's own
# examples do ("v1"), loaded by podman 4.3.1 (Debian 4.3.1+ds1-8+deb12u1+b3) and by containerd 1.6.20 (Debian
# 1.6.20~ds1-1+deb12u3).
#
# Seen: podman takes the tag for a repository (localhost/v1:latest). containerd puts the day of the import in front of it, so
# that the name changes at midnight. Of "app:1" podman makes localhost/app:1, and containerd app:1, without the registry that
# its other clients put in front of names: `docker.io/library/app:1` is another image there. Only a full name is the same.
#
# What follows: write full names (registry/repository:tag) into archives that others load.
. "$(dirname "$0")/support/common"
debs podman=4.3.1+ds1-8+deb12u1+b3 containerd=1.6.20~ds1-1+deb12u3 libgpgme11 libdevmapper1.02.1 libsubid4 libseccomp2
new_layout l
echo hello > file; tar --format=ustar -cf layer file
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(digest layer)" > config
manifest config layer > manifest
for file in layer config; do blob l $file any > /dev/null; done
image=$(blob l manifest application/vnd.oci.image.manifest.v1+json)
start_containerd
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
podman() { command podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs --cgroup-manager cgroupfs "$@"; }
for name in v1 app:1 example.com/team/app:1; do
  printf '{"schemaVersion":2,"manifests":[%s]}' \
    "$(echo "$image" | sed "s|}\$|,\"annotations\":{\"org.opencontainers.image.ref.name\":\"$name\"}}|")" > l/index.json
  tar -C l -cf archive.tar .
  ctr images import --no-unpack archive.tar > /dev/null
  echo "$name: podman $(podman load --signature-policy policy.json -q -i archive.tar 2>&1 | sed -n 's/^Loaded image: //p')," \
    "containerd $(ctr images ls -q | sed "s/import-$(date +%F)/import-TODAY/")"
  ctr images rm "$(ctr images ls -q)" > /dev/null
done | tee seen
cat > expected <<'END'
v1: podman localhost/v1:latest, containerd import-TODAY:v1
app:1: podman localhost/app:1, containerd app:1
example.com/team/app:1: podman example.com/team/app:1, containerd example.com/team/app:1
END
as_stated
