#!/bin/sh
# Fetches the engine behind `rungs up` and `rungs clickhouse`: libchdb.so (Apache-2.0, about 566 MB) from the pinned
# npm package, into ${RUNGS_CACHE:-.cache}/libchdb-VERSION/libchdb.so under the project's root. Prints the path.
# Does nothing when the file is already there. Needs npm and tar; nothing is installed, no script of a package runs.
set -eu

version="26.7.3-stable.1"
linux_x64_sha256="c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad"

say() { printf '%s\n' "$*" >&2; }
die() { say "fetch-libchdb: $*"; exit 1; }

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cache="${RUNGS_CACHE:-.cache}"
case "$cache" in /*) ;; *) cache="$root/$cache" ;; esac
folder="$cache/libchdb-$version"
target="$folder/libchdb.so"

if [ -s "$target" ]; then
  printf '%s\n' "$target"
  exit 0
fi

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) package="lib-linux-x64-gnu"; expected="$linux_x64_sha256" ;;
  Linux-aarch64 | Linux-arm64) package="lib-linux-arm64-gnu"; expected="" ;;
  Darwin-x86_64) package="lib-darwin-x64"; expected="" ;;
  Darwin-arm64) package="lib-darwin-arm64"; expected="" ;;
  *) die "there is no embedded ClickHouse for $(uname -s) on $(uname -m); point [clickhouse] url at a server instead" ;;
esac

command -v npm >/dev/null 2>&1 || die "npm is missing. Install Node.js (which brings npm) and run this again, or copy libchdb.so $version to $target"
command -v tar >/dev/null 2>&1 || die "tar is missing"

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

mkdir -p "$folder"
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "fetching @chdb/$package@$version (about 180 MB) ..."
(cd "$work" && npm pack --silent --ignore-scripts "@chdb/$package@$version" >/dev/null) \
  || die "npm could not fetch @chdb/$package@$version; check the network and npm's registry setting"
tarball=$(find "$work" -maxdepth 1 -name '*.tgz' | head -n 1)
[ -n "$tarball" ] || die "npm pack left no tarball in $work"

actual=$(sha256 "$tarball")
if [ -z "$expected" ]; then
  say "sha256 of the tarball is $actual (no value is pinned for this platform)"
elif [ "$actual" != "$expected" ]; then
  die "the tarball's sha256 is $actual, expected $expected; nothing was unpacked"
fi

tar -xzf "$tarball" -C "$work" package/libchdb.so || die "the package holds no libchdb.so"
# The rename makes the file appear whole or not at all, also when two of these run at once.
mv -f "$work/package/libchdb.so" "$target"
printf '%s\n' "$target"
