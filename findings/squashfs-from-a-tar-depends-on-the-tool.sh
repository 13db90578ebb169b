#!/bin/sh
# A root file system as a tar, made into squashfs by `sqfstar` (squashfs-tools 4.5.1, Debian 1:4.5.1-1) and by `tar2sqfs`
# (squashfs-tools-ng 1.2.0, Debian 1.2.0-1), as images for small devices are made. The tar is GNU tar's: its root directory has
# mode 0750 and an owner, one file was appended again in a newer version (`tar -r`), one is older than 1970.
#
# One would expect the same tree from both, and the newer file, which every tar extracts.
# Seen: sqfstar passes over the entry of the root ("Empty tar filename"), so that the root of the file system is mode 0777 and owned
# by root; it keeps the older of the two files ("already exists in the tar file, ignoring"), exit 0; and it fails on the old
# file ("Failed to parse pax header"). tar2sqfs keeps mode and owner of the root, fails on the appended file, and turns the
# time before 1970 into 1970 without a word.
#
# What follows: give sqfstar `-root-mode` and `-root-uid`, and both a tar in which every path stands once.
. "$(dirname "$0")/support/common"
debs squashfs-tools=1:4.5.1-1 squashfs-tools-ng=1.2.0-1 libsquashfs1=1.2.0-1 liblzo2-2=2.10-2
mkdir -p root-entry appended old
chmod 0750 root-entry; echo x > root-entry/file
tar --format=pax --owner=:1000 --group=:1000 -C root-entry -cf root-entry.tar .
echo old > appended/file; tar -C appended -cf appended.tar file
echo newer > appended/file; tar -C appended -rf appended.tar file
echo x > old/file; touch -d '1969-12-31 23:59:55 UTC' old/file; tar --format=pax -C old -cf old.tar file
make() { # TOOL TAR: the file system, or the first line of what the tool says
  rm -f made
  case $1 in sqfstar) set -- "$2" sqfstar -quiet -no-progress made ;; *) set -- "$2" tar2sqfs -q -f made ;; esac
  tar=$1; shift
  if "$@" < "$tar" > /dev/null 2> said; then
    echo "exit 0, root $(unsquashfs -lln made | awk 'NR == 1 { print $1, $2 }'), file $(unsquashfs -cat made file | tr -d '\n') of $(TZ=UTC unsquashfs -lln made /file | awk '/file$/ { print $4 }' | cut -c1-4)"
  else
    echo "fails: $(sed -n 1p said)"
  fi
}
for tar in root-entry appended old; do
  for tool in sqfstar tar2sqfs; do echo "$tar: $tool: $(make $tool $tar.tar)"; done
done | sed "s/$(date -u +%Y)/this year/" > seen
cat seen
cat > expected <<'END'
root-entry: sqfstar: exit 0, root drwxrwxrwx 0/0, file x of this year
root-entry: tar2sqfs: exit 0, root drwxr-x--- 1000/1000, file x of this year
appended: sqfstar: exit 0, root drwxrwxrwx 0/0, file old of this year
appended: tar2sqfs: fails: file: File exists
old: sqfstar: fails: Failed to parse pax header
old: tar2sqfs: exit 0, root drwxr-xr-x 0/0, file x of 1970
END
as_stated
