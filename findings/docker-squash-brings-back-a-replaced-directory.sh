#!/bin/sh
# docker-squash 1.2.2 (PyPI), which makes one layer of the last layers of an image, at docker 20.10.24 (Debian
# 20.10.24+dfsg1-1+deb12u1+b6): of `replaced`, where one layer deletes the directory /app of the base and the next one fills it anew, as `rm`
# and `COPY` do; and of `type`, where one layer deletes a file of the base and has a directory in its place, in one step.
#
# One would expect the same files before and after: whiteouts delete what lower layers have, and nothing of their own layer.
# Seen: of `replaced` the old files are there again beside the new ones: the whiteout of the directory is left out, as the name exists above
# it, and nothing (an opaque marker) stands for it. Of `type` the new directory is gone with its files: the whiteout of its own layer has
# taken it. Both exit 0. With all layers squashed, the first is right and the second is not.
#
# What follows: compare the files of an image before and after (`docker export`). Where a directory was deleted and
# filled again, squash all layers or none.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 containerd=1.6.20~ds1-1+deb12u3 docker.io=20.10.24+dfsg1-1+deb12u1+b6 runc
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check docker-squash==1.2.2
layer() { # layer NAME FILE...
  name=$1; shift
  for file; do mkdir -p "$name-files/$(dirname "$file")"; echo "$name" > "$name-files/$file"; done
  case $* in *.wh.*) find "$name-files" -name '.wh.*' -exec truncate -s 0 {} + ;; esac
  tar --format=ustar --mtime=@0 -cf "$name" -C "$name-files" "$@"
}
image() { # image NAME LAYER...: an image in docker
  name=$1; shift; new_layout "$name"; diff_ids= history=
  for layer; do
    blob "$name" "$layer" any > /dev/null
    diff_ids="$diff_ids${diff_ids:+,}\"$(digest "$layer")\"" history="$history${history:+,}{\"created_by\":\"$layer\",\"created\":\"2020-01-01T00:00:00Z\"}"
  done
  printf '{"architecture":"amd64","os":"linux","created":"2020-01-01T00:00:00Z","config":{"Cmd":["/x"]},"rootfs":{"type":"layers","diff_ids":[%s]},"history":[%s]}' \
    "$diff_ids" "$history" > config
  blob "$name" config any > /dev/null
  manifest config "$@" > manifest
  printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob "$name" manifest application/vnd.oci.image.manifest.v1+json)" > "$name/index.json"
  skopeo copy -q --insecure-policy "oci:$name" "docker-archive:$name.tar:$name:1"
  docker load -q -i "$name.tar" > /dev/null
}
files() { # files IMAGE: what it has, without what docker adds
  container=$(docker create "$1"); docker export "$container" | tar -t | grep -vE '/$|^(etc|dev|proc|sys|\.dockerenv)' | LC_ALL=C sort | xargs
}
squash() { code=0; py/bin/docker-squash "$@" > said 2>&1 || code=$?; echo "exit $code,"; }
layer base app/old app/plugin tool
layer deletes .wh.app
layer fills app/new
layer step .wh.tool tool/bin
layer more other
start_docker
image replaced base deletes fills
image type base step more
{
  for name in replaced type; do
    echo "$name: $(files $name:1)"
    echo "  last two layers squashed: $(squash -f 2 -t $name:two $name:1) $(files $name:two)"
    echo "  all layers squashed: $(squash -t $name:all $name:1) $(files $name:all)"
  done
} | tee seen
stop "$docker"
cat > expected <<'END'
replaced: app/new tool
  last two layers squashed: exit 0, app/new app/old app/plugin tool
  all layers squashed: exit 0, app/new tool
type: app/old app/plugin other tool/bin
  last two layers squashed: exit 0, app/old app/plugin other
  all layers squashed: exit 0, app/old app/plugin other
END
as_stated
