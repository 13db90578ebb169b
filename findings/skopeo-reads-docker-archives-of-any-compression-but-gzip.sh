#!/bin/sh
# An archive as `docker save` writes it, compressed, as archives of images are handed on: by gzip, bzip2, xz and zstd, read by skopeo 1.9.3
# (Debian 1.9.3+ds1-1+b10), podman 4.3.1 (Debian 4.3.1+ds1-8+deb12u1+b3), docker 20.10.24 (Debian 20.10.24+dfsg1-1+deb12u1+b6) and
# containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3); and the same image as an OCI archive.
#
# One would expect gzip everywhere, as that is what `docker save | gzip` makes, and less of the others.
# Seen: in Debian's builds of skopeo and podman it is the other way round. They take bzip2, xz and zstd, and of the archive by gzip
# they say "unexpected EOF" or "invalid tar header", whatever its size and encoder; `gzip -t` finds it whole. An OCI archive they take by
# gzip as well. docker takes gzip, bzip2 and xz, not zstd; containerd none. So skopeo and docker have bzip2 and xz in
# common, and no compression is read by all.
#
# What follows: an archive for others is not compressed, or is by xz for podman and docker; `gunzip` helps before `podman load`.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 podman=4.3.1+ds1-8+deb12u1+b3 libsubid4 containerd=1.6.20~ds1-1+deb12u3 \
  docker.io=20.10.24+dfsg1-1+deb12u1+b6 runc zstd=1.5.4+dfsg2-5
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
podman() { command podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs "$@"; }
start_containerd
start_docker
new_layout image
seq 100000 > file; tar --format=ustar -cf layer file
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(digest layer)" > config
manifest config layer > manifest
for file in config layer; do blob image $file any > /dev/null; done
printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob image manifest application/vnd.oci.image.manifest.v1+json)" > image/index.json
skopeo copy -q --insecure-policy oci:image docker-archive:first.tar:app:1
docker load -q -i first.tar > /dev/null
docker save -o docker-archive.tar app:1
skopeo copy -q --insecure-policy oci:image oci-archive:oci-archive.tar:app:1
does() { "$@" > out 2>&1 && echo yes || echo no; }
for kind in docker-archive oci-archive; do
  for program in cat gzip bzip2 xz zstd; do
    $program < $kind.tar > archive
    echo "$kind by $program: skopeo $(does skopeo inspect $kind:archive), podman $(does podman load --signature-policy policy.json -i archive)," \
      "$([ $kind = oci-archive ] || echo "docker $(does docker load -i archive), ")containerd $(does ctr images import --no-unpack archive)"
  done
done | sed 's/ by cat/ as it is/' | tee seen
stop "$docker"
cat > expected <<'END'
docker-archive as it is: skopeo yes, podman yes, docker yes, containerd yes
docker-archive by gzip: skopeo no, podman no, docker yes, containerd no
docker-archive by bzip2: skopeo yes, podman yes, docker yes, containerd no
docker-archive by xz: skopeo yes, podman yes, docker yes, containerd no
docker-archive by zstd: skopeo yes, podman yes, docker no, containerd no
oci-archive as it is: skopeo yes, podman yes, containerd yes
oci-archive by gzip: skopeo yes, podman yes, containerd no
oci-archive by bzip2: skopeo yes, podman yes, containerd no
oci-archive by xz: skopeo yes, podman yes, containerd no
oci-archive by zstd: skopeo yes, podman yes, containerd no
END
as_stated
