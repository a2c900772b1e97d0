# Benchmarks: the launcher, the micro-benchmarks (Google Benchmark), the threads set, large heaps, hard sequences.

# Static and small, so that what exec leaves in a program's ru_maxrss is next to nothing.
$(OUT)/launcher: replay/bench/launcher.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -O2 -g -static -o $@ $<

BENCH_THREADS := $(patsubst replay/bench/threads/%.c,$(OUT)/threads/%,$(wildcard replay/bench/threads/*.c))
$(BENCH_THREADS): $(OUT)/threads/%: replay/bench/threads/%.c replay/bench/threads/threads.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -O2 -g -fno-builtin -D_GNU_SOURCE -o $@ $< -lpthread

# Large heaps, and sequences that are meant to be hard: plain programs under whatever malloc they are started with.
$(OUT)/scale: replay/bench/scale/scale.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -O2 -g -fno-builtin -o $@ $<

$(OUT)/adversary: $(wildcard replay/bench/adversary/*.c) replay/bench/adversary/recorder.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -O2 -g -fno-builtin -o $@ $(filter %.c,$^) -lpthread

# -fno-builtin: the compiler may drop a malloc whose block is only freed again.
MICRO_OBJ := $(patsubst %.cc,$(OUT)/%.o,$(wildcard replay/bench/micro/*.cc))
$(MICRO_OBJ): $(OUT)/%.o: %.cc $(wildcard replay/bench/micro/*.h)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(CXXWARN) -O2 -g -fno-builtin -c -o $@ $<

$(OUT)/micro: $(MICRO_OBJ)
	$(CXX) -o $@ $^ -lbenchmark -lpthread

ARTIFACTS += $(OUT)/launcher $(BENCH_THREADS) $(OUT)/micro $(OUT)/scale $(OUT)/adversary
