#!/bin/sh
# zuul-registry 1.3.0 (PyPI) with an image that umoci 0.4.7 (Debian 0.4.7+ds-3+b7) has written, whose manifest has no `mediaType`, which
# the image specification allows; pushed by skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10) to it and to docker-registry 2.8.2.
#
# One would expect the push to be refused, or the image to be pulled.
# Seen: the push succeeds and the tag answers. By digest, the same manifest is a 500: the registry takes the Content-Type of a tag from
# the push, and that of a digest from the manifest itself. skopeo reads the tag and copies the image. containerd 1.6.20 (Debian
# 1.6.20~ds1-1+deb12u3) asks for the tag's digest first and then for that, and cannot pull the image at all. docker-registry
# answers both, and containerd pulls the image from there.
#
# What follows: a pull by tag that works does not prove that a pull by digest does; test what the cluster will do. A builder that writes
# `mediaType` into its manifests avoids this.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 containerd=1.6.20~ds1-1+deb12u3 umoci=0.4.7+ds-3+b7 docker-registry=2.8.2+ds1-1
start_zuul_registry; zuul=$port
port=$(free_port)
serve data "$port"
start_containerd
echo hello > file; tar --format=ustar -cf layer file
umoci init --layout l; umoci new --image l:x; umoci raw add-layer --image l:x layer
digest=$(python3 -c 'import json; print(json.load(open("l/index.json"))["manifests"][0]["digest"])')
exits() { code=0; "$@" > said 2>&1 || code=$?; echo "exit $code$(grep -o ' 500 Internal Server Error' said | head -1)"; }
copy() { rm -rf copy; exits skopeo copy -q --insecure-policy --src-tls-verify=false "docker://127.0.0.1:$1" oci:copy:x; }
pull() { exits ctr images pull --plain-http "127.0.0.1:$1/app:1"; }
{
  python3 -c 'import json, sys; print("the manifest has", *json.load(open(sys.argv[1])))' "l/blobs/sha256/${digest#sha256:}"
  for at in "zuul-registry $zuul" "docker-registry $port"; do
    registry=${at#* }
    echo "${at% *}: push: $(exits skopeo copy -q --insecure-policy --dest-tls-verify=false --dest-creds writer:writes oci:l:x "docker://127.0.0.1:$registry/app:1")"
    echo "  skopeo by tag: $(copy "$registry/app:1"); by digest: $(copy "$registry/app@$digest")"
    echo "  containerd by tag: $(pull "$registry")"
  done
} | tee seen
cat > expected <<'END'
the manifest has schemaVersion config layers
zuul-registry: push: exit 0
  skopeo by tag: exit 0; by digest: exit 1 500 Internal Server Error
  containerd by tag: exit 1 500 Internal Server Error
docker-registry: push: exit 0
  skopeo by tag: exit 0; by digest: exit 0
  containerd by tag: exit 0
END
as_stated
