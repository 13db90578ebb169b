#!/bin/sh
# One file with holes (2 MiB, two pieces of 4 KiB) in the four forms of sparse entries that GNU tar writes into layers, read
# by tar (npm) 7.5.23, tar-stream (npm) 3.2.2, BusyBox tar 1.35 and 7z 26.02 (all pinned below).
#
# One would expect the file or an error.
# Seen: exit 0 and another file. Only the pieces are there, joined (8192 bytes); for version 1.0 the map stands in front of them
# (8704 bytes); for 0.1 and 1.0 the file has a made-up name with a process id in it (GNUSparseFile.PID/file).
# Of GNU's own form npm's tar leaves the file out without a word, tar-stream gives pieces with no type, BusyBox refuses,
# and 7z is right. GNU tar, bsdtar and Python's tarfile read all four.
#
# What follows: files that go to such readers must be written without holes, as `rpull export` does.
. "$(dirname "$0")/support/common"
debs busybox=1:1.35.0-4+deb12u1+b1 p7zip-full=16.02+really26.02+dfsg-0+deb12u1 p7zip=16.02+really26.02+dfsg-0+deb12u1
npm init -y > /dev/null; npm install --silent tar@7.5.23 tar-stream@3.2.2 > /dev/null
python3 -c '
with open("file", "wb") as f:
    f.write(b"A" * 4096); f.seek(1 << 20); f.write(b"B" * 4096); f.truncate(2 << 20)'
tar --format=gnu -Scf gnu.tar file
for version in 0.0 0.1 1.0; do tar --format=pax --sparse-version=$version -Scf pax-$version.tar file; done
cat > stream.js <<'END'
const extract = require('tar-stream').extract();
extract.on('entry', (header, stream, next) => {
  let size = 0;
  stream.on('data', (bytes) => { size += bytes.length; });
  stream.on('end', () => { console.log(`${header.name} ${size} (type ${header.type})`); next(); });
});
require('fs').createReadStream(process.argv[2]).pipe(extract);
END
unpacked() { # COMMAND...: what it makes in a directory of its own, with its exit code
  rm -rf out; mkdir out
  code=0; (cd out && "$@" > ../said 2>&1) || code=$?
  echo "exit $code $(cd out && find . -type f -printf '%P %s ' | sed 's/GNUSparseFile\.[0-9]*/GNUSparseFile.PID/')"
}
for form in gnu pax-0.0 pax-0.1 pax-1.0; do
  echo "$form: npm tar    $(unpacked node -e 'require(process.argv[1]).x({file: process.argv[2], sync: true})' "$work/node_modules/tar" "$work/$form.tar")"
  echo "$form: tar-stream $(node stream.js $form.tar | sed 's/GNUSparseFile\.[0-9]*/GNUSparseFile.PID/')"
  echo "$form: busybox    $(unpacked busybox tar -xf "$work/$form.tar")"
  echo "$form: 7z         $(unpacked "$work/root/usr/lib/p7zip/7z" x -y "$work/$form.tar")"
  echo "$form: python     $(python3 -c 'import sys, tarfile; print([(m.name, len(t.extractfile(m).read())) for t in [tarfile.open(sys.argv[1])] for m in t])' $form.tar)"
done | sed 's/ *$//' > seen
cat seen
cat > expected <<'END'
gnu: npm tar    exit 0
gnu: tar-stream file 8192 (type null)
gnu: busybox    exit 1
gnu: 7z         exit 0 file 2097152
gnu: python     [('file', 2097152)]
pax-0.0: npm tar    exit 0 file 8192
pax-0.0: tar-stream file 8192 (type file)
pax-0.0: busybox    exit 0 file 8192
pax-0.0: 7z         exit 0 file 8192
pax-0.0: python     [('file', 2097152)]
pax-0.1: npm tar    exit 0 GNUSparseFile.PID/file 8192
pax-0.1: tar-stream ./GNUSparseFile.PID/file 8192 (type file)
pax-0.1: busybox    exit 0 GNUSparseFile.PID/file 8192
pax-0.1: 7z         exit 0 GNUSparseFile.PID/file 8192
pax-0.1: python     [('file', 2097152)]
pax-1.0: npm tar    exit 0 GNUSparseFile.PID/file 8704
pax-1.0: tar-stream ./GNUSparseFile.PID/file 8704 (type file)
pax-1.0: busybox    exit 0 GNUSparseFile.PID/file 8704
pax-1.0: 7z         exit 0 GNUSparseFile.PID/file 8704
pax-1.0: python     [('file', 2097152)]
END
as_stated
