#!/bin/sh
# Fetches the minifier of the tag: esbuild (MIT, about 10 MB) from the pinned npm package, into
# ${RUNGS_CACHE:-.cache}/esbuild-VERSION/esbuild under the project's root. Prints the path. Does nothing when the file is
# already there. Needs npm and tar; nothing is installed, no script of a package runs.
set -eu

version="0.28.2"
linux_x64_sha256="9573bb2233aab0f9ea7647d5cca9726113cc1768de61d66b17267f4db84488f6"

say() { printf '%s\n' "$*" >&2; }
die() { say "fetch-esbuild: $*"; exit 1; }

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cache="${RUNGS_CACHE:-.cache}"
case "$cache" in /*) ;; *) cache="$root/$cache" ;; esac
folder="$cache/esbuild-$version"
target="$folder/esbuild"

if [ -x "$target" ]; then
  printf '%s\n' "$target"
  exit 0
fi

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) package="linux-x64"; expected="$linux_x64_sha256" ;;
  Linux-aarch64 | Linux-arm64) package="linux-arm64"; expected="" ;;
  Darwin-x86_64) package="darwin-x64"; expected="" ;;
  Darwin-arm64) package="darwin-arm64"; expected="" ;;
  *) die "there is no esbuild here for $(uname -s) on $(uname -m); copy esbuild $version to $target" ;;
esac

command -v npm >/dev/null 2>&1 || die "npm is missing. Install Node.js (which brings npm) and run this again, or copy esbuild $version to $target"
command -v tar >/dev/null 2>&1 || die "tar is missing"

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

mkdir -p "$folder"
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "fetching @esbuild/$package@$version ..."
(cd "$work" && npm pack --silent --ignore-scripts "@esbuild/$package@$version" >/dev/null) \
  || die "npm could not fetch @esbuild/$package@$version; check the network and npm's registry setting"
tarball=$(find "$work" -maxdepth 1 -name '*.tgz' | head -n 1)
[ -n "$tarball" ] || die "npm pack left no tarball in $work"

actual=$(sha256 "$tarball")
if [ -z "$expected" ]; then
  say "sha256 of the tarball is $actual (no value is pinned for this platform)"
elif [ "$actual" != "$expected" ]; then
  die "the tarball's sha256 is $actual, expected $expected; nothing was unpacked"
fi

tar -xzf "$tarball" -C "$work" package/bin/esbuild || die "the package holds no esbuild"
chmod +x "$work/package/bin/esbuild"
# The rename makes the file appear whole or not at all, also when two of these run at once.
mv -f "$work/package/bin/esbuild" "$target"
printf '%s\n' "$target"
