# Commands around the two programs: set-up, tests, measurements. Recipes name scripts, and the scripts know the rest.

PY      = $$(scripts/python.sh)
SUBMAKE = $(MAKE) --no-print-directory OUT=$(OUT) BUILD=$(BUILD)
# For each command: the groups of scripts/packages.txt it needs, then the build, which says only what goes wrong.
ready   = scripts/setup.sh $(1) && { $(SUBMAKE) -q artifacts 2>/dev/null || echo "building into $(OUT)" >&2; } && \
          $(SUBMAKE) --silent -j$(JOBS) artifacts

.PHONY: deps bench test test-long test-list replay report record micro programs scoreboard traces test-portability lint \
        example heap-scale adversary scale thp checks-cost

deps:
	@scripts/setup.sh build scripts micro

bench: ## measure every allocator on the bundled traces, in less than 5 minutes (SUITE=quick: 1; SUITE=default|full MINUTES=4)
	@$(call ready,build scripts micro bench)
	@py=$(PY) && $$py scripts/bench.py --heaplay $(OUT)/heaplay $(if $(SUITE),--suite $(SUITE)) \
	    $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ALLOCS),--allocs "$(ALLOCS)") $(BENCH_ARGS)

replay: ## measure one trace and report: TRACE=f.hpt [ALLOCS="cellmalloc glibc NAME=PATH"] [MINUTES=2]
	@test -n "$(TRACE)" || { echo 'usage: make replay TRACE=f.hpt [ALLOCS="..."]' >&2; exit 2; }
	@$(call ready,build scripts micro bench)
	@py=$(PY) && $$py scripts/bench.py --heaplay $(OUT)/heaplay --trace "$(TRACE)" \
	    $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ALLOCS),--allocs "$(ALLOCS)") $(BENCH_ARGS)

report: ## draw the newest results again (RUN=results/DIR, or RESULTS=, for others)
	@scripts/setup.sh scripts
	@py=$(PY) && $$py scripts/report.py $(or $(RUN),$(RESULTS))

example: ## make the newest run the example of README and results/example (RUN=results/DIR TESTS_LOG=output of make test)
	@scripts/setup.sh scripts
	@py=$(PY) && $$py scripts/readme_figures.py --run $(or $(RUN),results/latest) $(if $(TESTS_LOG),--tests $(TESTS_LOG))

record: ## record a program: CMD="prog args" [OUT=f.hpt]
	@test -n '$(subst ','\'',$(CMD))' || { echo 'usage: make record CMD="prog args" OUT=f.hpt' >&2; exit 2; }
	@$(call ready,build)
	@$(OUT)/heaplay record $(if $(RECORD_OUT),-o "$(RECORD_OUT)") -- $(CMD)

micro: ## micro-benchmarks of every allocator (Google Benchmark)
	@$(call ready,build scripts micro bench)
	@py=$(PY) && OUT=$(OUT) $$py scripts/micro.py $(MICRO_ARGS)

scale: ## traces of 1, 10 and 100 million operations and 64 threads: time and memory per million (SCALE_ARGS="--millions 1")
	@$(call ready,build scripts micro bench)
	@py=$(PY) && $$py scripts/scale.py --heaplay $(OUT)/heaplay $(SCALE_ARGS)

programs: ## whole programs under each allocator (hyperfine)
	@$(call ready,build scripts micro bench programs)
	@py=$(PY) && OUT=$(OUT) $$py scripts/programs.py $(PROGRAMS_ARGS)

scoreboard: ## cellmalloc against each peer, row by row: won, held, lost, 10 minutes (SCOREBOARD_ARGS=--quick: below 2)
	@$(call ready,build scripts micro bench counts $(if $(findstring --quick,$(SCOREBOARD_ARGS)),,programs))
	@py=$(PY) && OUT=$(OUT) $$py scripts/scoreboard.py $(SCOREBOARD_ARGS)

heap-scale: ## heaps of 1/100, 1/10 and all of 8 GiB, 50 million blocks: time per call, fragmentation; 10 minutes (HEAP_SCALE_ARGS="--gib 2")
	@$(call ready,build scripts micro bench)
	@py=$(PY) && OUT=$(OUT) $$py scripts/heap_scale.py $(HEAP_SCALE_ARGS)

