#!/bin/sh
# `umoci insert --opaque` of a directory into the root of an image (umoci 0.4.7, Debian 0.4.7+ds-3+b7), which replaces all that is in it: the
# layer has an opaque whiteout in the root directory; and of one into /srv. Both images are loaded by docker 20.10.24 (Debian
# 20.10.24+dfsg1-1+deb12u1+b6), podman 4.3.1 (Debian 4.3.1+ds1-8+deb12u1+b3) and containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3), each
# with a storage driver that copies (vfs, native) and with overlayfs. It needs root, and a file system that overlayfs can lie on.
#
# One would expect the new files in place of the old ones, in the root as in /srv.
# Seen: in /srv that is so everywhere. In the root the old files are there again beside the new ones with overlayfs, in all three engines:
# they mark the layer's root as opaque, and the kernel does not go by that mark on the root of a layer. With vfs and native, and unpacked by
# umoci, only the new files are there. So one engine has two trees for one image. All exit 0 and say nothing.
#
# What follows: the digest of an image with such a layer does not tell which files a host has. An image that replaces everything begins
# without a base, or deletes by name what is in the root; and what unpacks for overlayfs has to write whiteouts by name there, as
# `rpull unpack --overlay` does.
. "$(dirname "$0")/support/common"
debs_of_engines
start_containerd
mkdir -p base/srv new-root new-srv
echo 1 > base/old; echo 1 > base/srv/old; echo 2 > new-root/new; echo 2 > new-srv/new
tar --format=ustar -cf layer -C base old srv
layout_of app layer
for directory in srv root; do
  umoci insert --opaque --image app:x --tag $directory new-$directory "/${directory#root}"
  echo "opaque: /${directory#root}"
  files_everywhere app:$directory
done | tee seen
cat > expected <<'END'
opaque: /srv
  umoci: old srv/new
  docker, vfs: old srv/new
  docker, overlay2: old srv/new
  podman, vfs: old srv/new
  podman, overlay: old srv/new
  containerd, native: old srv/new
  containerd, overlayfs: old srv/new
opaque: /
  umoci: new
  docker, vfs: new
  docker, overlay2: new old srv/old
  podman, vfs: new
  podman, overlay: new old srv/old
  containerd, native: new
  containerd, overlayfs: new old srv/old
END
as_stated
