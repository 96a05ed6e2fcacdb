#!/bin/sh
# Fetches the engine behind `rungs up` and `rungs clickhouse`: libchdb.so (Apache-2.0, about 566 MB) from the pinned
# npm package, into ${RUNGS_CACHE:-.cache}/libchdb-VERSION/libchdb.so under the project's root. Prints the path.
# Does nothing when the file is already there. Needs npm and tar; nothing is installed, no script of a package runs.
. "$(dirname -- "$0")/fetching.sh"

version="26.7.3-stable.1"
linux_x64_sha256="c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad"

target="$cache/libchdb-$version/libchdb.so"
[ ! -s "$target" ] || give "$target"

platform=$(platform)
case "$platform" in
  linux-x64) package="lib-$platform-gnu"; expected="$linux_x64_sha256" ;;
  linux-*) package="lib-$platform-gnu"; expected="" ;;
  darwin-*) package="lib-$platform"; expected="" ;;
  *) die "there is no embedded ClickHouse for $(uname -s) on $(uname -m); point [clickhouse] url at a server instead" ;;
esac

say "fetching libchdb $version (about 180 MB) ..."
npm_file "@chdb/$package@$version" "$expected" libchdb.so "$target"
give "$target"
