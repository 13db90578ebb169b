#!/bin/sh
# container-inspector 33.1.0 (PyPI), which ScanCode takes images apart with: the squashed root file system of a docker archive of
# two layers. The first has a file with a symbolic and a hard link to it, and directories; the second makes the directory
# `lib` a symbolic link (as merging /lib into /usr does), the directory `cache` a file, and removes another file.
#
# One would expect the tree that a container sees, or an error.
# Seen: exit 0. Both links are missing; `lib` is still the old directory with its old file; the file `cache` lies inside the old
# directory, as `cache/cache`. Whiteouts are applied. Where the second layer makes a file a directory, it ends with a traceback.
#
# What follows: a list of files or packages made of such a tree names what the image does not have and lacks what it has;
# scan what `rpull export` or `rpull unpack` writes.
. "$(dirname "$0")/support/common"
python3 -m venv venv; venv/bin/pip -q install container-inspector==33.1.0 commoncode==33.0.0 2> /dev/null
mkdir -p one/lib one/cache two/usr/lib three/file
echo tool > one/tool; ln -s tool one/symbolic; ln one/tool one/hard; echo old > one/lib/old; echo old > one/cache/old; echo x > one/file
ln -s usr/lib two/lib; echo new > two/usr/lib/new; echo now-a-file > two/cache; : > two/.wh.file
echo below > three/file/below
for layer in one two three; do tar -C $layer -cf $layer.tar .; done
archive() { # NAME LAYER...: what `docker save` writes
  name=$1; shift
  python3 - "$name" "$@" <<'END'
import hashlib, io, json, sys, tarfile
layers = [open(f"{name}.tar", "rb").read() for name in sys.argv[2:]]
ids = [hashlib.sha256(layer).hexdigest() for layer in layers]
config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + i for i in ids]}}
files = {f"{i}/layer.tar": layer for i, layer in zip(ids, layers)}
config = json.dumps(config).encode()
config_name = hashlib.sha256(config).hexdigest() + ".json"
files[config_name] = config
files["manifest.json"] = json.dumps([{"Config": config_name, "RepoTags": ["x:1"], "Layers": list(files)[:len(layers)]}]).encode()
with tarfile.open(f"{sys.argv[1]}-image.tar", "w") as archive:
    for name, data in files.items():
        entry = tarfile.TarInfo(name); entry.size = len(data); archive.addfile(entry, io.BytesIO(data))
END
  mkdir "$name-image" "$name-squashed"; tar -C "$name-image" -xf "$name-image.tar"
  code=0; venv/bin/container_inspector_squash "$name-image" "$name-squashed" > said 2>&1 || code=$?
}
archive links one two
{
  echo "exit $code"
  find links-squashed -mindepth 1 -printf '%P %y\n' | LC_ALL=C sort
  archive directory one three
  echo "file made a directory: exit $code, $(grep -c Traceback said) traceback"
} | tee seen
cat > expected <<'END'
exit 0
cache d
cache/cache f
cache/old f
lib d
lib/old f
tool f
usr d
usr/lib d
usr/lib/new f
file made a directory: exit 1, 1 traceback
END
as_stated
