#!/bin/sh
# Checks that tools are there and says how to get those that are not: need.sh [--install] TOOL...
# With --install, as root and in CI (CI=true), Debian's package is installed; nowhere else is anything installed.
set -eu

say() { printf '%s\n' "$*" >&2; }

install=no
if [ "${1:-}" = --install ]; then install=yes; shift; fi

how() {
  case "$1" in
    cargo) say "cargo is missing: install Rust with rustup (https://rustup.rs); the toolchain is pinned in rust-toolchain.toml" ;;
    npm) say "npm is missing: install Node.js; it fetches the embedded ClickHouse (scripts/fetch-libchdb.sh)" ;;
    chromium) say "chromium is missing: the live page and the tag are tested in it. On Debian: apt-get install chromium" ;;
    curl | python3) say "$1 is missing: the examples of docs/server-side.md are tested with it. On Debian: apt-get install $1" ;;
    *) say "$1 is missing" ;;
  esac
}

missing=0
for tool in "$@"; do
  command -v "$tool" >/dev/null 2>&1 && continue
  if [ "$install" = yes ] && [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing $tool ..."
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$tool" >/dev/null
    command -v "$tool" >/dev/null 2>&1 && continue
  fi
  how "$tool"
  missing=1
done
exit "$missing"
