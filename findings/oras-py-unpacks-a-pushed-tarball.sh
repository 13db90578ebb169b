#!/bin/sh
# oras 0.2.43 (PyPI), the Python client of OCI artifacts, with docker-registry 2.8.2 (Debian 2.8.2+ds1-1): a directory is pushed as
# a gzipped tar layer, and so is a file that is a tarball and is pushed with the usual media type of one.
#
# One would expect to get back what was pushed: the directory as a directory, the tarball as a file. The Go client marks directories
# with the annotation `io.deis.oras.content.unpack`.
# Seen: pull() looks only at the media type. The tarball is unpacked into the output directory and is not there itself, although pull()
# returns its path; a file of the same name that was pushed beside it is replaced by the one in the tarball, or replaces that one,
# as the order of the layers has it. With another media type the same file comes back as it was.
#
# What follows: a tarball that is to stay one is pushed with a media type of its own (`application/gzip`), and the paths that pull()
# returns are checked before they are used.
. "$(dirname "$0")/support/common"
debs docker-registry=2.8.2+ds1-1
python3 -m venv py && py/bin/pip install -q --disable-pip-version-check oras==0.2.43
port=$(free_port)
serve registry "$port"
mkdir inside && echo "from the tarball" > inside/notes.txt && tar czf backup.tar.gz -C inside notes.txt
echo "pushed itself" > notes.txt
cat > push_pull.py <<'END'
import os
import sys

import oras.client

client = oras.client.OrasClient(insecure=True)
for number, (media_type, files) in enumerate([
    ("application/vnd.oci.image.layer.v1.tar+gzip", "backup notes"),
    ("application/vnd.oci.image.layer.v1.tar+gzip", "notes backup"),
    ("application/gzip", "backup notes"),
]):
    target = f"127.0.0.1:{sys.argv[1]}/x:{number}"
    names = {"backup": f"backup.tar.gz:{media_type}", "notes": "notes.txt:text/plain"}
    client.push(target=target, files=[names[name] for name in files.split()])
    out = f"out{number}"
    os.mkdir(out)
    returned = client.pull(target=target, outdir=out)
    print(media_type, files)
    print("  returned:", *(f"{os.path.basename(path)} ({'there' if os.path.exists(path) else 'missing'})" for path in returned))
    print("  notes.txt:", open(f"{out}/notes.txt").read().strip())
END
py/bin/python push_pull.py "$port" | grep -v Successfully | tee seen
cat > expected <<'END'
application/vnd.oci.image.layer.v1.tar+gzip backup notes
  returned: backup.tar.gz (missing) notes.txt (there)
  notes.txt: pushed itself
application/vnd.oci.image.layer.v1.tar+gzip notes backup
  returned: notes.txt (there) backup.tar.gz (missing)
  notes.txt: from the tarball
application/gzip backup notes
  returned: backup.tar.gz (there) notes.txt (there)
  notes.txt: pushed itself
END
as_stated
