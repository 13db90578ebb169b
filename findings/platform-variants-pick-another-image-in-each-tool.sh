#!/bin/sh
# OCI indexes whose images differ in the variant of their platform, at docker-registry 2.8.2 (Debian 2.8.2+ds1-1), and the image that skopeo
# 1.9.3 (Debian 1.9.3+ds1-1+b10), docker 20.10.24 (Debian 20.10.24+dfsg1-1+deb12u1+b6) and containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3)
# take from them for one platform that was asked for, on an amd64 host.
#
# One would expect one image, the nearest variant, or a refusal by all of them.
# Seen: for no question the same answer. `amd64/v1`, which is what amd64 means, is no amd64 for skopeo. Of arm without a variant,
# skopeo takes v8, the others v7. For arm/v8 (32-bit code on ARMv8) docker takes the image that is listed first, v5 as well, skopeo
# the highest, and containerd none. An image for arm without a variant is good for arm/v6 to skopeo and docker, and not to containerd,
# to which it is v7.
#
# What follows: name platforms with the variant, in the index and in what is asked for, and no variant for amd64 where it is the
# first; pin by digest where one image has to be the same for all tools.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 docker-registry=2.8.2+ds1-1 containerd=1.6.20~ds1-1+deb12u3 \
  docker.io=20.10.24+dfsg1-1+deb12u1+b6 runc
port=$(free_port)
serve data "$port"
start_containerd
start_docker
repository=http://127.0.0.1:$port/v2/app
echo hello > file; tar --format=ustar -cf layer file
put_blob "$repository" layer

index() { # index TAG VARIANT...: an index with an image for each variant of its platform, ARCHITECTURE[/VARIANT]
  tag=$1; shift; entries=
  for platform; do
    platform_json=$(printf '"architecture":"%s","os":"linux"' "${platform%/*}"; case $platform in */*) printf ',"variant":"%s"' "${platform#*/}" ;; esac)
    printf '{%s,"config":{"Labels":{"platform":"%s"}},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$platform_json" "$platform" "$(digest layer)" > config
    manifest config layer > manifest
    put_blob "$repository" config; put_manifest "$repository" "$(digest manifest)" manifest
    entries=$entries${entries:+,}$(descriptor manifest application/vnd.oci.image.manifest.v1+json | sed "s|}\$|,\"platform\":{$platform_json}}|")
  done
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "$entries" > index
  put_manifest "$repository" "$tag" index
}
label() { sed -n 's/.*"platform": *"\([^"]*\)".*/\1/p' | grep . || echo none; }
by_skopeo() { # by_skopeo IMAGE PLATFORM
  variant=; case $2 in */*) variant="--override-variant ${2#*/}" ;; esac
  skopeo inspect --config --override-os linux --override-arch "${2%/*}" $variant --tls-verify=false "docker://$1" 2> /dev/null | label
}
by_docker() {
  docker pull -q --platform "linux/$2" "$1" > /dev/null 2>&1 || { echo none; return; }
  docker image inspect -f '{{json .Config.Labels}}' "$1" | label
}
by_containerd() { # the one config among what was fetched
  ctr -n "$tag" images pull --plain-http --snapshotter native --platform "linux/$2" "$1" > /dev/null 2>&1 || { echo none; return; }
  for blob in $(ctr -n "$tag" content ls -q); do ctr -n "$tag" content get "$blob" | grep -a '"Labels"' || true; done | label
}
tag=0
ask() { # ask PLATFORM INDEX_ENTRY...
  asked=$1; shift; tag=$((tag + 1))
  index $tag "$@"
  image=127.0.0.1:$port/app:$tag
  echo "$asked of [$*]: skopeo $(by_skopeo "$image" "$asked"), docker $(by_docker "$image" "$asked"), containerd $(by_containerd "$image" "$asked")"
}
{
  ask amd64 amd64/v1
  ask arm arm/v7 arm/v8
  ask arm/v8 arm/v7 arm/v5
  ask arm/v8 arm/v5 arm/v7
  ask arm/v6 arm
} | tee seen
stop "$docker"
cat > expected <<'END'
amd64 of [amd64/v1]: skopeo none, docker amd64/v1, containerd amd64/v1
arm of [arm/v7 arm/v8]: skopeo arm/v8, docker arm/v7, containerd arm/v7
arm/v8 of [arm/v7 arm/v5]: skopeo arm/v7, docker arm/v7, containerd none
arm/v8 of [arm/v5 arm/v7]: skopeo arm/v7, docker arm/v5, containerd none
arm/v6 of [arm]: skopeo arm, docker arm, containerd none
END
as_stated
