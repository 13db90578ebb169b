#!/bin/sh
# podman 4.3.1 (Debian 4.3.1+ds1-8+deb12u1+b3): `podman import` of one root file system as a tar, a tar.gz, a tar.zst and a tar.xz, as
# distributions offer them; then `podman push` to docker-registry 2.8.2 (Debian 2.8.2+ds1-1) and `podman save`.
#
# One would expect one diff_id, that of the tar, or a refusal of what it cannot decompress.
# Seen: all are imported, and all containers have the right files. Of tar.zst and tar.xz the diff_id is the digest of the compressed file;
# what is pushed and saved is the tar, by gzip or plain, so that no such image fits its config. Push and save exit 0, and another podman
# pulls it. docker 20.10.24 (Debian 20.10.24+dfsg1-1+deb12u1+b6) and containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3) refuse it.
#
# What follows: decompress a tar before `podman import`, unless it is by gzip. Images that are out already have to be made anew: in
# every copy of them, the diff_id is wrong.
. "$(dirname "$0")/support/common"
debs podman=4.3.1+ds1-8+deb12u1+b3 libgpgme11 libdevmapper1.02.1 libsubid4 docker-registry=2.8.2+ds1-1 containerd=1.6.20~ds1-1+deb12u3 \
  docker.io=20.10.24+dfsg1-1+deb12u1+b6 runc zstd=1.5.4+dfsg2-5
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
podman() { store=$1; shift; command podman --root "$work/podman-$store" --runroot "$work/podman-run-$store" --storage-driver vfs "$@"; }
port=$(free_port)
serve data "$port"
start_containerd
start_docker
mkdir files; seq 10000 > files/numbers; tar --format=ustar -cf root.tar -C files numbers
gzip -k root.tar; zstd -q root.tar; xz -k root.tar
exits() { code=0; "$@" > out 2>&1 || code=$?; echo "exit $code$(grep -oE "wrong diff id|invalid diffID|layers from manifest don't match" out | head -1 | sed 's/^/, /')"; }
for file in root.tar root.tar.gz root.tar.zst root.tar.xz; do
  image=127.0.0.1:$port/app:${file##*.}
  podman here import -q $file "$image" > /dev/null 2>&1
  container=$(podman here create "$image" x)
  diff_id=$(podman here image inspect -f '{{index .RootFS.Layers 0}}' "$image")
  echo "$file: the same file: $(cmp -s files/numbers "$(podman here mount "$container")/numbers" && echo yes)," \
    "diff_id of $([ "$diff_id" = "$(digest root.tar)" ] && echo the tar)$([ $file != root.tar ] && [ "$diff_id" = "$(digest $file)" ] && echo the compressed file)"
  echo "  push: $(exits podman here push -q --tls-verify=false "$image"); save: $(exits podman here save -q -o $file.saved "$image")"
  echo "  podman pull: $(exits podman "there-$file" pull --signature-policy policy.json -q --tls-verify=false "$image")"
  echo "  docker pull: $(exits docker pull "$image"); docker load: $(exits docker load -i $file.saved)"
  echo "  containerd pull: $(exits ctr images pull --plain-http --snapshotter native "$image")"
done | tee seen
stop "$docker"
cat > expected <<'END'
root.tar: the same file: yes, diff_id of the tar
  push: exit 0; save: exit 0
  podman pull: exit 0
  docker pull: exit 0; docker load: exit 0
  containerd pull: exit 0
root.tar.gz: the same file: yes, diff_id of the tar
  push: exit 0; save: exit 0
  podman pull: exit 0
  docker pull: exit 0; docker load: exit 0
  containerd pull: exit 0
root.tar.zst: the same file: yes, diff_id of the compressed file
  push: exit 0; save: exit 0
  podman pull: exit 0
  docker pull: exit 1, layers from manifest don't match; docker load: exit 1, invalid diffID
  containerd pull: exit 1, wrong diff id
root.tar.xz: the same file: yes, diff_id of the compressed file
  push: exit 0; save: exit 0
  podman pull: exit 0
  docker pull: exit 1, layers from manifest don't match; docker load: exit 1, invalid diffID
  containerd pull: exit 1, wrong diff id
END
as_stated
