#!/bin/sh
# Charliecloud 0.31 (Debian 0.31-1), which brings container images to clusters: `ch-image pull` from docker-registry 2.8.2 of
# an image whose second layer deletes one file in the root directory and one in a directory below it, by whiteouts as
# `RUN rm` leaves them; and of the same image with a config without `history`, which the image specification calls OPTIONAL.
#
# One would expect both files to be gone, and both images to be pulled.
# Seen: the file below the directory is gone, and the one in the root directory is there again, "done", exit 0. The names of the
# entries may begin with "./" or not. An opaque whiteout in a directory works. Without `history` the pull fails at its very end:
# all layers are extracted, then "invalid config: missing history".
#
# What follows: flatten an image before such a cluster gets it (`rpull export`), and write `history` into a config.
. "$(dirname "$0")/support/common"
start_charliecloud
mkdir -p below/opaque etc above/below/opaque
echo x > file; cp file deleted; cp file below/deleted; cp file below/kept; cp file below/opaque/deleted
: > above/.wh.deleted; : > above/below/.wh.deleted; : > above/below/opaque/.wh..wh..opq
tar -cf one.tar deleted below etc
tar -C above -cf plain.tar .wh.deleted below
tar -C above -cf dotted.tar .
diff_id() { printf '"%s"' "$(digest "$1")"; }
config() { # FILE LAYER [HISTORY]
  printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%s,%s]}%s}' "$(diff_id one.tar)" "$(diff_id "$2")" "${3-}" > "$1"
}
pull() { # NAME CONFIG LAYER
  ch_pull "$1" "$2" one.tar "$3"
  (cd "$pulled" && find . -name deleted -o -name kept) | LC_ALL=C sort | sed "s/^/$1: /"
}
history=',"history":[{"created":"2024-01-01T00:00:00Z","created_by":"COPY"},{"created":"2024-01-01T00:00:00Z","created_by":"RUN rm"}]'
config plain.json plain.tar "$history"; config dotted.json dotted.tar "$history"; config none.json plain.tar
{ pull plain plain.json plain.tar; pull dotted dotted.json dotted.tar; pull no-history none.json plain.tar; } | tee seen
cat > expected <<'END'
plain: exit 0, done
plain: ./below/kept
plain: ./deleted
dotted: exit 0, done
dotted: ./below/kept
dotted: ./deleted
no-history: exit 1, error: invalid config: missing history
no-history: ./below/kept
no-history: ./deleted
END
as_stated