adversary: ## the worst single calls under hard sequences, to the 99.999th percentile; 5 minutes (ADVERSARY_ARGS="--patterns comb")
	@$(call ready,build scripts micro bench)
	@py=$(PY) && OUT=$(OUT) $$py scripts/adversary.py $(ADVERSARY_ARGS)

checks-cost: ## what cellmalloc's checks cost: instructions and time with and without them, 5 minutes (CHECKS_COST_ARGS=...)
	@$(call ready,build scripts micro bench counts)
	@$(SUBMAKE) --silent -j$(JOBS) $(OUT)/unchecked/libcellmalloc.so
	@py=$(PY) && OUT=$(OUT) $$py scripts/checks_cost.py $(CHECKS_COST_ARGS)

thp: ## the scoreboard with huge pages as they are, never and always, system-wide, put back after; root, 8 minutes (THP_ARGS=...)
	@$(call ready,build scripts micro bench)
	@py=$(PY) && OUT=$(OUT) $$py scripts/thp.py $(THP_ARGS)

traces: ## record the bundled traces again (LONG=1: longer ones, into build/traces-long; NAMES="jq redis": only those)
	@$(call ready,build scripts traces)
	@py=$(PY) && OUT=$(OUT) LONG=$(LONG) $$py scripts/make_traces.py $(if $(NAMES),--names "$(NAMES)") $(TRACES_ARGS)

# Tests. TESTS holds programs and scripts that print TAP; programs run under the sanitizers too, unless a fragment
# narrows TESTS_VARIANT. test-list builds one variant's programs and leaves their names for scripts/run_tests.py.
TEST_BINARIES := $(filter $(OUT)/%,$(TESTS))
TESTS_release ?= $(TESTS)
TESTS_debug   ?= $(TEST_BINARIES)
TESTS_asan    ?= $(TEST_BINARIES)
TESTS_ubsan   ?= $(TEST_BINARIES)
# ThreadSanitizer has nothing to find in programs of one thread, and slows them down twentyfold.
ONE_THREAD    := model/% oom/% policy/% unit/% replay/tests/test_format replay/tests/test_fuzz% replay/tests/test_check \
                 replay/tests/test_figure
TESTS_tsan    ?= $(filter-out $(foreach name,$(ONE_THREAD),$(OUT)/$(name) $(OUT)/allocator/tests/$(name)),$(TEST_BINARIES))
# debug is for the long run: the sanitizer builds have the assertions too.
TEST_VARIANTS ?= release asan ubsan tsan

test-list: $(filter $(OUT)/%,$(TESTS_$(BUILD))) $(ARTIFACTS)
	@mkdir -p $(OUT) && printf '%s\n' $(TESTS_$(BUILD)) > $(OUT)/tests.list

test: ## every test: programs, sanitizer builds, scripts, style (TEST_VARIANTS="release" for less)
	@scripts/setup.sh build scripts micro bench test $(if $(HEAPLAY_LONG),programs whole)
	@py=$(PY) && $$py scripts/run_tests.py --variants "$(TEST_VARIANTS)" \
	    $(if $(filter command line,$(origin OUT) $(origin BUILDDIR)),--out $(OUT)) $(TEST_ARGS)

test-long: ## every test, with the long form of those that have one, and more whole programs (HEAPLAY_LONG=1)
	@HEAPLAY_LONG=1 $(MAKE) --no-print-directory test TEST_VARIANTS="release debug asan ubsan tsan" \
	    TEST_ARGS="--timeout 3600 $(TEST_ARGS)"

test-portability: ## cellmalloc under gcc, clang, i386, arm64 (qemu; pages of 4, 16, 64 KiB), musl (TARGET=i386 for some)
	@scripts/setup.sh build portability
	@scripts/portability.sh $(if $(TARGET),"$(TARGET)")

lint: ## flake8 and the rules of who may include whom
	@scripts/setup.sh scripts test
	@py=$$(scripts/python.sh flake8) && $$py -m flake8 scripts && $$py scripts/check_layers.py
