#!/bin/sh
# skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10): `copy --all` of an index in the forms of the image specification 1.1, from docker-registry
# 2.8.2 (Debian 2.8.2+ds1-1) to `dir:`, with nothing to convert or to compress.
#
# One would expect a copy byte for byte, whatever fields are in it, or none.
# Seen: it depends on where the field is. What it does not know beside `manifests` is kept, with every byte: `artifactType`, `subject`,
# a field of one's own; and so are line breaks. Where an entry of `manifests` has `artifactType` or `data`, the index is written anew
# without them, exit 0, and has another digest. With --preserve-digests that index cannot be copied at all: "Manifest list must be
# converted to type …", which is the type that it has.
#
# What follows: of lists of referrers (digest tags), and of images with attestations that name their type, the copy has to be compared with
# its source; a signature of the index does not fit the copy, and no option of skopeo makes a true one.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1 skopeo=1.9.3+ds1-1+b10 libgpgme11 libdevmapper1.02.1
port=$(free_port)
serve data "$port"
app=http://127.0.0.1:$port/v2/app
put_sample "$app" image
entry=$(descriptor manifest application/vnd.oci.image.manifest.v1+json)
index() { printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]%s}' "$1" "$2"; } # index ENTRY FIELDS
in_entry() { index "$(echo "$entry" | sed "s|}\$|,$1}|")" ''; }
copy() { # copy OPTION...
  code=0; rm -rf copy; mkdir copy
  skopeo copy -q --all --insecure-policy --src-tls-verify=false "$@" "docker://127.0.0.1:$port/app:$name" dir:copy 2> said || code=$?
  if [ $code = 0 ]; then cmp -s "$name" copy/manifest.json && echo "the same bytes" || echo "other bytes"
  else echo "exit $code, $(grep -o 'Manifest list must be converted' said)"; fi
}
index "$entry" '' > plain
index "$entry" '' | python3 -m json.tool > lines
index "$entry" ',"artifactType":"application/vnd.example"' > artifactType
index "$entry" ",\"subject\":$entry" > subject
index "$entry" ',"org.example":1' > unknown
in_entry '"artifactType":"application/vnd.example"' > artifactType-of-entry
in_entry '"data":"e30="' > data-of-entry
in_entry '"annotations":{"a":"b"}' > annotations-of-entry
for name in plain lines artifactType subject unknown annotations-of-entry artifactType-of-entry data-of-entry; do
  put_manifest "$app" $name $name
  echo "$name: $(copy); --preserve-digests: $(copy --preserve-digests)"
done | tee seen
cat > expected <<'END'
plain: the same bytes; --preserve-digests: the same bytes
lines: the same bytes; --preserve-digests: the same bytes
artifactType: the same bytes; --preserve-digests: the same bytes
subject: the same bytes; --preserve-digests: the same bytes
unknown: the same bytes; --preserve-digests: the same bytes
annotations-of-entry: the same bytes; --preserve-digests: the same bytes
artifactType-of-entry: other bytes; --preserve-digests: exit 1, Manifest list must be converted
data-of-entry: other bytes; --preserve-digests: exit 1, Manifest list must be converted
END
as_stated
