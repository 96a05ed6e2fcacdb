#!/bin/sh
# Writes rungs.min.js and rungs-extra.min.js, which the collector serves, from their sources in services/collector/tag:
# minify-tag.sh [FOLDER], by default beside the sources. They are checked in, so that a build needs no minifier; a test
# holds them equal to what this writes.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sources="$root/services/collector/tag"
folder="${1:-$sources}"
esbuild=$("$root/scripts/fetch-esbuild.sh")

minify() {
  "$esbuild" "$sources/$1" --bundle --format=iife --target=es2017 --minify --charset=utf8 --legal-comments=none \
    --log-level=warning "--outfile=$folder/$2"
}

minify rungs/main.js rungs.min.js
minify rungs-extra.js rungs-extra.min.js
