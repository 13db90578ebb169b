#!/bin/sh
# umoci 0.4.7 (Debian 0.4.7+ds-3+b7) on a layout that holds a referrer without the image that it refers to, as tools leave
# behind that copy an SBOM or a signature on its own. The image specification allows that: a `subject` may be absent.
#
# Seen: `umoci gc` fails on the subject as if it were content of the layout ("get blob: open …: no such file or directory")
# and frees nothing, for as long as the referrer is there. The named image beside it can be read.
#
# What follows: keep referrers whose subject is elsewhere out of layouts that umoci has to clean.
. "$(dirname "$0")/support/common"
debs umoci=0.4.7+ds-3+b7
image=application/vnd.oci.image.manifest.v1+json
new_layout l
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}' > config
printf '{}' > empty; echo sbom > sbom; echo garbage > garbage
manifest config > manifest; blob l config any > /dev/null; blob l garbage any > /dev/null
named=$(blob l manifest $image | sed 's/}$/,"annotations":{"org.opencontainers.image.ref.name":"x"}}/')
absent='{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","size":10}'
printf '{"schemaVersion":2,"mediaType":"%s","artifactType":"application/vnd.example.sbom","config":%s,"layers":[%s],"subject":%s}' \
  $image "$(blob l empty application/vnd.oci.empty.v1+json)" "$(blob l sbom text/plain)" "$absent" > referrer
unnamed=$(blob l referrer $image)
run() { code=0; umoci "$@" > out 2>&1 || code=$?; echo "$code $(grep -o 'no such file or directory' out || true)"; }
blobs() { find l/blobs -type f | wc -l; }
{
  printf '{"schemaVersion":2,"manifests":[%s,%s]}' "$named" "$unnamed" > l/index.json
  echo "with the referrer: gc exits $(run gc --layout l); $(blobs) blobs; stat of the image exits $(run stat --image l:x)"
  printf '{"schemaVersion":2,"manifests":[%s]}' "$named" > l/index.json
  echo "without it: gc exits $(run gc --layout l); $(blobs) blobs"
} | tee seen
cat > expected <<'END'
with the referrer: gc exits 1 no such file or directory; 6 blobs; stat of the image exits 0 
without it: gc exits 0 ; 2 blobs
END
as_stated
