# Two commands: `make demo` runs the main job, `make test` passes the tests.
# Both install what they need; see tests/setup/postgres.sh.

CARGO ?= cargo
ENGINE := target/debug/engine

.PHONY: help demo test setup build fmt lint test-matrix crash-matrix kill-loop directus bench bench-stages bench-review clean

help:
	@echo "make demo      the pipeline A to G on a throw-away PostgreSQL with the sample production"
	@echo "make test      formatting, lints and all tests"
	@echo "make test-matrix  the tests on PostgreSQL 15, 16, 17 and 18, and clones from older into newer (fetches what is"
	@echo "               missing with npm and pip, into target/majors); MAJORS='15 16 17 18'"
	@echo "make crash-matrix  the engine killed at every place where it could be, also in the main job, and resumed"
	@echo "make kill-loop  the main job killed at random instants, resumed, and compared; RUNS=200 SEED=the time, printed"
	@echo "make bench-stages  what a stage costs over bare commits, a plan of 10000, a long run resumed; into docs/benchmarks-stages.md"
	@echo "make bench-review  what engine diff of two plans of 5000 stages costs; into docs/benchmarks-review.md"
	@echo "make bench     clones and fingerprints against those of others, into docs/benchmarks.md (installs pgcopydb)"
	@echo "               SCALE=60 ROUNDS=5 JOBS=cores CLONE_METHOD=stream; see tests/bench/run.sh"
	@echo "make directus  the same pipeline on a database that Directus itself created (installs directus from npm)"

setup:
	@sh tests/setup/postgres.sh
	@sh tests/setup/git.sh

build:
	$(CARGO) build --locked

demo: setup build
	$(ENGINE) sandbox -- sh tests/setup/demo.sh $(ENGINE)

fmt:
	$(CARGO) fmt --check

lint:
	$(CARGO) clippy --locked --all-targets --features crash-points -- -D warnings

test: setup fmt lint
	$(CARGO) test --locked --features crash-points --no-fail-fast

test-matrix:
	@CARGO='$(CARGO)' sh tests/matrix/run.sh

crash-matrix: setup
	CRASH_MATRIX=all $(CARGO) test --locked --features crash-points --test crashes --test rollback -- --nocapture

kill-loop: setup
	KILL_RUNS=$(or $(RUNS),200) ENGINE_SEED=$(SEED) $(CARGO) test --locked --test kill_loop -- --nocapture

directus: setup build
	$(ENGINE) sandbox -- bash tests/directus/run.sh $(ENGINE)

bench: setup
	@sh tests/setup/pgcopydb.sh
	$(CARGO) build --locked --release
	@bash tests/bench/run.sh target/release/engine

bench-stages: setup
	$(CARGO) build --locked --release
	@bash tests/bench/stages.sh target/release/engine

bench-review:
	$(CARGO) build --locked --release
	@bash tests/bench/review.sh target/release/engine

clean:
	$(CARGO) clean
