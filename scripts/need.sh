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
    node) say "node is missing: vendors' clients are tested with it. Install Node.js 20 or later" ;;
    python3) say "python3 is missing: vendors' clients and the schemas of Kubernetes are fetched with its pip. On Debian: apt-get install python3 python3-pip" ;;
    go) say "go is missing: the tests of docker-compose.yml and k8s/ read them with it. Install Go 1.24 or later (https://go.dev/dl); Debian's golang may be older" ;;
    c++) say "a C++ compiler is missing: the fuzzer is built with it. On Debian: apt-get install build-essential" ;;
    curl) say "curl is missing: the smoke test and the examples of docs/server-side.md ask with it. On Debian: apt-get install curl" ;;
    chromium) say "chromium is missing: the live page and the tag are tested in it. On Debian: apt-get install chromium" ;;
    prometheus) say "prometheus is missing: rules and dashboards are tested with it and its promtool. On Debian: apt-get install prometheus" ;;
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
