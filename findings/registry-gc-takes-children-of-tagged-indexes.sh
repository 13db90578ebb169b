#!/bin/sh
# docker-registry 2.8.2 (Debian 2.8.2+ds1-1): garbage-collect --delete-untagged on a repository with a multi-platform image.
#
# One would expect that manifests which a tagged index names stay. Its own log says that it marks them ("marking blob"),
# and then it lists the same digests as "manifest eligible for deletion".
# Seen: afterwards the tag still answers with the index, and each platform's manifest is 404, config blob included.
#
# What follows: the digest of a tag does not prove that an image is complete at such a registry. A client that sends
# nothing because the tag has the right digest (rpull asks one HEAD then) never mends it: the platforms have to be pushed
# again, each by its own digest.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1
port=$(free_port) app=
serve data "$port"; registry=$pid
app=http://127.0.0.1:$port/v2/app
children=
for arch in amd64 arm64; do
  printf '{"architecture":"%s","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}' $arch > config.$arch
  manifest config.$arch > image.$arch
  put_blob "$app" config.$arch
  put_manifest "$app" "$(digest image.$arch)" image.$arch
  children=$children${children:+,}$(descriptor image.$arch application/vnd.oci.image.manifest.v1+json)
done
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "$children" > index
put_manifest "$app" latest index
stop "$registry"
docker-registry garbage-collect --delete-untagged data.yml > gc.log 2>&1
port=$(free_port)
sed -i "s/127.0.0.1:[0-9]*/127.0.0.1:$port/" data.yml
serve data "$port"
app=http://127.0.0.1:$port/v2/app
head() { curl -sI -o /dev/null -w '%{http_code}' -H 'Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json' "$app/$1"; }
for arch in amd64 arm64; do
  hex=$(digest image.$arch | cut -d: -f2)
  echo "$arch: marked $(grep -c "marking blob sha256:$hex" gc.log), deleted $(grep -c "manifest eligible for deletion: sha256:$hex" gc.log)," \
    "manifest $(head "manifests/$(digest image.$arch)"), config $(head "blobs/$(digest config.$arch)")"
done > seen
echo "tag: $(head manifests/latest)" >> seen
cat seen
cat > expected <<'END'
amd64: marked 1, deleted 1, manifest 404, config 404
arm64: marked 1, deleted 1, manifest 404, config 404
tag: 200
END
as_stated
