# heaplay: one program, one preloaded recorder, and the libraries that tests and measurements preload.

HP_DIRS    := cli trace record import allocs engine measure result
HP_SRC     := $(filter-out replay/record/preload%.c replay/engine/worker%.c,$(wildcard $(HP_DIRS:%=replay/%/*.c)))
HP_OBJ     := $(HP_SRC:%.c=$(OUT)/%.o)
HP_LIB_OBJ := $(filter-out $(OUT)/replay/cli/main.o,$(HP_OBJ))
HP_CPPFLAGS = -Ireplay -D_GNU_SOURCE
HP_LIBS    := -lzstd -larchive -ljansson -lm -lpthread -ldl

$(OUT)/replay/%.o: replay/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(HP_CPPFLAGS) -c -o $@ $<

$(OUT)/heaplay: $(HP_OBJ)
	$(CC) -o $@ $^ $(LDFLAGS_ALL) $(HP_LIBS)

# The recorder runs inside the program that is recorded: no sanitizer, no dependency but libc.
RECORDER_SRC := $(wildcard replay/record/preload*.c)
$(OUT)/libheaplay-record.so: $(RECORDER_SRC) $(wildcard replay/record/*.h)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -O2 -g -fPIC -fvisibility=hidden -ftls-model=initial-exec $(HP_CPPFLAGS) \
	    -shared -o $@ $(RECORDER_SRC) -static-libgcc -Wl,--exclude-libs,ALL -Wl,-z,now,-z,relro,-z,nodelete

# The replay worker is a program of its own: small, few libraries, so that the allocator it runs under is alone in it.
# AddressSanitizer brings an allocator of its own, so the worker goes without it; ThreadSanitizer is what tsan is for.
WORKER_SRC := $(wildcard replay/engine/worker*.c) replay/measure/resident.c replay/measure/counters.c
WORKER_MODE := $(if $(filter asan,$(BUILD)),-O2 -g,$(MODE))
$(OUT)/heaplay-worker: $(WORKER_SRC) $(wildcard replay/engine/*.h replay/measure/*.h)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) $(WORKER_MODE) $(HP_CPPFLAGS) -o $@ $(WORKER_SRC) -Wl,-z,now,-z,relro -lpthread -ldl

ARTIFACTS += $(OUT)/heaplay $(OUT)/libheaplay-record.so $(OUT)/heaplay-worker

# Tests: replay/tests/test_NAME.c is a cmocka program linked with everything but main; *.sh prints TAP itself.
HP_TEST_SRC := $(wildcard replay/tests/test_*.c)
HP_TEST_BIN := $(HP_TEST_SRC:%.c=$(OUT)/%)
$(HP_TEST_BIN): $(OUT)/%: $(OUT)/%.o $(HP_LIB_OBJ)
	$(CC) -o $@ $^ $(LDFLAGS_ALL) $(HP_LIBS) -lcmocka

TESTS += $(HP_TEST_BIN) $(wildcard replay/tests/test_*.sh)

# Allocators with one fault each, for `heaplay verify` and the identity proof to find.
BROKEN_LIBS := $(patsubst replay/tests/broken/%.c,$(OUT)/broken/lib%.so,$(wildcard replay/tests/broken/*.c))
$(OUT)/broken/lib%.so: replay/tests/broken/%.c replay/tests/broken/broken.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -O1 -g -fPIC -fno-builtin -fvisibility=hidden -shared -o $@ $<

# Writes the small traces of the shell tests.
$(OUT)/replay/tests/make_kinds: $(OUT)/replay/tests/make_kinds.o $(HP_LIB_OBJ)
	$(CC) -o $@ $^ $(LDFLAGS_ALL) $(HP_LIBS)

ARTIFACTS += $(BROKEN_LIBS) $(OUT)/replay/tests/make_kinds

# Recorder: programs that its tests record, and what recording costs.
RECORD_TARGETS := $(patsubst replay/%.c,$(OUT)/replay/%,$(wildcard replay/tests/targets/record_*.c)) \
                  $(OUT)/replay/tests/targets/record_cxx $(OUT)/replay/tests/targets/record_static \
                  $(OUT)/replay/tests/targets/record_static_pause
$(OUT)/replay/tests/targets/record_static: replay/tests/targets/record_calls.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -fno-builtin -static -o $@ $<
$(OUT)/replay/tests/targets/record_static_pause: replay/tests/targets/pause.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -static -o $@ $<
$(OUT)/replay/tests/targets/record_%: replay/tests/targets/record_%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -O1 -g -fno-builtin -o $@ $< -lpthread -ldl
$(OUT)/replay/tests/targets/record_cxx: replay/tests/targets/record_cxx.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(CXXWARN) -O1 -g -fno-builtin -o $@ $<
$(OUT)/replay/bench/record_overhead: replay/bench/record_overhead.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -O2 -g -fno-builtin -o $@ $< -lpthread
ARTIFACTS += $(RECORD_TARGETS) $(OUT)/replay/bench/record_overhead
.PHONY: record-overhead
record-overhead: $(OUT)/heaplay $(OUT)/libheaplay-record.so $(OUT)/replay/bench/record_overhead ## measure what recording costs the recorded program
	@$(call ready,build scripts micro record)
	@py=$$(scripts/python.sh) && OUT=$(OUT) $$py scripts/record_overhead.py $(OVERHEAD_ARGS)
