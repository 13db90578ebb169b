#!/bin/sh
# opencontainers 0.0.15 (PyPI), the Python types of the OCI specifications, given image manifests that the specification
# allows: one with its `mediaType`, as most tools write it, one with an empty layer of size 0, one without layers, an artifact.
#
# One would expect an exception that a caller can handle, or unknown fields to be passed over, as the specification asks.
# Seen: load() writes one line to stderr and raises SystemExit(1): where nobody catches that (it is no Exception), the program ends.
# A manifest without `mediaType` loads.
#
# What follows: a script that reads manifests takes the JSON itself, or guards that library by `except SystemExit`.
. "$(dirname "$0")/support/common"
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check opencontainers==0.0.15
cat > load.py <<'END'
from opencontainers.image.v1 import Manifest

digest = "sha256:" + 64 * "a"
config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2}
layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": 10240}
plain = {"schemaVersion": 2, "config": config, "layers": [layer]}
cases = {
    "plain": plain,
    "mediaType": plain | {"mediaType": "application/vnd.oci.image.manifest.v1+json"},
    "size 0": plain | {"layers": [layer | {"size": 0}]},
    "no layers": plain | {"layers": []},
    "artifactType": plain | {"artifactType": "application/vnd.example"},
}
for name, document in cases.items():
    try:
        Manifest().load(document)
        print(name, "loads", flush=True)
    except Exception as error:
        print(name, "raises", type(error).__name__, flush=True)
    except SystemExit as end:
        print(name, "ends the program with", end.code, flush=True)
END
py/bin/python load.py 2> messages | tee seen
cat > expected <<'END'
plain loads
mediaType ends the program with 1
size 0 ends the program with 1
no layers ends the program with 1
artifactType ends the program with 1
END
as_stated
