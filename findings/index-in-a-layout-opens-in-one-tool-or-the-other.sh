#!/bin/sh
# Two valid OCI layouts with one name each: an index in an index (image-index.md: implementations SHOULD support nested
# indexes), and an image with an attestation beside it in one index, as BuildKit builds by default.
# skopeo 1.9.3 (Debian 1.9.3+ds1-1+b10) and umoci 0.4.7 (Debian 0.4.7+ds-3+b7).
#
# Seen: they fail on opposite ones. umoci walks through nested indexes and calls the attested image ambiguous, though its
# attestation is of platform unknown/unknown; it cannot even give it a second name. skopeo opens the attested image and
# says "Unexpectedly received a manifest list instead of a manifest for a single image" of the nested one, with --all too.
#
# What follows: the only form that both read is a name for the platform's own manifest.
. "$(dirname "$0")/support/common"
debs skopeo=1.9.3+ds1-1+b10 umoci=0.4.7+ds-3+b7 libgpgme11 libdevmapper1.02.1
index=application/vnd.oci.image.index.v1+json image=application/vnd.oci.image.manifest.v1+json
new_layout l
echo hello > file; tar --format=ustar -cf layer file; echo provenance > statement
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$(digest layer)" > config
manifest config layer > manifest
manifest config statement > attestation
for file in layer statement config; do blob l $file any > /dev/null; done
on() { sed "s|}\$|,\"platform\":{\"os\":\"$1\",\"architecture\":\"$2\"}}|"; }
index_of() { printf '{"schemaVersion":2,"mediaType":"%s","manifests":[%s]}' $index "$1"; }
index_of "$(blob l manifest $image | on linux amd64)" > inner
index_of "$(blob l inner $index)" > nested
index_of "$(blob l manifest $image | on linux amd64),$(blob l attestation $image | on unknown unknown)" > attested
attempt() { if "$@" > out 2>&1; then echo done; else grep -ao 'Unexpectedly received a manifest list.*image\|tag is ambiguous' out; fi; }
for form in nested attested; do
  printf '{"schemaVersion":2,"manifests":[%s]}' \
    "$(blob l $form $index | sed 's/}$/,"annotations":{"org.opencontainers.image.ref.name":"x"}}/')" > l/index.json
  echo "$form, skopeo copy:       $(attempt skopeo copy -q --insecure-policy oci:l:x oci:one-$form:x)"
  echo "$form, skopeo copy --all: $(attempt skopeo copy -q --insecure-policy --all oci:l:x oci:all-$form:x)"
  echo "$form, umoci unpack:      $(attempt umoci unpack --image l:x bundle-$form)"
  echo "$form, umoci tag:         $(attempt umoci tag --image l:x y)"
done > seen
cat seen
cat > expected <<'END'
nested, skopeo copy:       Unexpectedly received a manifest list instead of a manifest for a single image
nested, skopeo copy --all: Unexpectedly received a manifest list instead of a manifest for a single image
nested, umoci unpack:      done
nested, umoci tag:         done
attested, skopeo copy:       done
attested, skopeo copy --all: done
attested, umoci unpack:      tag is ambiguous
attested, umoci tag:         tag is ambiguous
END
as_stated
