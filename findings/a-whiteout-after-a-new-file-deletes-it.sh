#!/bin/sh
# Layers that replace a file, or a directory, by a whiteout and a new one of the same name, with the whiteout behind the new entry. The image
# specification's layer format has no order for that: whiteouts apply only to lower layers. Unpacked by umoci 0.4.7 (Debian 0.4.7+ds-3+b7),
# and by docker 20.10.24 (Debian 20.10.24+dfsg1-1+deb12u1+b6), podman 4.3.1 (Debian 4.3.1+ds1-8+deb12u1+b3) and containerd 1.6.20 (Debian
# 1.6.20~ds1-1+deb12u3), each with a storage driver that copies (vfs, native) and with overlayfs. It needs root, and a file system that
# overlayfs can lie on.
#
# One would expect the new file, as with the whiteout in front.
# Seen: only umoci has it. With vfs and native all three engines delete the new file, exit 0, and say nothing; a new directory is deleted
# and then missed, which is an error. With overlayfs all three refuse both ("file exists"), as a whiteout is a device under the name itself
# there. An opaque whiteout behind the new files works everywhere.
#
# What follows: a layer has its whiteouts in front of its files. One that was made the other way round may lose files on one host and fail on
# the next; `rpull unpack` and `rpull flatten` read it as umoci does.
. "$(dirname "$0")/support/common"
debs_of_engines
start_containerd
mkdir -p base/dir new/dir
echo 1 > base/file; echo 1 > base/dir/old; echo 2 > new/file; echo 2 > new/dir/new
: > new/.wh.file; : > new/.wh.dir; : > new/dir/.wh..wh..opq
tar --format=ustar -cf lower -C base file dir
tar --format=ustar -cf first -C new .wh.file file
tar --format=ustar -cf last -C new file .wh.file
tar --format=ustar -cf directory -C new --no-recursion dir dir/new .wh.dir
tar --format=ustar -cf opaque -C new --no-recursion dir dir/new dir/.wh..wh..opq
for layer in first last directory opaque; do
  layout_of with-$layer lower $layer
  echo "a layer of" $(tar -tf $layer)
  files_everywhere with-$layer:x
done | tee seen
cat > expected <<'END'
a layer of .wh.file file
  umoci: dir/old file
  docker, vfs: dir/old file
  docker, overlay2: dir/old file
  podman, vfs: dir/old file
  podman, overlay: dir/old file
  containerd, native: dir/old file
  containerd, overlayfs: dir/old file
a layer of file .wh.file
  umoci: dir/old file
  docker, vfs: dir/old
  docker, overlay2: file exists
  podman, vfs: dir/old
  podman, overlay: file exists
  containerd, native: dir/old
  containerd, overlayfs: file exists
a layer of dir/ dir/new .wh.dir
  umoci: dir/new file
  docker, vfs: no such file or directory
  docker, overlay2: file exists
  podman, vfs: no such file or directory
  podman, overlay: file exists
  containerd, native: no such file or directory
  containerd, overlayfs: file exists
a layer of dir/ dir/new dir/.wh..wh..opq
  umoci: dir/new file
  docker, vfs: dir/new file
  docker, overlay2: dir/new file
  podman, vfs: dir/new file
  podman, overlay: dir/new file
  containerd, native: dir/new file
  containerd, overlayfs: dir/new file
END
as_stated
