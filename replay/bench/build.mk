# Benchmarks: the launcher, the micro-benchmarks (Google Benchmark), and the threads set.

# Static and small, so that what exec leaves in a program's ru_maxrss is next to nothing.
$(OUT)/launcher: replay/bench/launcher.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -O2 -g -static -o $@ $<

BENCH_THREADS := $(patsubst replay/bench/threads/%.c,$(OUT)/threads/%,$(wildcard replay/bench/threads/*.c))
$(BENCH_THREADS): $(OUT)/threads/%: replay/bench/threads/%.c replay/bench/threads/threads.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -O2 -g -fno-builtin -o $@ $< -lpthread

# -fno-builtin: the compiler may drop a malloc whose block is only freed again.
$(OUT)/micro: replay/bench/micro.cc
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(CXXWARN) -O2 -g -fno-builtin -o $@ $< -lbenchmark -lpthread

ARTIFACTS += $(OUT)/launcher $(BENCH_THREADS) $(OUT)/micro
