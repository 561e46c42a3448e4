# The two commands of the README are `make serve` and `make test`. The rest is
# for those who work on Gatehouse: `make help`.

export CGO_ENABLED := 0

COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
DIRTY   := $(shell test -z "$$(git status --porcelain 2>/dev/null)" && echo clean || echo dirty)
DATE    := $(shell git log -1 --format=%cI 2>/dev/null)
VERSION := $(shell sed -n 's/^const Release = "\(.*\)"/\1/p' internal/version/version.go)
STAMP   := github.com/gatehouse-io/gatehouse/internal/version
LDFLAGS := -s -w -X $(STAMP).commit=$(COMMIT) -X $(STAMP).date=$(DATE) -X $(STAMP).treeState=$(DIRTY)
BUILD   := go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'
TOOL    := go tool -modfile=tools/go.mod

.DEFAULT_GOAL := build
.PHONY: help build serve kubectl test test-race lint generate conformance oracle-gatekeeper oracle-duckdb integration-policy bench-audit bench-authz bench-detect bench-policy bench-serve attack dist clean

help: ## Show this help
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

build: ## Build bin/gatehouse
	@$(BUILD) -o bin/gatehouse ./cmd/gatehouse

serve: build ## Build, and run a Kubernetes API with every gate shut
	@exec bin/gatehouse serve

kubectl: ## Build bin/kubectl, of the same Kubernetes release
	@go build -trimpath -buildvcs=false -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37' \
	  -o bin/kubectl k8s.io/kubernetes/cmd/kubectl

# Packages that link no API server run under the race detector; the end-to-end
# packages drive the program as a process of its own. authz/rbac and policy/cel are in
# both: without the detector they compare many times as much.
GATES := . ./api/... ./admission/... ./audit/... ./authn/... ./authz/... ./check/... ./cluster/... ./detect/... ./gate/... ./attach/... ./policy/... ./secret/... ./serve/pki/... ./telemetry/... ./internal/auditid/... ./internal/version/... ./internal/filewatch/... ./internal/glob/... ./deploy/... ./test/leaks
E2E   := ./authz/rbac ./policy/cel ./internal/cli/... ./serve ./test/e2e/... ./test/bench/... ./test/attack/...

# What the servers of the end-to-end tests have said, for test/leaks.
KEPT  := $(CURDIR)/dist/kept
# How much of upstream's and Gatekeeper's suites passed, for the end.
TALLY := $(CURDIR)/dist/tally

test: export GATEHOUSE_TEST_TALLY := $(TALLY)
test: build kubectl ## Install what the tests need, and run them all
	@./test/setup
	@mkdir -p $(dir $(TALLY)) && rm -f $(TALLY)
	@if command -v gcc >/dev/null; then CGO_ENABLED=1 go test -race -count=1 $(GATES); \
	 else echo "no gcc: the race detector is left out"; go test -count=1 $(GATES); fi
	@rm -rf $(KEPT)
	GATEHOUSE_TEST_KEEP=$(KEPT) go test -count=1 -p 1 -timeout 30m $(E2E)
	@$(MAKE) --no-print-directory integration-policy
	go run ./test/leaks $(KEPT)
	@cat $(TALLY)

test-race: kubectl ## The end-to-end tests with the server itself under the race detector (builds everything again)
	@./test/setup
	CGO_ENABLED=1 go test -race -count=1 -p 1 -timeout 60m $(E2E)

lint: ## gofmt, vet, staticcheck, generated files, go.mod
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	go mod tidy -diff
	@! grep -n '^replace' go.mod tools/go.mod test/oracle/go.mod test/oracle/gatekeeper/go.mod test/oracle/duckdb/go.mod test/oracle/prometheus/go.mod
	@$(MAKE) --no-print-directory generate
	@git diff --exit-code -- api docs/reference

generate: ## Write the generated files anew
	go generate ./api/...

conformance: build ## Upstream's [sig-auth] and [sig-api-machinery] e2e specs against gatehouse serve (some 20 minutes)
	go -C test/oracle run ./conformance -gatehouse $(CURDIR)/bin/gatehouse -out $(CURDIR)/dist/conformance $(CONFORMANCE_FLAGS)

oracle-gatekeeper: ## Gatekeeper's own libraries asked anew what make test holds our policies against (minutes when nothing is cached)
	go -C test/oracle/gatekeeper build -o $(CURDIR)/dist/gatekeeper-oracle .
	rm -rf policy/gatekeeper/testdata/answers
	GATEKEEPER_ORACLE=$(CURDIR)/dist/gatekeeper-oracle go test -count=1 -v -run 'AgainstGatekeeper|MutationFixtures' ./policy/gatekeeper

oracle-duckdb: ## What audit/bucket has written read back by DuckDB (part of make test; needs g++)
	go test -count=1 -v -run DuckDB ./audit/bucket

integration-policy: build ## Upstream's own integration tests of admission policies against gatehouse serve (part of make test)
	go -C test/oracle run ./integration -gatehouse $(CURDIR)/bin/gatehouse

bench-audit: build ## The audit store beside jq, SQLite and DuckDB; writes docs/performance.md (needs jq, zstd, g++)
	CGO_ENABLED=1 go -C test/oracle/duckdb build -o $(CURDIR)/dist/duckdb .
	go build -o dist/bench-audit ./test/bench/audit
	dist/bench-audit -gatehouse bin/gatehouse -duckdb dist/duckdb $(BENCH_FLAGS)

bench-authz: ## Authorization beside upstream's authorizers; writes docs/performance.md
	go run ./test/bench/authz $(BENCH_FLAGS)

bench-detect: ## 500 detection rules beside the same rules one by one; what docs/performance.md has
	go test ./detect/rules -run xxx -bench Rules -benchtime 2s -count 5 $(BENCH_FLAGS)

bench-policy: build ## The policy gate beside Gatekeeper, and through API servers (some 20 minutes); writes docs/performance.md
	go -C test/oracle/gatekeeper build -o $(CURDIR)/dist/gatekeeper-oracle .
	GOBIN=$(CURDIR)/dist go install github.com/open-policy-agent/gatekeeper/v3@v3.23.1
	go run ./test/bench/policy -gatehouse bin/gatehouse -client dist/gatekeeper-oracle -webhook dist/gatekeeper $(BENCH_FLAGS)

attack: build ## Attack gatehouse serve, and play ordinary days, against the detection rules (part of make test)
	@./test/setup
	GATEHOUSE_BIN=$(CURDIR)/bin/gatehouse go test -count=1 ./test/attack/ordinary
	GATEHOUSE_BIN=$(CURDIR)/bin/gatehouse go test -count=1 -v -run TestAttacks ./test/attack $(ATTACK_FLAGS)

bench-serve: build ## Side by side with a stock kube-apiserver and etcd; writes docs/performance.md
	go run ./test/bench/serve -gatehouse bin/gatehouse $(BENCH_FLAGS)

dist: ## Static, stamped, reproducible release binaries with checksums and an SBOM
	@VERSION=$(VERSION) LDFLAGS='$(LDFLAGS)' DATE='$(DATE)' ./deploy/dist

clean: ## Remove what was built
	rm -rf bin dist
