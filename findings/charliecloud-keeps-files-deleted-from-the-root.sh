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
debs charliecloud-builders=0.31-1 charliecloud-runtime=0.31-1 charliecloud-common=0.31-1 python3-lark=1.1.5-1 docker-registry=2.8.2+ds1-1
export PYTHONPATH="$work/root/usr/lib/python3/dist-packages" CH_IMAGE_STORAGE="$work/storage" HOME="$work" USER=somebody
port=$(free_port)
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2> /dev/null
export CURL_CA_BUNDLE="$work/cert.pem" REQUESTS_CA_BUNDLE="$work/cert.pem" SSL_CERT_FILE="$work/cert.pem"
printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s/data}}\nhttp: {addr: "127.0.0.1:%s", tls: {certificate: %s/cert.pem, key: %s/key.pem}}\n' \
  "$work" "$port" "$work" "$work" > tls.yml
docker-registry serve tls.yml > registry.log 2>&1 & running=$!
n=0; until curl -sf -o /dev/null "https://localhost:$port/v2/"; do n=$((n + 1)); [ $n -lt 100 ] || { cat registry.log; exit 1; }; sleep 0.1; done

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
  manifest "$2" one.tar "$3" > manifest.json
  for file in "$2" one.tar "$3"; do put_blob "https://localhost:$port/v2/x" "$file"; done
  put_manifest "https://localhost:$port/v2/x" "$1" manifest.json
  code=0; ch-image --no-cache -a amd64 pull "localhost:$port/x:$1" > said 2>&1 || code=$?
  echo "$1: exit $code, $(tail -1 said)"
  (cd "storage/img/localhost+$port%x+$1" && find . -name deleted -o -name kept) | LC_ALL=C sort | sed "s/^/$1: /"
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
