# `make help` says what there is. Students need none of this: `cargo test 2A` is enough.
CARGO ?= cargo
LABS := 2a 2b 2c 2d 3a 3b

.PHONY: help test $(addprefix test_,$(LABS)) test_real seeds mutants check_mutants page check_page screenshots measure_page check_docs book starter check check_handout check_attacks fix bench bench_labs bench_recording

help: ## this list
	@grep -hE '^[a-z_.$$()%]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([^:]+):.*## /  make \1\t/' | expand -t 30
	@printf '  make test_2a ... test_3b\tone lab'"'"'s suite\n' | expand -t 30

test: ## every test of every crate
	$(CARGO) test --workspace

$(addprefix test_,$(LABS)): test_%:
	$(CARGO) test $(shell echo $* | tr a-z A-Z)

test_real: ## every test of the labs in real time: some minutes
	LAB_TIME=real $(CARGO) test

seeds: ## N=1000: the labs' tests, each with so many seeds
	LAB_RUNS=$(or $(N),1000) $(CARGO) test -- $(addprefix _,$(shell echo $(LABS) | tr a-z A-Z))

mutants: ## the kill matrix: which test objects first to each known bug
	$(CARGO) run -q -p labgrade -- mutants --markdown docs/kill-matrix.md

check_mutants: ## every mutant's patch applies and compiles, and some of them are killed
	$(CARGO) run -q -p labgrade -- mutants --check
	$(CARGO) run -q -p labgrade -- mutants --sample 4 --above 0 --control 0

page: ## builds the timeline page from labtest/page/src; nothing else needs Node.js
	cd labtest/page && npm ci --silent --prefer-offline && npm run --silent check && node build.mjs

check_page: ## the timeline page is what its sources build, and passes its tests; CHROMIUM=program: in a browser too
	cd labtest/page && npm ci --silent --prefer-offline && npm run --silent check && node build.mjs --check && npm run --silent test

check_docs: ## the commands of README and guides work in a fresh clone: 15 min of CPU
	$(CARGO) run -q -p labdocs

book: ## both editions of the guides for a browser, in target/book and target/book/zh; needs mdbook
	@command -v mdbook >/dev/null || { echo 'no mdbook: cargo install mdbook --locked --version 0.4.52' >&2; exit 1; }
	mdbook build docs
	mdbook build docs/zh

screenshots: ## CHROMIUM=program: the pictures of the documentation
	cd labtest/page && npm ci --silent --prefer-offline && node build.mjs --tests && node build/pictures.mjs ../../docs/images

measure_page: ## CHROMIUM=program PAGES="/a.html /b.html": how long they take to open and to move
	cd labtest/page && npm ci --silent --prefer-offline && node build.mjs --tests && node build/measure.mjs $(PAGES)

check_attacks: ## hostile submissions, each of which must get the right verdict: some minutes
	$(CARGO) test -p labgrade --test attacks -- --test-threads=1 --nocapture

starter: ## DIR=../my-raft: a tree for a student to work in, without the solution
	@[ -n "$(DIR)" ] || { echo 'usage: make starter DIR=../my-raft' >&2; exit 2; }
	@$(CARGO) run -q -p labgrade -- handout --out "$(DIR)"

check: ## what must hold before a change lands; changes nothing
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --quiet
	$(CARGO) test --workspace
	LAB_TIME=real $(CARGO) test --quiet basic_agree
	handout/check_handout
	@if command -v npm >/dev/null; then $(MAKE) check_page; else echo 'no npm: the timeline page was not checked'; fi

check_handout: ## what students get builds without warnings, says what to write lab by lab, and passes with the solution
	handout/check_handout

fix: ## format, and let clippy mend what it can
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged

bench: ## figures as JSON lines: RPCs, commits and operations per second, encoding
	$(CARGO) bench --quiet -p labcodec -p labrpc -p raft -p kvraft

bench_labs: ## what the tests of 2A-2D cost in virtual time: CPU time, as JSON lines
	labsim/benches/labs $(N)

bench_recording: ## what recording adds to the CPU time of a run, as JSON lines
	labtest/benches/recording $(N)
