#!/bin/sh
# Fetches what the dashboards are checked with: Grafana's published schema (the types of @grafana/schema, Apache-2.0) and the
# TypeScript compiler (Apache-2.0), from pinned npm packages, into ${RUNGS_CACHE:-.cache}/grafana-schema-VERSION under the project's
# root. Prints that folder. Does nothing when it is there. Needs npm and tar; nothing is installed, no script of a package runs.
. "$(dirname -- "$0")/fetching.sh"

schema="13.2.3"
schema_sha256="f492f0ec5b0212cbf7f098d5d54b4a540371c262c6b78e9016ee2d26add9e559"
compiler="5.9.3"
compiler_sha256="10e108c9cf7d5f2879053dff18515fb405abf2ccef63eaaf017d9c571687a1d3"

folder="$cache/grafana-schema-$schema"

[ ! -d "$folder" ] || give "$folder"

need npm "Install Node.js, which brings npm, and run this again"
need tar "Install it and run this again"
begin_work

# fetch PACKAGE VERSION SHA256: into node_modules, where the compiler looks.
fetch() {
  say "fetching $1@$2 ..."
  npm_pack "$1@$2" "$3"
  mkdir -p "$work/whole/node_modules/$1"
  tar -xzf "$tarball" -C "$work/whole/node_modules/$1" --strip-components 1
}

fetch @grafana/schema "$schema" "$schema_sha256"
fetch typescript "$compiler" "$compiler_sha256"
# The rename makes the folder appear whole or not at all, also when two of these run at once.
mv "$work/whole" "$folder" 2>/dev/null || [ -d "$folder" ] || die "$folder could not be made"
give "$folder"
