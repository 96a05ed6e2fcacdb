#!/bin/sh
# Fetches the vendors' clients that the collector's tests send with, pinned in services/collector/tests/sdks (package-lock.json,
# requirements.txt with hashes), into ${RUNGS_CACHE:-.cache}/sdks-HASH/{node,python} under the project's root. Prints that
# folder. Does nothing when they are already there. Needs npm, python3 and pip; no script of a package runs.
. "$(dirname -- "$0")/fetching.sh"

sources="$root/services/collector/tests/sdks"

# Another lockfile or another Python is another folder: compiled wheels are for one version.
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
  || die "python3 is missing: clients for Python are tested. On Debian: apt-get install python3 python3-pip"
hash=$(cat "$sources/node/package-lock.json" "$sources/python/requirements.txt" | cksum | cut -d ' ' -f 1)
target="$cache/sdks-$hash-python$python"

[ ! -d "$target" ] || give "$target"

need npm "It fetches the clients for Node. Install Node.js 20 or later"
python3 -m pip --version >/dev/null 2>&1 || die "pip is missing: it fetches the clients for Python. On Debian: apt-get install python3-pip"
begin_work

say "fetching the vendors' clients for Node and Python ..."
mkdir "$work/node"
cp "$sources/node/package.json" "$sources/node/package-lock.json" "$work/node"
# Not `npm ci`: it refuses a lockfile that leaves out optional packages of other systems. The lockfile's hashes hold here too.
(cd "$work/node" && npm install --silent --no-save --omit=optional --ignore-scripts --no-audit --no-fund >&2) \
  || die "npm could not fetch the clients; check the network and npm's registry setting"
python3 -m pip install --quiet --disable-pip-version-check --no-compile --only-binary :all: --require-hashes \
  --target "$work/python" -r "$sources/python/requirements.txt" >&2 \
  || die "pip could not fetch the clients; check the network and pip's index setting"

# The rename makes the folder appear whole or not at all; when two of these run at once, the second one's copy goes.
[ -d "$target" ] || mv "$work" "$target" || die "$target could not be written"
give "$target"
