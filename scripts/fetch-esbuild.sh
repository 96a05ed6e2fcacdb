#!/bin/sh
# Fetches the minifier of the tag: esbuild (MIT, about 10 MB) from the pinned npm package, into
# ${RUNGS_CACHE:-.cache}/esbuild-VERSION/esbuild under the project's root. Prints the path. Does nothing when the file is
# already there. Needs npm and tar; nothing is installed, no script of a package runs.
. "$(dirname -- "$0")/fetching.sh"

version="0.28.2"
linux_x64_sha256="9573bb2233aab0f9ea7647d5cca9726113cc1768de61d66b17267f4db84488f6"

target="$cache/esbuild-$version/esbuild"
[ ! -x "$target" ] || give "$target"

platform=$(platform)
case "$platform" in
  linux-x64) expected="$linux_x64_sha256" ;;
  ?*) expected="" ;;
  *) die "there is no esbuild here for $(uname -s) on $(uname -m); copy esbuild $version to $target" ;;
esac

say "fetching esbuild $version ..."
npm_file "@esbuild/$platform@$version" "$expected" bin/esbuild "$target"
give "$target"
