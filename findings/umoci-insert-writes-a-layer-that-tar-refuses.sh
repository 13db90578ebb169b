#!/bin/sh
# umoci 0.4.7 (Debian 0.4.7+ds-3+b7): `umoci insert` of a file.
#
# Seen: the layer's tar ends with the file's last byte: 515 bytes for a file of three, without padding and without the two
# zero blocks at the end. diff_id and digest are those of these bytes, so they cannot be repaired on the way. umoci itself,
# BusyBox 1.35 and tar 7.5.23 (npm, with a warning) read it; GNU tar, bsdtar (libarchive) 3.6.2 and Python's tarfile end
# with an error after the entry.
#
# What follows: end of input inside the padding of the last file is the end of such a layer; the diff_id decides.
. "$(dirname "$0")/support/common"
debs umoci=0.4.7+ds-3+b7 busybox=1:1.35.0-4+deb12u1+b1 libarchive-tools=3.6.2-1+deb12u5 libarchive13=3.6.2-1+deb12u5
npm init -y > /dev/null; npm install --silent tar@7.5.23 > /dev/null
printf 'hi\n' > file
umoci init --layout l; umoci new --image l:x; umoci insert --image l:x file /file
python3 -c '
import gzip, json
blob = lambda d: open("l/blobs/" + d["digest"].replace(":", "/"), "rb").read()
layer = json.loads(blob(json.load(open("l/index.json"))["manifests"][0]))["layers"][0]
open("layer.tar", "wb").write(gzip.decompress(blob(layer)))'
attempt() { if "$@" > out 2>&1; then echo "exit 0"; else echo "fails: $(grep -aoE 'Unexpected EOF|Truncated input|unexpected end of data' out | tail -1)"; fi; }
{
  echo "size:    $(stat -c %s layer.tar)"
  echo "umoci:   $(attempt umoci unpack --image l:x bundle), $(cat bundle/rootfs/file)"
  echo "busybox: $(attempt busybox tar -tf layer.tar)"
  echo "npm tar: $(attempt node -e 'require("tar").t({file: "layer.tar", sync: true})')"
  echo "GNU tar: $(attempt tar -tf layer.tar)"
  echo "bsdtar:  $(attempt bsdtar -tf layer.tar)"
  echo "python:  $(attempt python3 -c 'import tarfile; tarfile.open("layer.tar").getnames()')"
} | tee seen
cat > expected <<'END'
size:    515
umoci:   exit 0, hi
busybox: exit 0
npm tar: exit 0
GNU tar: fails: Unexpected EOF
bsdtar:  fails: Truncated input
python:  fails: unexpected end of data
END
as_stated
