#!/bin/sh
# containerify 4.1.0 (npm), which puts a Node.js program on a base image without an engine: the archive that `--toTar` writes for
# `docker load`, from a base at docker-registry 2.8.2 (Debian 2.8.2+ds1-1).
#
# One would expect the manifest.json of `docker save`: Config, RepoTags, Layers.
# Seen: its keys are `config`, `repoTags` and `layers`. Go passes over the case of keys, so that skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10)
# and containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3) take it like any other. What reads exact keys does not: occystrap 0.4.17 (PyPI)
# ends with a KeyError.
#
# What follows: a reader of docker archives has to take the keys of manifest.json in any case, as the engines do.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1 skopeo=1.9.3+ds1-1+b10 containerd=1.6.20~ds1-1+deb12u3 libgpgme11 libdevmapper1.02.1
npm init -y > /dev/null; npm install --silent containerify@4.1.0 > /dev/null
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check occystrap==0.4.17
port=$(free_port)
serve registry "$port"
mkdir files app; echo hello > files/a; tar -cf layer -C files .
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created_by":"ADD a"}]}' "$(digest layer)" > config
gzip -n layer
manifest config layer.gz | sed 's/layer.v1.tar/layer.v1.tar+gzip/' > manifest
for file in config layer.gz; do put_blob "http://127.0.0.1:$port/v2/base" $file; done
put_manifest "http://127.0.0.1:$port/v2/base" 1 manifest
printf '{"name":"app","version":"1.0.0"}' > app/package.json; echo 'console.log(1)' > app/index.js
npx containerify --fromRegistry "http://127.0.0.1:$port/v2/" --fromImage base:1 --toImage app:1 --folder "$work/app" --customContent index.js \
  --toTar app.tar > said
start_containerd
export HOME="$work"
says() { code=0; "$@" > out 2>&1 || code=$?; echo "exit $code"; }
{
  tar -xOf app.tar manifest.json | python3 -c 'import json, sys; (image,) = json.load(sys.stdin); print(list(image), image["config"], [name.split(".", 1)[1] for name in image["layers"]])'
  echo "skopeo: $(says skopeo inspect docker-archive:app.tar)"
  echo "containerd: $(says ctr images import --no-unpack app.tar), $(ctr images ls -q)"
  echo "occystrap: $(says py/bin/occystrap process "tar://$work/app.tar" "dir://$work/tree"), $(tail -1 out)"
} | tee seen
cat > expected <<'END'
['config', 'repoTags', 'layers'] config.json ['tar.gz', 'tar.gz']
skopeo: exit 0
containerd: exit 0, docker.io/library/app:1
occystrap: exit 1, KeyError: 'Config'
END
as_stated
