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
debs charliecloud-builders=0.31-1 charliecloud-runtime=0.31-1 charliecloud-common=0.31-1 python3-lark=1.1.5-1 docker-registry=2.8.2+ds1-1
export PYTHONPATH="$work/root/usr/lib/python3/dist-packages" CH_IMAGE_STORAGE="$work/storage" HOME="$work" USER=somebody
port=$(free_port)
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2> /dev/null
export CURL_CA_BUNDLE="$work/cert.pem" REQUESTS_CA_BUNDLE="$work/cert.pem" SSL_CERT_FILE="$work/cert.pem"
printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s/data}}\nhttp: {addr: "127.0.0.1:%s", tls: {certificate: %s/cert.pem, key: %s/key.pem}}\n' \
  "$work" "$port" "$work" "$work" > tls.yml
docker-registry serve tls.yml > registry.log 2>&1 & running=$!
n=0; until curl -sf -o /dev/null "https://localhost:$port/v2/"; do n=$((n + 1)); [ $n -lt 100 ] || { cat registry.log; exit 1; }; sleep 0.1; done

mkdir -p app etc
echo x > app/run; cp app/run app/.gitconfig; cp app/run .gitconfig
tar -cf sole.tar app/run; tar -cf two.tar app/run etc; tar -cf git.tar etc app .gitconfig
pull() { # NAME LAYER
  printf '{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/app/run"]},"rootfs":{"type":"layers","diff_ids":["%s"]},"history":[{"created":"2024-01-01T00:00:00Z","created_by":"COPY"}]}' "$(digest "$2")" > config.json
  manifest config.json "$2" > manifest.json
  for file in config.json "$2"; do put_blob "https://localhost:$port/v2/x" "$file"; done
  put_manifest "https://localhost:$port/v2/x" "$1" manifest.json
  code=0; ch-image --no-cache -a amd64 pull "localhost:$port/x:$1" > said 2>&1 || code=$?
  echo "$1: exit $code, $(tail -1 said)"
  (cd "storage/img/localhost+$port%x+$1" && find . -name run -type f -o -name .gitconfig) | LC_ALL=C sort | sed "s/^/$1: /"
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
