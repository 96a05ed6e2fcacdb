#!/bin/sh
# Fetches the Kafka that the tests start (Apache-2.0, about 55 MB of jars) from Maven Central, pinned in kafka-pom.xml, into
# ${RUNGS_CACHE:-.cache}/kafka-VERSION/lib under the project's root. Prints that folder. Does nothing when it is already
# there. Needs mvn and java (17 or later); nothing is installed.
. "$(dirname -- "$0")/fetching.sh"

version="4.1.1"
plugin="org.apache.maven.plugins:maven-dependency-plugin:3.6.1"

folder="$cache/kafka-$version"
target="$folder/lib"

need java "The tests start a real Kafka. On Debian: apt-get install openjdk-17-jre-headless"

[ ! -s "$target/kafka_2.13-$version.jar" ] || give "$target"

need mvn "It fetches Kafka's jars. On Debian: apt-get install maven; or copy the jars of Kafka $version to $target"
begin_work

say "fetching Apache Kafka $version ..."
cp "$root/scripts/kafka-pom.xml" "$work/pom.xml"
(cd "$work" && mvn -q -B "$plugin:copy-dependencies" -DincludeScope=runtime "-DoutputDirectory=$work/lib" >&2) \
  || die "mvn could not fetch Kafka $version; check the network and Maven's mirror setting"
[ -s "$work/lib/kafka_2.13-$version.jar" ] || die "mvn left no kafka_2.13-$version.jar"

# The rename makes the folder appear whole or not at all; when two of these run at once, the second one's copy goes.
mkdir -p "$folder"
mv "$work/lib" "$target" 2>/dev/null || [ -s "$target/kafka_2.13-$version.jar" ] || die "$target could not be written"
give "$target"
