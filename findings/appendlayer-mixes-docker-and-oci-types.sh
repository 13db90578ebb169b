#!/bin/sh
# appendlayer 2.2 (PyPI), which adds a tar as a layer to an image in a registry: one layer added to an image in Docker's types at
# docker-registry 2.8.2 (Debian 2.8.2+ds1-1).
#
# One would expect an image in one family of types, or a refusal by the registry.
# Seen: the manifest stays Docker's, with a config and a last layer of OCI types in it, and the registry takes it. docker 20.10.24 (Debian
# 20.10.24+dfsg1-1+deb12u1+b6) and containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3) pull it. skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10) refuses
# to copy it, byte for byte as well ("unsupported docker v2s2 media type"), and so does podman 4.3.1 (Debian 4.3.1+ds1-8+deb12u1+b3).
#
# What follows: an image that a registry accepted and docker pulls may still be impossible to mirror; test the copy with the tool that
# mirrors. Only a new manifest in one family of types repairs such an image, which changes its digest.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 containerd=1.6.20~ds1-1+deb12u3 docker.io=20.10.24+dfsg1-1+deb12u1+b6 runc \
  podman=4.3.1+ds1-8+deb12u1+b3 libsubid4 docker-registry=2.8.2+ds1-1
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check appendlayer==2.2
serve_tls 'relativeurls: true' # appendlayer treats the Location of an upload as a path.
app=https://localhost:$port/v2/app
schema2=application/vnd.docker.distribution.manifest.v2+json
for name in base added; do echo $name > $name; tar --format=ustar -cf $name.tar $name; done
gzip -nk base.tar
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created_by":"COPY base /"}]}' "$(digest base.tar)" > config
for file in config base.tar.gz; do put_blob "$app" $file; done
printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[%s]}' $schema2 \
  "$(descriptor config application/vnd.docker.container.image.v1+json)" "$(descriptor base.tar.gz application/vnd.docker.image.rootfs.diff.tar.gzip)" > manifest
put_manifest "$app" base manifest
env -u DOCKER_CONFIG py/bin/appendlayer "localhost:$port/app:base" "localhost:$port/app:more" < added.tar 2> said || { cat said; exit 1; }

start_containerd
mkdir hosts "hosts/localhost:$port"
printf '[host."https://localhost:%s"]\ncapabilities = ["pull", "resolve"]\nca = "%s/cert.pem"\n' "$port" "$work" > "hosts/localhost:$port/hosts.toml"
start_docker
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
exits() { code=0; "$@" > said 2>&1 || code=$?; echo "exit $code$(grep -o ' unsupported docker v2s2 media type' said | head -1)"; }
for tag in base more; do
  image=localhost:$port/app:$tag
  curl -s -H "Accept: $schema2" "$app/manifests/$tag" | python3 -c 'import json, sys
manifest = json.load(sys.stdin)
print(sys.argv[1] + ":", *(part["mediaType"].removeprefix("application/vnd.") for part in [manifest, manifest["config"], *manifest["layers"]]))' $tag
  echo "  docker: $(exits docker pull "$image"), containerd: $(exits ctr images pull --hosts-dir hosts --snapshotter native "$image")"
  echo "  skopeo: $(exits skopeo copy --insecure-policy --preserve-digests "docker://$image" "dir:$tag-copy")"
  echo "  podman: $(exits podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs pull --signature-policy policy.json "$image")"
done | tee seen
stop "$docker"
cat > expected <<'END'
base: docker.distribution.manifest.v2+json docker.container.image.v1+json docker.image.rootfs.diff.tar.gzip
  docker: exit 0, containerd: exit 0
  skopeo: exit 0
  podman: exit 0
more: docker.distribution.manifest.v2+json oci.image.config.v1+json docker.image.rootfs.diff.tar.gzip oci.image.layer.v1.tar+gzip
  docker: exit 0, containerd: exit 0
  skopeo: exit 1 unsupported docker v2s2 media type
  podman: exit 125 unsupported docker v2s2 media type
END
as_stated
