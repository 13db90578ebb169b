#!/bin/sh
# containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3): `ctr images import --no-unpack` of a Docker archive of two images, one for this machine
# and one for another platform, as a machine imports that hands images on; and of archives with one image each.
#
# One would expect both images, or an error that names the one that is left out.
# Seen: exit 0, both images are listed. A moment later the config and the layer of that one are gone: they
# were imported, nothing holds them, and the garbage collector takes them, while the name and the manifest stay; it can be neither
# exported nor pushed then. In an archive of its own the same image is refused (exit 1, "image might be filtered out"), and in an OCI
# archive it is imported and stays. With --all-platforms all of it stays.
#
# What follows: import with --all-platforms on a machine that hands images on, and go by `ctr images check` some seconds later.
. "$(dirname "$0")/support/common"
debs containerd=1.6.20~ds1-1+deb12u3
start_containerd
this=$(dpkg --print-architecture)
for platform in "$this" s390x; do
  echo "$platform" > file; tar --format=ustar -cf "$platform.tar" file
  printf '{"architecture":"%s","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created_by":"COPY file /"}]}' \
    "$platform" "$(digest "$platform.tar")" > "$platform.json"
  [ "$platform" = s390x ] && kind=other || kind=this
  printf '{"Config":"%s.json","RepoTags":["example.com/%s:1"],"Layers":["%s.tar"]}' "$platform" $kind "$platform" > $kind.entry
  printf '[%s]' "$(cat $kind.entry)" > manifest.json; tar -cf $kind.docker.tar manifest.json "$platform.json" "$platform.tar"
done
printf '[%s,%s]' "$(cat this.entry)" "$(cat other.entry)" > manifest.json; tar -cf both.docker.tar manifest.json "$this.json" "$this.tar" s390x.json s390x.tar
new_layout image
manifest s390x.json s390x.tar > manifest
for file in s390x.json s390x.tar; do blob image $file any > /dev/null; done
printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob image manifest application/vnd.oci.image.manifest.v1+json |
  sed 's|}$|,"annotations":{"org.opencontainers.image.ref.name":"example.com/other:1"}}|')" > image/index.json
tar -C image -cf other.oci.tar oci-layout index.json blobs
try() { # try ARCHIVE OPTION...
  archive=$1; shift
  code=0; ctr -n "$archive$#" images import --no-unpack "$@" "$archive.tar" > said 2>&1 || code=$?
  echo "$archive${1:+ $1}: exit $code$(grep -o 'image might be filtered out' said | sed 's/^/, /')"
  ctr -n "$archive$#" images ls -q | sed -n 's|^example.com/\([a-z]*\):1|  \1: listed|p'
  sleep 5 # for the garbage collector
  ctr -n "$archive$#" images check 2> /dev/null | sed -n 's|^example.com/\([a-z]*\):1 .* \(i*n*complete\) (\(.*\)).*|  \1: \2, \3 of its content later|p'
}
{
  try both.docker
  try both.docker --all-platforms
  try other.docker
  try other.oci
} | tee seen
cat > expected <<'END'
both.docker: exit 0
  other: listed
  this: listed
  other: incomplete, 0/2 of its content later
  this: complete, 2/2 of its content later
both.docker --all-platforms: exit 0
  other: listed
  this: listed
  other: complete, 2/2 of its content later
  this: complete, 2/2 of its content later
other.docker: exit 1, image might be filtered out
other.oci: exit 0
  other: listed
  other: complete, 2/2 of its content later
END
as_stated
