#!/bin/sh
# A layer of two gzip members (RFC 1952 section 2.2: members simply follow one another; eStargz and `pigz --independent` write
# such), read by fflate 0.8.3 and pako 3.0.3 (npm).
#
# One would expect both members from every call of one library.
# Seen: fflate's gunzipSync(), decompressSync() and gunzip() return the first member only, without an error; its stream class
# Gunzip and pako return everything.
#
# What follows: hold what comes out of a layer against its diff_id, whatever the library says about success.
. "$(dirname "$0")/support/common"
npm init -y > /dev/null; npm install --silent fflate@0.8.3 pako@3.0.3 > /dev/null
head -c 300000 /dev/zero > one
(gzip -nc one; gzip -nc one) > layer.gz
cat > read.js <<'END'
const data = require('fs').readFileSync('layer.gz'), fflate = require('fflate'), pako = require('pako');
const streamed = () => {
  let size = 0;
  const gunzip = new fflate.Gunzip((bytes) => { size += bytes.length; });
  gunzip.push(data, true);
  return size;
};
console.log(`fflate gunzipSync: ${fflate.gunzipSync(data).length}`);
console.log(`fflate decompressSync: ${fflate.decompressSync(data).length}`);
console.log(`fflate Gunzip: ${streamed()}`);
console.log(`pako ungzip: ${pako.ungzip(data).length}`);
fflate.gunzip(data, (error, bytes) => { console.log(`fflate gunzip: ${error ? error.message : bytes.length}`); });
END
node read.js | tee seen
cat > expected <<'END'
fflate gunzipSync: 300000
fflate decompressSync: 300000
fflate Gunzip: 600000
pako ungzip: 600000
fflate gunzip: 300000
END
as_stated
