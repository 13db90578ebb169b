#!/bin/sh
# Images of two layers, the second of which can be read only with the first: it has `lib/new`, where lib is a symbolic link to usr/lib in
# the first one, as on merged systems, and no entry for lib itself; or it is one hard link to a file of the first. Nothing in the image
# specification's layer format is against either. Unpacked by umoci 0.4.7 (Debian 0.4.7+ds-3+b7), and by docker 20.10.24 (Debian
# 20.10.24+dfsg1-1+deb12u1+b6), podman 4.3.1 (Debian 4.3.1+ds1-8+deb12u1+b3) and containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3), each with
# a storage driver that copies (vfs, native) and with overlayfs. It needs root, and a file system that overlayfs can lie on.
#
# One would expect each engine to have the same files with both drivers, or to refuse both.
# Seen: umoci, vfs and native have usr/lib/new, and the file under its second name. With overlayfs each layer is unpacked into a directory
# of its own, where the lower one is not. There lib becomes a directory with nothing but the new file, in place of the link, in all three
# engines, exit 0: what was to be found by /lib is not there any more. The hard link fails ("no such file or directory").
#
# What follows: an image that works in CI with vfs may be broken with overlayfs. A layer should have the real paths of the base (usr/lib,
# not lib), and each file itself beside the links to it. `rpull unpack --overlay` reads both as umoci does, and `rpull flatten` makes an
# image of them that is the same everywhere.
. "$(dirname "$0")/support/common"
debs_of_engines
start_containerd
mkdir -p base/usr/lib upper/lib; echo 1 > base/usr/lib/old; ln -s usr/lib base/lib
echo 2 > upper/lib/new; ln base/usr/lib/old base/usr/lib/second
tar --format=ustar -cf lower -C base lib usr/lib/old
tar --format=ustar -cf symbolic -C upper lib/new
tar --format=ustar -cf hard -C base usr/lib/old usr/lib/second && tar --delete -f hard usr/lib/old
for link in symbolic hard; do
  layout_of with-$link lower $link
  echo "$link link"
  files_everywhere with-$link:x
done | tee seen
cat > expected <<'END'
symbolic link
  umoci: lib usr/lib/new usr/lib/old
  docker, vfs: lib usr/lib/new usr/lib/old
  docker, overlay2: lib/new usr/lib/old
  podman, vfs: lib usr/lib/new usr/lib/old
  podman, overlay: lib/new usr/lib/old
  containerd, native: lib usr/lib/new usr/lib/old
  containerd, overlayfs: lib/new usr/lib/old
hard link
  umoci: lib usr/lib/old usr/lib/second
  docker, vfs: lib usr/lib/old usr/lib/second
  docker, overlay2: no such file or directory
  podman, vfs: lib usr/lib/old usr/lib/second
  podman, overlay: no such file or directory
  containerd, native: lib usr/lib/old usr/lib/second
  containerd, overlayfs: no such file or directory
END
as_stated
