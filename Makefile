# make test and make demo do their own set-up on Debian 12 (.ci/setup says what
# it installs); everything else takes what is there.

GO := .ci/go
PROGRAM := bin/mbox2cyrus

# What "mbox2cyrus --version" says. The date is the commit's, so that one
# commit gives one binary whenever it is built.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
DATE := $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

NFPM := v2.43.4
MAINTAINER ?= the mbox2cyrus authors <mbox2cyrus@mbox2cyrus.invalid>
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 2m
BASE ?= HEAD~1

.PHONY: build package test test-cyrus kill-matrix demo bench bench-full bench-compare fuzz check setup clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(PROGRAM) ./cmd/mbox2cyrus

# A .deb and an .rpm in dist/, with manual pages, completions and a systemd unit.
package: build
	VERSION='$(VERSION)' DATE='$(DATE)' MAINTAINER='$(MAINTAINER)' NFPM=$(NFPM) packaging/build

setup:
	.ci/setup

# Vet, then every test, among them the ones on a real Cyrus. No cached results:
# Go does not notice when another Cyrus is installed. Vet again for a 32-bit machine:
# there a constant may not fit.
test: setup
	$(GO) vet ./...
	GOARCH=386 CGO_ENABLED=0 $(GO) vet ./...
	$(GO) test -count=1 -timeout 40m ./...

# The tests that need a Cyrus, on those of Debian's other releases: in small roots
# that are made once and kept in the user's cache directory (or MBOX2CYRUS_ROOTS).
# Needs root. SUITES="trixie sid" chooses releases, TESTS=Regexp tests.
test-cyrus:
	.ci/setup roots
	TESTS='$(TESTS)' .ci/test-cyrus $(SUITES)

# Kills every kind of run at each of its system calls and at random times, cuts the
# power of its disks, and prints what became of it (docs/crash-safety.md). Some 1000
# kills, hours.
kill-matrix: setup
	mkdir -p dist
	MBOX2CYRUS_EVERY_FAULT=1 MBOX2CYRUS_KILL_MATRIX='$(CURDIR)/dist' $(GO) test -count=1 -timeout 6h -parallel 4 -run '^Test(KillMatrix|PowerCut(XFS|Btrfs|IsOne)?|Histories)$$' ./cmd/mbox2cyrus; \
	status=$$?; cat dist/kill-matrix.md dist/power-cuts*.md; exit $$status

# A small UW host, migrated and read back over IMAP and POP3.
demo: setup build
	$(GO) run ./cmd/mbox2cyrus/internal/demo

# The libraries by themselves, then the whole job against tar and reconstruct.
bench: setup build
	$(GO) test -run '^$$' -bench . -benchmem ./mbox/... ./cyrusspool/...
	$(GO) build -o bin/bench ./cmd/mbox2cyrus/internal/bench
	bin/bench $(BENCH)

# The whole job at full size, warm and cold, and the rivals: hours. Needs root and an
# idle machine (docs/performance.md). BENCH="-rounds 3 -big-rounds 1" changes it.
bench-full: build
	.ci/setup rivals
	$(GO) build -o bin/bench ./cmd/mbox2cyrus/internal/bench
	bin/bench -users 100 -messages 100000 -mb 1500 -rounds 5 -cold -big-mb 4096 -big-rounds 5 -rivals 1 $(BENCH)

# The libraries' benchmarks, this work tree against the commit BASE.
bench-compare:
	.ci/bench-compare $(BASE)

# Every fuzz target for FUZZTIME.
fuzz:
	.ci/fuzz $(FUZZTIME)

# What must pass before a change is proposed.
check:
	.ci/setup
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) && test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	$(GO) vet ./...
	GOARCH=386 CGO_ENABLED=0 $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -race -shuffle=on -timeout 60m ./...
	.ci/fuzz 10s

clean:
	rm -rf bin dist
