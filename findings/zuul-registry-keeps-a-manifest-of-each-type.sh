#!/bin/sh
# zuul-registry 1.3.0 (PyPI), the registry of the Zuul CI: one tag is pushed four times by skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10), as an
# image in Docker's types, as one in OCI types, as an OCI index, and in Docker's types again.
#
# One would expect a tag to name what was pushed last, as at every other registry.
# Seen: each push is answered 201, and the tag then keeps one digest for each media type. A reader that accepts all types, as skopeo and
# containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3) do, gets an index before a single image and Docker's type before the OCI's, whatever
# came last: the OCI image that was pushed second and the Docker image that was pushed fourth are never seen by them. Only a
# request that accepts their type alone is answered with them.
#
# What follows: at such a registry the exit code of a push does not prove that the tag has moved; ask for its digest afterwards, use a
# new tag where the format of an image changes, and deploy by digest.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 containerd=1.6.20~ds1-1+deb12u3
start_zuul_registry
start_containerd
image=application/vnd.oci.image.manifest.v1+json index=application/vnd.oci.image.index.v1+json
echo hello > file; tar --format=ustar -cf layer file

layout() { # layout VERSION: an image whose label tells its version
  new_layout "v$1"
  printf '{"architecture":"amd64","os":"linux","config":{"Labels":{"version":"%s"}},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$1" "$(digest layer)" > config
  blob "v$1" config any > /dev/null; blob "v$1" layer any > /dev/null
  manifest config layer > manifest
  printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob "v$1" manifest $image)" > "v$1/index.json"
}
version() { python3 -c 'import json, sys; print(json.load(sys.stdin)["config"]["Labels"]["version"])'; }
by_skopeo() { skopeo inspect --config --tls-verify=false "docker://127.0.0.1:$port/app:1" | version; }
by_containerd() {
  ctr images pull --plain-http "127.0.0.1:$port/app:1" > /dev/null 2>&1
  digest=$(ctr images ls | sed -n 's/.* \(sha256:[0-9a-f]*\) .*/\1/p')
  for field in manifests config; do
    ctr content get "$digest" > document
    digest=$(python3 -c 'import json, sys; d = json.load(open("document")).get(sys.argv[1]); print((d[0] if isinstance(d, list) else d)["digest"] if d else sys.argv[2])' $field "$digest")
  done
  ctr content get "$digest" | version
}
token=$(curl -s "http://127.0.0.1:$port/auth/token?scope=repository:app:pull" | python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')
by_type() { # by_type MEDIA_TYPE: what a request that accepts nothing else is answered with
  curl -s -H "Authorization: Bearer $token" -H "Accept: $1" "http://127.0.0.1:$port/v2/app/manifests/1" > answer
  skopeo inspect --config --tls-verify=false "docker://127.0.0.1:$port/app@$(digest answer)" | version
}
push() { # push TITLE VERSION OPTION
  code=0; skopeo copy -q --insecure-policy --dest-tls-verify=false --dest-creds writer:writes "$3" "oci:v$2" "docker://127.0.0.1:$port/app:1" || code=$?
  echo "version $2, $1: push exits $code; skopeo reads version $(by_skopeo), containerd $(by_containerd)"
}
for version in 1 2 3 4; do layout $version; done
printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}' $index \
  "$(sed 's/.*\[\({.*}\)\].*/\1/; s/}$/,"platform":{"os":"linux","architecture":"amd64"}}/' v3/index.json)" > list
printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob v3 list $index)" > v3/index.json
{
  push "Docker image" 1 --format=v2s2
  push "OCI image" 2 --format=oci
  push "OCI index" 3 --all
  push "Docker image" 4 --format=v2s2
  echo "accepting only Docker images: version $(by_type application/vnd.docker.distribution.manifest.v2+json); only OCI images: version $(by_type $image)"
} | tee seen
cat > expected <<'END'
version 1, Docker image: push exits 0; skopeo reads version 1, containerd 1
version 2, OCI image: push exits 0; skopeo reads version 1, containerd 1
version 3, OCI index: push exits 0; skopeo reads version 3, containerd 3
version 4, Docker image: push exits 0; skopeo reads version 3, containerd 3
accepting only Docker images: version 4; only OCI images: version 2
END
as_stated
