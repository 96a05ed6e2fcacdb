#!/bin/sh
# Fetches the Kafka that the tests start (Apache-2.0, about 55 MB of jars) from Maven Central, pinned in kafka-pom.xml, into
# ${RUNGS_CACHE:-.cache}/kafka-VERSION/lib under the project's root. Prints that folder. Does nothing when it is already
# there. Needs mvn and java (17 or later); nothing is installed.
set -eu

version="4.1.1"
plugin="org.apache.maven.plugins:maven-dependency-plugin:3.6.1"

say() { printf '%s\n' "$*" >&2; }
die() { say "fetch-kafka: $*"; exit 1; }

scripts=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache="${RUNGS_CACHE:-.cache}"
case "$cache" in /*) ;; *) cache="$scripts/../$cache" ;; esac
folder="$cache/kafka-$version"
target="$folder/lib"

command -v java >/dev/null 2>&1 || die "java is missing: the tests start a real Kafka. On Debian: apt-get install openjdk-17-jre-headless"

if [ -s "$target/kafka_2.13-$version.jar" ]; then
  printf '%s\n' "$target"
  exit 0
fi

command -v mvn >/dev/null 2>&1 || die "mvn is missing: it fetches Kafka's jars. On Debian: apt-get install maven; or copy the jars of Kafka $version to $target"

mkdir -p "$folder"
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "fetching Apache Kafka $version ..."
cp "$scripts/kafka-pom.xml" "$work/pom.xml"
(cd "$work" && mvn -q -B "$plugin:copy-dependencies" -DincludeScope=runtime "-DoutputDirectory=$work/lib" >&2) \
  || die "mvn could not fetch Kafka $version; check the network and Maven's mirror setting"
[ -s "$work/lib/kafka_2.13-$version.jar" ] || die "mvn left no kafka_2.13-$version.jar"

# The rename makes the folder appear whole or not at all; when two of these run at once, the second one's copy goes.
mv "$work/lib" "$target" 2>/dev/null || [ -s "$target/kafka_2.13-$version.jar" ] || die "$target could not be written"
printf '%s\n' "$target"
