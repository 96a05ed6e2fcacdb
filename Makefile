# Everything a newcomer needs: `make run` to try it, `make test` before a commit.

.DEFAULT_GOAL := help
.PHONY: help build run test lint simulate faults fuzz bench clean tag libchdb kafka esbuild grafana-schema sdks deploy-tools tools test-tools

CARGO ?= cargo

help: ## What there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 8

libchdb: tools
	@scripts/fetch-libchdb.sh >/dev/null

kafka: tools
	@scripts/fetch-kafka.sh >/dev/null

sdks: tools
	@scripts/need.sh node python3
	@scripts/fetch-sdks.sh >/dev/null

deploy-tools:
	@scripts/need.sh go python3 curl
	@scripts/fetch-deploy-tools.sh >/dev/null

esbuild: tools
	@scripts/fetch-esbuild.sh >/dev/null

tools:
	@scripts/need.sh cargo npm

test-tools:
	@scripts/need.sh --install cargo npm node go python3 curl chromium prometheus

build: libchdb ## Build target/release/rungs
	$(CARGO) build --release --locked --bin rungs

run: build ## Start everything with the example data; Ctrl-C ends it, the next run goes on
	@examples/run.sh

grafana-schema: tools
	@scripts/fetch-grafana-schema.sh >/dev/null

test: test-tools libchdb kafka esbuild grafana-schema sdks deploy-tools ## Formatting, lints and all tests, as CI runs them
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --workspace --locked --no-fail-fast
	@scripts/deny.sh

lint: tools ## Formatting and lints only
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

SEEDS ?= 10000

simulate: tools ## Simulate the pipeline from SEEDS=n seeds on all cores, or tell each step of SEED=n
	$(CARGO) run --profile simulation --locked -p simulation -- $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

faults: libchdb kafka ## Kills, freezes and outages of every part at full size: 1 million events and visitors, ten rounds, 60 s
	RUNGS_FAULT_EVENTS=1000000 RUNGS_FAULT_ROUNDS=10 RUNGS_FAULT_SECONDS=60 RUNGS_FAULT_BROKERS=3 RUNGS_FAULT_VISITORS=1000000 \
		$(CARGO) test --locked -p rungs --test production -- --nocapture

SECONDS ?= 60

fuzz: ## libFuzzer on every decoder for SECONDS=60 each, or on TARGET=name
	@scripts/need.sh cargo c++
	@scripts/fuzz.sh $(SECONDS) $(TARGET)

bench: build ## Throughput and latency, as ratios to the bare limits of this machine
	$(CARGO) run --release --locked -p load-tests --bin rungs-bench

tag: ## Write the minified tag anew after a change in services/collector/tag
	@scripts/minify-tag.sh

clean: ## Remove what was built, and the data of `make run`
	$(CARGO) clean
	rm -rf data
