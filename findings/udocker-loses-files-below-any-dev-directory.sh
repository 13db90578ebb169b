#!/bin/sh
# udocker 1.3.17 (PyPI), which runs images without root on clusters: `udocker pull` and `udocker create` from docker-registry 2.8.2
# of an image with settings in /srv/config/dev and /srv/config/prod, and an empty /dev; a second layer deletes /gone and /etc/gone.
#
# One would expect the files of the image, without those of /dev at most, which the host provides.
# Seen: the files below every directory named `dev`, at whatever depth, are missing: GNU tar is called with `--exclude=dev/*`,
# and its exclusions are not anchored. /gone is there again, as whiteouts are looked for as `*/.wh.*`, which a path in the root does
# not match. Both commands exit 0 and say nothing.
#
# What follows: an image for udocker has no directory named `dev`, and is flattened first where it deletes files of its root.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1
python3 -m venv venv; venv/bin/pip -q install udocker==1.3.17 2> /dev/null
# Without the programs that run a container, which it would download: they are not needed here.
export HOME="$work" UDOCKER_DIR="$work/udocker" UDOCKER_TARBALL="$work/absent.tar.gz"
udocker() { venv/bin/udocker --allow-root "$@" > said 2>&1 && code=0 || code=$?; echo "udocker $1: exit $code"; }

mkdir -p one/dev one/etc one/srv/config/dev one/srv/config/prod two/etc
echo x | tee one/srv/config/dev/app.toml one/srv/config/prod/app.toml one/gone > one/etc/gone
: > two/.wh.gone; : > two/etc/.wh.gone
tar -C one -cf one.tar dev etc srv gone; tar -C two -cf two.tar .wh.gone etc/.wh.gone
printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/x"]},"rootfs":{"type":"layers","diff_ids":["%s","%s"]}}' \
  "$(digest one.tar)" "$(digest two.tar)" > config.json
manifest config.json one.tar two.tar > manifest.json
port=$(free_port)
serve data "$port"
for file in config.json one.tar two.tar; do put_blob "http://127.0.0.1:$port/v2/team/app" "$file"; done
put_manifest "http://127.0.0.1:$port/v2/team/app" 1 manifest.json
{
  udocker pull "--registry=http://127.0.0.1:$port" team/app:1
  udocker create --name=app team/app:1
  cd "$(find udocker/containers -name ROOT)"
  find . -type f | LC_ALL=C sort
} | tee seen
cat > expected <<'END'
udocker pull: exit 0
udocker create: exit 0
./gone
./srv/config/prod/app.toml
END
as_stated
