#!/bin/sh
# Tries what dist/build.sh made in an empty root directory: the program alone, the package, and a name that is resolved there
# to pull from a registry on loopback. Needs root.
set -eu
cd "$(dirname "$0")/.."

out=${CARGO_TARGET_DIR:-target}/dist
work=$(mktemp -d)
registry=
cleanup() {
    [ -z "$registry" ] || kill "$registry"
    rm -rf "$work"
}
trap cleanup EXIT

fail() {
    echo "dist/check.sh: $1" >&2
    exit 1
}

# A registry with one small image, whose name only /etc/hosts of the empty root knows.
RPULL_STORE=$work/served
export RPULL_STORE
config='{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'
digest=$(printf %s "$config" | "$out/rpull" put-blob -q store:localhost/app:1 -)
printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","digest":"%s","size":%d},"layers":[]}' \
    application/vnd.oci.image.manifest.v1+json application/vnd.oci.image.config.v1+json "$digest" "${#config}" |
    "$out/rpull" put-manifest -q store:localhost/app:1 - >/dev/null
"$out/rpull" serve --addr 127.0.0.1:0 --host registry.test >"$work/address" 2>"$work/log" &
registry=$!
tries=0
until port=$(grep -ho '127\.0\.0\.1:[0-9]*' "$work/address" "$work/log" | head -1 | cut -d : -f 2) && [ -n "$port" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the registry does not start: $(cat "$work/log")"
    sleep 0.1
done

chroot=$(command -v chroot) || fail "chroot is missing"

# Runs the program in the empty root, without an environment.
inside() {
    env -i HOME=/ "$chroot" "$root" "$program" "$@"
}

try() {
    root=$1
    program=$2
    mkdir -p "$root/etc" "$root/tmp"
    echo "127.0.0.1 registry.test" >"$root/etc/hosts"
    inside --version || fail "$program does not run in an empty root"
    inside pull -q --plain-http "registry.test:$port/app:1" ||
        fail "$program does not resolve a name in an empty root"
    inside images
    if inside digest --retries 0 --plain-http absent.test/app:1 2>"$work/error"; then
        fail "a name that does not exist was resolved"
    fi
    grep -q absent.test "$work/error" || fail "the error does not name the host: $(cat "$work/error")"
}

mkdir "$work/alone"
cp "$out/rpull" "$work/alone/rpull"
try "$work/alone" /rpull

package=$(find "$out" -name 'rpull_*.deb' | head -1)
if [ -n "$package" ]; then
    mkdir -p "$work/installed/var/lib/dpkg"
    dpkg-deb --extract "$package" "$work/installed"
    try "$work/installed" /usr/bin/rpull
    for file in man/man1/rpull-pull.1.gz bash-completion/completions/rpull zsh/vendor-completions/_rpull \
        fish/vendor_completions.d/rpull.fish doc/rpull/copyright; do
        [ -s "$work/installed/usr/share/$file" ] || fail "the package has no $file"
    done
fi
echo "dist/check.sh: fine"
