#!/bin/sh
# Flatpak 1.14.10 (Debian 1.14.10-1~deb12u2), libostree 2022.7: `flatpak build-import-bundle --oci` of images that `flatpak
# build-bundle --oci` has written, with a further layer on top.
#
# Seen: it reads all layers of an image, adds files and replaces them as the format says. A whiteout is a file for it: the deleted
# file stays, and so does `.wh.NAME` beside it, in the commit that is installed. An opaque marker is a file too. It exits 0 and
# says nothing.
#
# What follows: an image for Flatpak may have any number of layers, but none that deletes.
. "$(dirname "$0")/support/common"
debs flatpak=1.14.10-1~deb12u2 ostree=2022.7-2+deb12u1 libostree-1-1=2022.7-2+deb12u1 libappstream4=0.16.1-2+b1 \
  libarchive13=3.6.2-1+deb12u5 libassuan0=2.5.5-5 libavahi-client3=0.8-10+deb12u1 libavahi-common3=0.8-10+deb12u1 \
  libavahi-glib1=0.8-10+deb12u1 libcurl3-gnutls=7.88.1-10+deb12u15 libdconf1=0.40.0-4 libfuse3-3=3.14.0-4 \
  libgpgme11=1.18.0-3+deb12u1 libjson-glib-1.0-0=1.6.6-1 libmalcontent-0-0=0.11.0-4 libpolkit-agent-1-0=122-3 \
  libpolkit-gobject-1-0=122-3 libseccomp2=2.5.4-1+deb12u1 libstemmer0d=2.2.0-2 libxmlb2=0.3.22-1~deb12u1 libyaml-0-2=0.2.5-1 \
  libglib2.0-0=2.74.6-2+deb12u9
export HOME="$work" XDG_DATA_HOME="$work/data"
mkdir -p app/files/bin app/export
printf '[Application]\nname=org.example.App\nruntime=org.example.Platform/x86_64/1\nsdk=org.example.Sdk/x86_64/1\ncommand=a\n' > app/metadata
echo one > app/files/bin/a; echo one > app/files/bin/b
flatpak build-export repo app > /dev/null 2>&1
flatpak build-bundle --oci repo bundle org.example.App > /dev/null
add_layer() { # add_layer DIR NAME...: a copy of the bundle with a layer on top that has these files in files/bin
  cp -r bundle "$1"
  python3 - "$@" <<'END'
import gzip, hashlib, io, json, sys, tarfile
layout, *names = sys.argv[1:]
path = lambda digest: layout + "/blobs/" + digest.replace(":", "/")
def put(blob):
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    open(path(digest), "wb").write(blob)
    return {"digest": digest, "size": len(blob)}
index = json.load(open(layout + "/index.json"))
manifest = json.load(open(path(index["manifests"][0]["digest"])))
config = json.load(open(path(manifest["config"]["digest"])))
tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
    for name in names:
        member = tarfile.TarInfo("files/bin/" + name)
        content = b"" if name.startswith(".wh.") else b"two\n"
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(tar.getvalue()).hexdigest())
config["history"].append({"created_by": "a further layer"})
manifest["config"].update(put(json.dumps(config).encode()))
layer = put(gzip.compress(tar.getvalue(), mtime=0))
manifest["layers"].append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **layer})
index["manifests"][0].update(put(json.dumps(manifest).encode()))
json.dump(index, open(layout + "/index.json", "w"))
END
}
show() { # show DIR TEXT
  ostree --repo="$1-repo" init --mode=archive
  code=0; flatpak build-import-bundle --oci "$1-repo" "$1" > said 2>&1 || code=$?
  echo "$2: exit $code; files/bin: $(ostree --repo="$1-repo" ls app/org.example.App/x86_64/master files/bin | sed -n 's|.* .*/files/bin/||p' | tr '\n' ' ')"
}
add_layer added a c; add_layer deleted .wh.b; add_layer opaque .wh..wh..opq c
{
  show bundle "one layer"
  show added "a file replaced and one added"
  show deleted "a file deleted"
  show opaque "a directory made opaque, and a file added"
} | tee seen
cat > expected <<'END'
one layer: exit 0; files/bin: a b 
a file replaced and one added: exit 0; files/bin: a b c 
a file deleted: exit 0; files/bin: .wh.b a b 
a directory made opaque, and a file added: exit 0; files/bin: .wh..wh..opq a b c 
END
as_stated
