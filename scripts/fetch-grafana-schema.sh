#!/bin/sh
# Fetches what the dashboards are checked with: Grafana's published schema (the types of @grafana/schema, Apache-2.0) and the
# TypeScript compiler (Apache-2.0), from pinned npm packages, into ${RUNGS_CACHE:-.cache}/grafana-schema-VERSION under the project's
# root. Prints that folder. Does nothing when it is there. Needs npm and tar; nothing is installed, no script of a package runs.
set -eu

schema="13.2.3"
schema_sha256="f492f0ec5b0212cbf7f098d5d54b4a540371c262c6b78e9016ee2d26add9e559"
compiler="5.9.3"
compiler_sha256="10e108c9cf7d5f2879053dff18515fb405abf2ccef63eaaf017d9c571687a1d3"

say() { printf '%s\n' "$*" >&2; }
die() { say "fetch-grafana-schema: $*"; exit 1; }

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cache="${RUNGS_CACHE:-.cache}"
case "$cache" in /*) ;; *) cache="$root/$cache" ;; esac
folder="$cache/grafana-schema-$schema"

if [ -d "$folder" ]; then
  printf '%s\n' "$folder"
  exit 0
fi

command -v npm >/dev/null 2>&1 || die "npm is missing. Install Node.js, which brings npm, and run this again"
command -v tar >/dev/null 2>&1 || die "tar is missing"

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

mkdir -p "$cache"
work=$(mktemp -d "$cache/grafana-schema.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# fetch PACKAGE VERSION SHA256: into node_modules, where the compiler looks.
fetch() {
  say "fetching $1@$2 ..."
  tarball=$(cd "$work" && npm pack --silent --ignore-scripts "$1@$2") \
    || die "npm could not fetch $1@$2; check the network and npm's registry setting"
  [ "$(sha256 "$work/$tarball")" = "$3" ] || die "the sha256 of $1@$2 is not the pinned one; nothing was unpacked"
  mkdir -p "$work/whole/node_modules/$1"
  tar -xzf "$work/$tarball" -C "$work/whole/node_modules/$1" --strip-components 1
}

fetch @grafana/schema "$schema" "$schema_sha256"
fetch typescript "$compiler" "$compiler_sha256"
# The rename makes the folder appear whole or not at all, also when two of these run at once.
mv "$work/whole" "$folder" 2>/dev/null || [ -d "$folder" ] || die "$folder could not be made"
printf '%s\n' "$folder"
