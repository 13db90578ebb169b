#!/bin/sh
# A layer of several zstd frames, as zstd:chunked writes it (RFC 8878: the content of frames is concatenated, skippable frames
# are ignored), read by zstandard 0.25.0 (PyPI), @bokuweb/zstd-wasm 0.0.27 and fzstd 0.1.1 (npm).
#
# One would expect all of it, or an error.
# Seen: one library gives three answers. zstandard's decompress() and decompressobj() return the first frame only, without an
# error; stream_reader() and copy_stream() return everything. With a skippable frame in front decompress() fails with
# "decompressed 0 bytes; expected 5", where 5 is the length of the skippable frame's data, and decompressobj() returns nothing
# without an error. zstd-wasm fails with "Failed to compress with code -70" while it decompresses. fzstd is right.
#
# What follows: hold what comes out of a layer against its diff_id, whatever the library says about success.
. "$(dirname "$0")/support/common"
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check zstandard==0.25.0
npm init -y > /dev/null; npm install --silent @bokuweb/zstd-wasm@0.0.27 fzstd@0.1.1 > /dev/null
cat > write.py <<'END'
import struct, zstandard
frame = zstandard.ZstdCompressor(write_content_size=True).compress
one, two = frame(b"a" * 300_000), frame(b"b" * 300_000)
skippable = struct.pack("<II", 0x184D2A50, 5) + b"table"
open("frames", "wb").write(one + two)
open("skippable-last", "wb").write(one + two + skippable)
open("skippable-first", "wb").write(skippable + one + two)
END
cat > read.py <<'END'
import io, sys, zstandard
data, d = open(sys.argv[1], "rb").read(), zstandard.ZstdDecompressor()
for name, read in [("decompress", lambda: len(d.decompress(data))), ("decompressobj", lambda: len(d.decompressobj().decompress(data))),
                   ("stream_reader", lambda: len(d.stream_reader(io.BytesIO(data)).read())), ("copy_stream", lambda: d.copy_stream(io.BytesIO(data), io.BytesIO())[1])]:
    try: print(f"{sys.argv[1]}: zstandard {name}: {read()}")
    except zstandard.ZstdError as error: print(f"{sys.argv[1]}: zstandard {name}: {error}")
END
cat > read.js <<'END'
const fs = require('fs'), file = process.argv[2], data = fs.readFileSync(file);
const wasm = require('@bokuweb/zstd-wasm'), fzstd = require('fzstd');
wasm.init().then(() => {
  for (const [name, read] of [['zstd-wasm', () => wasm.decompress(data).length], ['fzstd', () => fzstd.decompress(data).length]]) {
    try { console.log(`${file}: ${name}: ${read()}`); } catch (error) { console.log(`${file}: ${name}: ${error.message}`); }
  }
});
END
py/bin/python write.py
for layer in frames skippable-last skippable-first; do py/bin/python read.py $layer; node read.js $layer; done | tee seen
cat > expected <<'END'
frames: zstandard decompress: 300000
frames: zstandard decompressobj: 300000
frames: zstandard stream_reader: 600000
frames: zstandard copy_stream: 600000
frames: zstd-wasm: Failed to compress with code -70
frames: fzstd: 600000
skippable-last: zstandard decompress: 300000
skippable-last: zstandard decompressobj: 300000
skippable-last: zstandard stream_reader: 600000
skippable-last: zstandard copy_stream: 600000
skippable-last: zstd-wasm: Failed to compress with code -70
skippable-last: fzstd: 600000
skippable-first: zstandard decompress: decompression error: decompressed 0 bytes; expected 5
skippable-first: zstandard decompressobj: 0
skippable-first: zstandard stream_reader: 600000
skippable-first: zstandard copy_stream: 600000
skippable-first: zstd-wasm: Failed to compress with code -70
skippable-first: fzstd: 600000
END
as_stated
