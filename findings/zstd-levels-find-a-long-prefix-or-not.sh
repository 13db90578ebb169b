#!/bin/sh
# zstd 1.5.7 (backports.zstd 1.8.0 by pyzstd 0.20.0, PyPI): a file of 7.8 MB compressed with its own earlier version as the
# prefix, as deltas are made. Ten bytes differ; the window covers both.
#
# Seen: levels 3, 6 and 9 find next to nothing of the prefix, and write 3.6 MB and more, as without it. Level 12 writes under 1 kB, and so
# does level 3 with a larger hash table; at levels 6 and 9 that does not help. With the table for long distances all of them write
# under 1 kB.
#
# What follows: rpull makes deltas with long distances from prefixes of 1 MiB on.
. "$(dirname "$0")/support/common"
python3 -m venv venv; venv/bin/pip -q install pyzstd==0.20.0 backports.zstd==1.8.0 2> /dev/null
venv/bin/python - <<'END' | tee seen
import random
import pyzstd
from pyzstd import CParameter as C

print("zstd", pyzstd.zstd_version)
numbers = random.Random(7)
old = b"".join(str(numbers.getrandbits(32)).encode() for _ in range(800_000))
new = old[:2_000_000] + b"version 2" + old[2_000_010:]
prefix = pyzstd.ZstdDict(old, is_raw=True).as_prefix

def size(level, with_prefix=True, **options):
    options = {C.compressionLevel: level, C.windowLog: 24, **{getattr(C, key): value for key, value in options.items()}}
    made = pyzstd.compress(new, options, prefix if with_prefix else None)
    return "under 1 kB" if len(made) < 1000 else f"{len(made) / len(new):.0%}"

for level in (3, 6, 9, 12):
    print(f"level {level}: without the prefix {size(level, False)}, with it {size(level)}, "
          f"with 2^24 hashes {size(level, hashLog=24)}, with long distances {size(level, enableLongDistanceMatching=1)}")
END
cat > expected <<'END'
zstd 1.5.7
level 3: without the prefix 49%, with it 49%, with 2^24 hashes under 1 kB, with long distances under 1 kB
level 6: without the prefix 46%, with it 46%, with 2^24 hashes 46%, with long distances under 1 kB
level 9: without the prefix 46%, with it 47%, with 2^24 hashes 46%, with long distances under 1 kB
level 12: without the prefix 46%, with it under 1 kB, with 2^24 hashes under 1 kB, with long distances under 1 kB
END
as_stated
