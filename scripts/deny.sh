#!/bin/sh
# Licences, advisories and sources of the dependencies (deny.toml), where cargo-deny is installed.
set -eu
cd "$(dirname "$0")/.."
if ! command -v cargo-deny >/dev/null 2>&1; then
  printf '%s\n' "cargo-deny is not installed: dependencies were not checked (cargo install --locked cargo-deny)" >&2
  exit 0
fi
# Advisories need the network's database; without it the rest is checked all the same.
cargo deny --offline check bans licenses sources
