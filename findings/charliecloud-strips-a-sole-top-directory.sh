#!/bin/sh
# Charliecloud 0.31 (Debian 0.31-1): `ch-image pull` from docker-registry 2.8.2 of an image with one top directory, /app, as a program
# on an empty base has; of the same with an empty /etc beside it; and of one with a file /app/.gitconfig and one /.gitconfig.
#
# One would expect the files where the image has them.
# Seen: of an image with a single top directory that is not a usual one of Linux, that directory is stripped from every path, as
# from a source tarball: /app/run becomes /run, and the entrypoint points to nothing. /etc beside it prevents that. Files in the root
# whose name begins with ".git" are left out. Exit 0, "done".
#
# What follows: an image for such a cluster keeps a second directory such as /etc, or it is started by another path there.
. "$(dirname "$0")/support/common"
start_charliecloud
mkdir -p app etc
echo x > app/run; cp app/run app/.gitconfig; cp app/run .gitconfig
tar -cf sole.tar app/run; tar -cf two.tar app/run etc; tar -cf git.tar etc app .gitconfig
pull() { # NAME LAYER
  printf '{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/app/run"]},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created":"2024-01-01T00:00:00Z","created_by":"COPY"}]}' "$(digest "$2")" > config.json
  ch_pull "$1" config.json "$2"
  (cd "$pulled" && find . -name run -type f -o -name .gitconfig) | LC_ALL=C sort | sed "s/^/$1: /"
}
{ pull sole sole.tar; pull two two.tar; pull git git.tar; } | tee seen
cat > expected <<'END'
sole: exit 0, done
sole: ./run
two: exit 0, done
two: ./app/run
git: exit 0, done
git: ./app/.gitconfig
git: ./app/run
END
as_stated
