#!/bin/sh
# Builds a static program and a Debian package of it: target/dist/rpull and target/dist/rpull_VERSION_ARCH.deb.
#
# Run it by hand: a release build takes minutes, too long for every change. It needs Rust, a C compiler, and dpkg-deb for
# the package. DEBFULLNAME and DEBEMAIL name the maintainer of the package, and SOURCE_DATE_EPOCH is the time of its files.
# dist/check.sh tries both in an empty root directory.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
case $host in
*-linux-gnu | *-linux-musl) ;;
*)
    echo "dist/build.sh: no static program for $host" >&2
    exit 1
    ;;
esac
target=${CARGO_TARGET_DIR:-target}
out=$target/dist

# With --target the flags are for the program only, and not for macros and build scripts, which cannot be static.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
    cargo build --release --locked --target "$host" --bin rpull
rm -rf "$out"
mkdir -p "$out"
cp "$target/$host/release/rpull" "$out/rpull"
if LC_ALL=C ldd "$out/rpull" 2>&1 | grep -q '=>'; then
    echo "dist/build.sh: $out/rpull is not static" >&2
    exit 1
fi
echo "$out/rpull"

if ! command -v dpkg-deb >/dev/null; then
    echo "dist/build.sh: no package, because dpkg-deb is missing" >&2
    exit 0
fi
# Not before cargo, which would compile C libraries again for another time.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
version=$("$out/rpull" --version | cut -d ' ' -f 2)
architecture=$(dpkg --print-architecture)
root=$out/root
share=$root/usr/share
install -D -m 755 "$out/rpull" "$root/usr/bin/rpull"
mkdir -p "$share/bash-completion/completions" "$share/zsh/vendor-completions" "$share/fish/vendor_completions.d" \
    "$share/doc/rpull" "$root/DEBIAN"
"$out/rpull" completions bash >"$share/bash-completion/completions/rpull"
"$out/rpull" completions zsh >"$share/zsh/vendor-completions/_rpull"
"$out/rpull" completions fish >"$share/fish/vendor_completions.d/rpull.fish"
"$out/rpull" man --install "$share/man" >/dev/null
gzip -9n "$share"/man/man1/*.1
gzip -9nc CHANGELOG.md >"$share/doc/rpull/changelog.gz"
cat LICENSE-MIT LICENSE-APACHE >"$share/doc/rpull/copyright"
cat >"$root/DEBIAN/control" <<CONTROL
Package: rpull
Version: $version
Architecture: $architecture
Maintainer: ${DEBFULLNAME:-$(id -un)} <${DEBEMAIL:-$(id -un)@$(uname -n)}>
Installed-Size: $(du -sk "$root/usr" | cut -f 1)
Section: admin
Priority: optional
Recommends: ca-certificates
Description: moves container images without a daemon
 rpull pulls, pushes and copies container images layer by layer, between
 registries, OCI layouts and archives. It transfers only what is missing,
 verifies every byte, and reports what moved and what was shared.
CONTROL
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
chmod -R u=rwX,go=rX "$root"
package=$out/rpull_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
rm -rf "$root"
echo "$package"
