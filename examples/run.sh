#!/usr/bin/env bash
# `make run`: starts `rungs up` with examples/demo, imports the shop's clickstream once (moved so that it ends now), and
# lets simulated visitors climb the ladder for half an hour. Ctrl-C ends all of it; the next run goes on with the same
# data and does not import again. RUNGS_DATA names another data folder, RUNGS_UP_FLAGS adds flags to `rungs up`.
# -m: a process group for each child, so that a Ctrl-C reaches this script alone and each child gets one signal, not two
# (a second one would end `rungs up` without draining).
set -eum
cd "$(dirname "$0")/.."

rungs="${RUNGS_BINARY:-target/release/rungs}"
data="${RUNGS_DATA:-data}"
collector="127.0.0.1:8080"
console="127.0.0.1:8081"
# Beside the data, so that removing the folder forgets the import too.
export XDG_STATE_HOME="$data/state"

say() { printf '%s\n' "$*" >&2; }

if [ ! -x "$rungs" ]; then
  say "$rungs is missing: run \`make run\`, which builds it"
  exit 1
fi

up=""
visitors=""
import=""
finish() {
  trap '' INT TERM
  [ -z "$import" ] || kill "$import" 2>/dev/null || true
  [ -z "$visitors" ] || kill "$visitors" 2>/dev/null || true
  [ -z "$up" ] || kill -TERM "$up" 2>/dev/null || true
  [ -z "$up" ] || wait "$up" || true
  exit "${1:-0}"
}
trap 'finish 0' INT TERM

# `rungs up` ended by itself, and has said why.
stopped() {
  status=0
  wait "$up" || status=$?
  up=""
  finish "$status"
}

mkdir -p "$data"
# shellcheck disable=SC2086 # the flags are several words
"$rungs" up --plan examples/demo/tracking-plan.toml --data-dir "$data" \
  --listen "$collector" --console "$console" ${RUNGS_UP_FLAGS:-} &
up=$!

ready() {
  # `rungs report` asks the console, which answers once the plan is in force.
  "$rungs" report --url "http://$console" --site shop --funnel purchase --json >/dev/null 2>&1
}
tries=0
until ready; do
  kill -0 "$up" 2>/dev/null || stopped
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || { say "rungs up is not ready after a minute"; finish 1; }
  sleep 0.2
done

"$rungs" import --url "http://$collector" --key sk_shop_demo --site shop \
  --visitor user_id --event event --time timestamp \
  --property channel=acquisition_channel --property platform=platform \
  --property cohort=user_cohort --property lifecycle=user_lifecycle \
  --time-shift-to-now examples/shop/clickstream.csv.gz &
import=$!
# An import waits for a collector that is away; here it would wait for nothing.
while kill -0 "$import" 2>/dev/null; do
  kill -0 "$up" 2>/dev/null || stopped
  sleep 0.2
done
wait "$import" || say "the example data was not imported"
import=""

say ""
"$rungs" report --url "http://$console" --site shop --funnel purchase || true
say ""
say "  http://$console shows it live; for the next 30 minutes visitors climb the ladder of the site \"ladder\"."
say "  Ctrl-C ends everything."

"$rungs" demo-visitors --url "http://$collector" --key wk_ladder_demo --rate 2 --minutes 30 &
visitors=$!

stopped
