#!/bin/sh
# docker-registry 2.8.2 (Debian 2.8.2+ds1-1): a Range of a blob that cannot be satisfied.
#
# One would expect a 416 whose Content-Length is that of its own short body.
# Seen: the 416 carries the blob's length as Content-Length and a body of 33 bytes, then the connection is closed. curl
# ends with 18 ("transfer closed with outstanding read data remaining"). A client that reads error bodies to their
# announced end sees a broken connection in place of a 416 and tries again.
#
# What follows: status and headers of a 416 decide; its body may end early, and that is no fault worth a retry.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1
port=$(free_port)
serve data "$port"
app=http://127.0.0.1:$port/v2/app
head -c 100000 /dev/zero > blob
put_blob "$app" blob
code=0
curl -s -D headers -o body -H 'Range: bytes=100000-' "$app/blobs/$(digest blob)" || code=$?
{
  tr -d '\r' < headers | grep -iE '^(HTTP|content-(length|range))'
  echo "body of $(stat -c %s body) bytes: $(cat body)"
  echo "curl ends with $code"
} | tee seen
cat > expected <<'END'
HTTP/1.1 416 Requested Range Not Satisfiable
Content-Length: 100000
Content-Range: bytes */100000
body of 33 bytes: invalid range: failed to overlap
curl ends with 18
END
as_stated
