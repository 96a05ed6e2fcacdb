# Everything a newcomer needs: `make run` to try it, `make test` before a commit.

.DEFAULT_GOAL := help
.PHONY: help build run test lint bench clean libchdb kafka grafana-schema sdks deploy-tools tools

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

tools:
	@scripts/need.sh cargo npm

build: libchdb ## Build target/release/rungs
	$(CARGO) build --release --locked --bin rungs

run: build ## Start everything with the example data; Ctrl-C ends it, the next run goes on
	@examples/run.sh

grafana-schema: tools
	@scripts/fetch-grafana-schema.sh >/dev/null

test: libchdb kafka grafana-schema sdks deploy-tools ## Formatting, lints and all tests, as CI runs them
	@scripts/need.sh --install chromium prometheus
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --workspace --locked
	@scripts/deny.sh

lint: tools ## Formatting and lints only
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

bench: build ## Throughput and latency, as ratios to the bare limits of this machine
	$(CARGO) run --release --locked -p load-tests --bin rungs-bench

clean: ## Remove what was built, and the data of `make run`
	$(CARGO) clean
	rm -rf data
