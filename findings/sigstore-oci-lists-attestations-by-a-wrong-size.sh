#!/bin/sh
# @sigstore/oci 0.7.2 (npm), which attaches attestations to images: two of them, whose one annotation differs in one letter, to an image at
# docker-registry 2.8.2 (Debian 2.8.2+ds1-1), which has no referrers API, so that they are listed under the image's digest tag.
#
# One would expect two descriptors with the size of what they name.
# Seen: the manifest whose annotation has a letter outside of ASCII is listed with the number of its characters as its size, one less than
# its bytes. The registry takes the index. skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10) copies it with exit 0 and puts the right size in.
# containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3) fetches the one attestation and refuses the other ("failed size validation").
#
# What follows: annotations of artifacts are best kept in ASCII, and a size in a list of referrers is no reason to drop the entry: the
# digest is right.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1 skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 containerd=1.6.20~ds1-1+deb12u3
npm init -y > /dev/null; npm install --silent @sigstore/oci@0.7.2 > /dev/null
port=$(free_port)
serve registry "$port"
app=http://127.0.0.1:$port/v2/app
put_sample "$app" 1
cat > attach.js <<'END'
const { attachArtifactToImage } = require('@sigstore/oci');
const [imageName, imageDigest, author] = process.argv.slice(2);
attachArtifactToImage({
  imageName, imageDigest, artifact: Buffer.from(`written by ${author}`), mediaType: 'application/vnd.example', annotations: { author },
}).catch((error) => { console.error(error); process.exitCode = 1; });
END
export HOME="$work"
for author in Zoe Zoë; do node attach.js "127.0.0.1:$port/app" "$(digest manifest)" $author; done
tag=$(digest manifest | tr : -)
curl -sf -H 'Accept: application/vnd.oci.image.index.v1+json' "$app/manifests/$tag" > index.json
sizes() { # sizes INDEX: the size of each entry, and that of what it names
  python3 - "$app" "$1" <<'END'
import json, sys, urllib.request
for entry in json.load(open(sys.argv[2]))["manifests"]:
    request = urllib.request.Request(f"{sys.argv[1]}/manifests/{entry['digest']}", headers={"Accept": entry["mediaType"]})
    print(f"  {entry['annotations']['author']}: off by {len(urllib.request.urlopen(request).read()) - entry['size']}")
END
}
start_containerd
{
  echo "the index"; sizes index.json
  mkdir copy; code=0; skopeo copy -q --all --insecure-policy --src-tls-verify=false "docker://127.0.0.1:$port/app:$tag" dir:copy || code=$?
  echo "skopeo copy: exit $code"; sizes copy/manifest.json
  code=0; ctr images pull --plain-http --all-platforms "127.0.0.1:$port/app:$tag" > said 2>&1 || code=$?
  echo "containerd: exit $code, $(grep -o 'failed size validation' said)"
} | tee seen
cat > expected <<'END'
the index
  Zoe: off by 0
  Zoë: off by 1
skopeo copy: exit 0
  Zoe: off by 0
  Zoë: off by 0
containerd: exit 1, failed size validation
END
as_stated
