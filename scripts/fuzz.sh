#!/bin/sh
# Runs cargo-fuzz on every target of fuzz/, or on one: fuzz.sh SECONDS [TARGET]. The seeds are those of the corpus; what the
# fuzzer learned before is in fuzz/corpus and goes on. cargo-fuzz is built once, pinned, into
# ${RUNGS_CACHE:-.cache}/cargo-fuzz-VERSION. The project's own compiler will do, without sanitizers, which need a nightly
# one: nothing that is fuzzed is `unsafe` but decompressors, and those have fuzzers of their own.
. "$(dirname -- "$0")/fetching.sh"

version="0.13.1"
seconds="${1:?seconds for each target}"
targets="${2:-}"

need cargo "Install Rust with rustup"
tool="$cache/cargo-fuzz-$version"
if [ ! -x "$tool/bin/cargo-fuzz" ]; then
  say "building cargo-fuzz $version ..."
  cargo install --quiet --locked --root "$tool" --version "$version" cargo-fuzz || die "cargo could not install cargo-fuzz"
fi
PATH="$tool/bin:$PATH"
export PATH

cd "$root"
cargo run --quiet --locked -p fuzz-targets -- fuzz/corpus
[ -n "$targets" ] || targets=$(cargo fuzz list)
failed=""
for target in $targets; do
  say "fuzzing $target for $seconds s ..."
  cargo fuzz run --sanitizer none "$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 -verbosity=0 \
    || failed="$failed $target"
done
[ -z "$failed" ] || die "found something in:$failed (fuzz/artifacts); put it into services/fuzz-targets/tests/found"
