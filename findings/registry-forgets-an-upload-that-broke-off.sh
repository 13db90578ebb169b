#!/bin/sh
# docker-registry 2.8.2 (Debian 2.8.2+ds1-1): an upload in chunks whose second chunk breaks off on the way, or whose answer is lost, and
# the request that the distribution specification has for this (GET of the upload, answered by the range that has been received).
#
# One would expect that range, a PATCH from there on, and a refusal (416) of a chunk that does not begin where the last one ended.
# Seen: the place of the upload, whose first chunk was answered by 202, is 404 BLOB_UPLOAD_INVALID from then on, for GET, PATCH and
# DELETE: the offset is part of the URL, and one that the registry does not expect any more is no upload to it. Only the answer that was
# lost has the right one. What it had received stays on its disk, and no client can delete it. When all answers arrive, a
# chunk is appended whatever its Content-Range says: the same one sent twice is there twice, 202, and only the digest at the end tells.
#
# What follows: an upload that broke off has to begin anew at such a registry, however much it has, so that over a bad link one long
# request is worth no more than its end; and its disk needs the purging of old uploads.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1
port=$(free_port)
serve data "$port"
uploads=http://127.0.0.1:$port/v2/app/blobs/uploads/
head -c 500000 /dev/zero > chunk
location() { tr -d '\r' < headers | sed -n 's/^Location: //p'; }
said() { tr -d '\r' < headers | sed -n '1s/[^ ]* \([0-9]*\).*/\1/p; s/^Range: / range /p' | tr -d '\n'; grep -o 'BLOB_UPLOAD_INVALID' body | sed 's/^/ /' || true; }
ask() { : > body; curl -s -D headers -o body "$@"; said; }
patch() { ask -X PATCH -H 'Content-Type: application/octet-stream' -H "Content-Range: $2" --data-binary @chunk "$1"; }
break_off() { # break_off URL: sends half of a chunk, and closes the connection
  python3 - "$1" <<'END'
import socket, sys, time
host, path = sys.argv[1].removeprefix("http://").split("/", 1)
name, port = host.split(":")
with socket.create_connection((name, int(port))) as connection:
    connection.sendall(f"PATCH /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"
                       "Content-Range: 500000-999999\r\nContent-Length: 500000\r\n\r\n".encode() + bytes(250000))
    time.sleep(1)
END
  sleep 1
}
on_disk() { find data -path '*_uploads*' -name data -exec stat -c %s {} +; }
{
  echo "POST: $(ask -X POST "$uploads")"; place=$(location)
  echo "first chunk: $(patch "$place" 0-499999)"; place=$(location)
  echo "GET: $(ask "$place")"
  break_off "$place"
  echo "after half of the second chunk: GET: $(ask "$place"); on disk: $(on_disk)"
  echo "the second chunk again: $(patch "$place" 500000-999999)"
  echo "DELETE: $(ask -X DELETE "$place"); on disk: $(on_disk)"
  echo "another upload: $(ask -X POST "$uploads")"; place=$(location)
  echo "first chunk: $(patch "$place" 0-499999)"; place=$(location)
  echo "the same again, at the new place: $(patch "$place" 0-499999)"
} | tee seen
cat > expected <<'END'
POST: 202 range 0-0
first chunk: 202 range 0-499999
GET: 204 range 0-499999
after half of the second chunk: GET: 404 BLOB_UPLOAD_INVALID; on disk: 750000
the second chunk again: 404 BLOB_UPLOAD_INVALID
DELETE: 404 BLOB_UPLOAD_INVALID; on disk: 750000
another upload: 202 range 0-0
first chunk: 202 range 0-499999
the same again, at the new place: 202 range 0-999999
END
as_stated
