#!/bin/sh
# An OCI layout whose index.json gives one `org.opencontainers.image.ref.name` to the manifests of two platforms, each with its
# `platform`. The image specification does not rule it out (see opencontainers/image-spec#581).
# skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10), umoci 0.4.7 (Debian 0.4.7+ds-3+b7).
#
# One would expect the host's platform, as in a nested index, or an error.
# Seen: skopeo takes the entry that is listed first, on every host and whatever --override-arch says, exit 0. umoci lists the
# name twice and opens neither ("tag is ambiguous").
#
# What follows: such a layout has to be turned into one with an index, or one name for each platform, before others read it.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 umoci=0.4.7+ds-3+b7 libgpgme11 libdevmapper1.02.1
new_layout l
echo hello > file; tar --format=ustar -cf layer file; blob l layer any > /dev/null
for arch in s390x amd64; do
  printf '{"architecture":"%s","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' $arch "$(digest layer)" > config
  blob l config any > /dev/null
  manifest config layer > manifest.$arch
  blob l manifest.$arch application/vnd.oci.image.manifest.v1+json |
    sed "s|}\$|,\"platform\":{\"os\":\"linux\",\"architecture\":\"$arch\"},\"annotations\":{\"org.opencontainers.image.ref.name\":\"app\"}}|" > entry.$arch
done
taken() { rm -rf copy; skopeo "$@" copy -q --insecure-policy oci:l:app oci:copy:app && skopeo inspect --config oci:copy:app | sed 's/.*"architecture": *"\([a-z0-9]*\)".*/\1/' | grep -oE 'amd64|s390x' | head -1; }
for order in "s390x amd64" "amd64 s390x"; do
  set -- $order
  printf '{"schemaVersion":2,"manifests":[%s,%s]}' "$(cat "entry.$1")" "$(cat "entry.$2")" > l/index.json
  echo "$order: skopeo $(taken), for amd64 $(taken --override-arch amd64), for s390x $(taken --override-arch s390x);" \
    "umoci ls $(umoci ls --layout l | xargs), stat: $(umoci stat --image l:app 2>&1 | grep -ao 'tag is ambiguous' | head -1)"
done | tee seen
cat > expected <<'END'
s390x amd64: skopeo s390x, for amd64 s390x, for s390x s390x; umoci ls app app, stat: tag is ambiguous
amd64 s390x: skopeo amd64, for amd64 amd64, for s390x amd64; umoci ls app app, stat: tag is ambiguous
END
as_stated
