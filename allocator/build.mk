# cellmalloc: libcellmalloc.so takes malloc's names, libcellmalloc.a has the prefixed ones only.

CELL_SRC      := $(wildcard allocator/src/*.c)
CELL_CPPFLAGS  = -Iallocator/include -D_GNU_SOURCE
# No builtin: the compiler must not turn our malloc + memset into a call of calloc.
CELL_CFLAGS    = $(CFLAGS_ALL) $(CELL_CPPFLAGS) -fPIC -ftls-model=initial-exec -fno-builtin-malloc -fno-builtin-calloc
# Layers are files; across them the linker inlines. Elsewhere than with gcc they stay apart.
CELL_LTO      := $(if $(and $(filter release,$(BUILD)),$(findstring gcc,$(shell $(CC) --version 2>/dev/null | head -n 1; readlink -f "$$(command -v $(CC))"))),-flto=auto)
# Code that looks on or sets up: small before fast, since every process has it in memory. What only looks on stays out of the
# linker's optimizer and goes to the library's end (cold.ld).
CELL_APART    := $(shell sed -n 's|.*/\([a-z_]*\)\.so\.o.*|\1|p' allocator/cold.ld)
CELL_COLD     := $(CELL_APART) fatal footprint hugepage mapcache mapped os_linux override tcache_life tunables
$(foreach f,$(CELL_COLD),$(OUT)/allocator/src/$(f).so.o): CELL_OPT = $(if $(filter release,$(BUILD)),-Os)
$(foreach f,$(CELL_APART),$(OUT)/allocator/src/$(f).so.o): CELL_LTO =
# Few and aligned segments, so that a fault brings in the 64 KiB that the start of a program needs, and no more.
CELL_LAYOUT   := -Wl,-z,noseparate-code,-z,max-page-size=65536 -Wl,-T,allocator/cold.ld
CELL_SO_OBJ   := $(CELL_SRC:%.c=$(OUT)/%.so.o)
CELL_A_OBJ    := $(CELL_SRC:%.c=$(OUT)/%.a.o)

$(OUT)/allocator/%.so.o: allocator/%.c
	@mkdir -p $(@D)
	$(CC) $(CELL_CFLAGS) $(CELL_OPT) $(CELL_LTO) -DCELL_OVERRIDE -c -o $@ $<

$(OUT)/allocator/%.a.o: allocator/%.c
	@mkdir -p $(@D)
	$(CC) $(CELL_CFLAGS) -c -o $@ $<

# initfirst: its handlers around fork() are registered before those of any other library, whose own may allocate.
CELL_SO_FLAGS = -Wl,-z,nodelete,-z,initfirst,-soname,libcellmalloc.so

$(OUT)/libcellmalloc.so: $(CELL_SO_OBJ) allocator/cold.ld
	$(CC) -shared -o $@ $(CELL_SO_OBJ) $(CELL_LTO) $(LDFLAGS_ALL) $(CELL_LAYOUT) $(CELL_SO_FLAGS) -lpthread

# One object in the archive: whoever pulls malloc pulls the fork handlers too.
$(OUT)/libcellmalloc.a: $(CELL_A_OBJ)
	$(LD) -r -o $(OUT)/cellmalloc.o $^
	rm -f $@
	$(AR) rcs $@ $(OUT)/cellmalloc.o

ARTIFACTS += $(OUT)/libcellmalloc.so $(OUT)/libcellmalloc.a

# The same library without the checks that are always on (assert.h): to measure what they cost, never to be installed.
$(foreach f,$(CELL_COLD),$(OUT)/unchecked/src/$(f).so.o): CELL_OPT = $(if $(filter release,$(BUILD)),-Os)
$(OUT)/unchecked/%.so.o: allocator/%.c
	@mkdir -p $(@D)
	$(CC) $(CELL_CFLAGS) $(CELL_OPT) $(CELL_LTO) -DCELL_OVERRIDE -DCELL_UNCHECKED -c -o $@ $<
$(OUT)/unchecked/libcellmalloc.so: $(CELL_SRC:allocator/%.c=$(OUT)/unchecked/%.so.o)
	$(CC) -shared -o $@ $^ $(CELL_LTO) $(LDFLAGS_ALL) $(CELL_SO_FLAGS) -lpthread

# Tests: allocator/tests/DIR/test_NAME.c is a cmocka program linked with the archive; internal headers are open to it.
# Other sources there are programs that the shell tests beside them run: in misuse/ linked with the archive, elsewhere
# plain ones, run under the C library's allocator and under ours.
CELL_TEST_SRC   := $(wildcard allocator/tests/*/test_*.c)
CELL_TEST_BIN   := $(CELL_TEST_SRC:%.c=$(OUT)/%)
CELL_MISUSE_BIN := $(patsubst %.c,$(OUT)/%,$(wildcard allocator/tests/misuse/*.c))
CELL_PLAIN_BIN  := $(patsubst %.c,$(OUT)/%,$(wildcard allocator/tests/conformance/*.c)) \
                   $(patsubst %.cpp,$(OUT)/%,$(wildcard allocator/tests/conformance/*.cpp))
$(CELL_TEST_SRC:%.c=$(OUT)/%.o) $(CELL_MISUSE_BIN:%=%.o): $(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(CELL_CPPFLAGS) -Iallocator/src -Iallocator/tests -c -o $@ $<
$(CELL_TEST_BIN): $(OUT)/%: $(OUT)/%.o $(OUT)/libcellmalloc.a
	$(CC) -o $@ $^ $(LDFLAGS_ALL) $(CELL_TEST_LDFLAGS) -lcmocka -lpthread
$(CELL_MISUSE_BIN): $(OUT)/%: $(OUT)/%.o $(OUT)/libcellmalloc.a
	$(CC) -o $@ $^ $(LDFLAGS_ALL) -lpthread

# The system calls of this one fail on command.
$(OUT)/allocator/tests/oom/test_syscalls: CELL_TEST_LDFLAGS = -Wl,--wrap=mmap,--wrap=mprotect,--wrap=mremap,--wrap=madvise

# These look at who makes them, and when.
$(OUT)/allocator/tests/policy/test_populating $(OUT)/allocator/tests/unit/test_hugepage: CELL_TEST_LDFLAGS = -Wl,--wrap=madvise

# In this one they take long.
$(OUT)/allocator/tests/threads/test_fork_waits: CELL_TEST_LDFLAGS = -Wl,--wrap=mmap,--wrap=mprotect

$(OUT)/allocator/tests/api/test_walk: CELL_TEST_LDFLAGS = -ljansson

# The model test as a target of clang's libFuzzer. The library's variables lie in sections of their own, which the target sets
# back before each input. AddressSanitizer would see nothing: what the allocator hands out is its own memory.
FUZZ_CC    ?= clang
FUZZ_MODE   = -O1 -g -fsanitize=undefined -fno-sanitize-recover=all -fsanitize=fuzzer-no-link
FUZZ_FLAGS  = -std=gnu11 $(WARN) $(FUZZ_MODE) -fvisibility=hidden -MMD -MP $(CELL_CPPFLAGS) -Iallocator/src -Iallocator/tests
FUZZ_OBJ   := $(CELL_SRC:allocator/%.c=$(OUT)/fuzz/%.o)
$(OUT)/fuzz/%.o: allocator/%.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_FLAGS) -c -o $@ $<
$(OUT)/fuzz/cellmalloc.o: $(FUZZ_OBJ)
	$(LD) -r -o $@ $^
	objcopy --rename-section .data=cell_data --rename-section .bss=cell_bss $@
$(OUT)/fuzz/fuzz_model: $(OUT)/fuzz/tests/fuzz/fuzz_model.o $(OUT)/fuzz/cellmalloc.o
	$(FUZZ_CC) -fsanitize=fuzzer,undefined -o $@ $^ -Wl,--wrap=mmap,--wrap=mprotect,--wrap=mremap,--wrap=madvise -lcmocka -lpthread

# No builtins: every call is to reach the allocator. Functions that glibc has no header for are looked up.
CELL_PLAIN_FLAGS = -O1 -g -fno-builtin -Wall -Wextra -Wno-nonnull -Wno-use-after-free -D_GNU_SOURCE -MMD -MP
$(OUT)/allocator/tests/conformance/%: allocator/tests/conformance/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(CELL_PLAIN_FLAGS) -o $@ $< -lpthread -ldl
$(OUT)/allocator/tests/conformance/%: allocator/tests/conformance/%.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(CELL_PLAIN_FLAGS) -o $@ $< -lpthread

TESTS += $(CELL_TEST_BIN) $(wildcard allocator/tests/*/test_*.sh)
ifeq ($(BUILD),release)
TESTS += allocator/tests/policy/pages.sh
test-list: $(CELL_MISUSE_BIN) $(CELL_PLAIN_BIN)
endif

# Programs that look inside: linked with the archive, open to internal headers.
CELL_TOOL_BIN := $(patsubst %.c,$(OUT)/%,$(wildcard allocator/tools/*.c))
$(CELL_TOOL_BIN:%=%.o): $(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(CELL_CPPFLAGS) -Iallocator/src -c -o $@ $<
$(CELL_TOOL_BIN): $(OUT)/%: $(OUT)/%.o $(OUT)/libcellmalloc.a
	$(CC) -o $@ $^ $(LDFLAGS_ALL) -lpthread

# What scripts/figures.py runs: plain programs, and one that asks the archive.
CELL_FIGURE_BIN := $(patsubst %.c,$(OUT)/%,$(wildcard allocator/tests/figures/*.c))
$(OUT)/allocator/tests/figures/metadata: $(OUT)/libcellmalloc.a
$(CELL_FIGURE_BIN): $(OUT)/%: %.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) $(MODE) -fno-builtin -D_GNU_SOURCE -Iallocator/include -MMD -MP -o $@ $(filter %.c %.a,$^) -lpthread

# What preloading costs by itself.
$(OUT)/allocator/tests/figures/empty.so:
	@mkdir -p $(@D)
	$(CC) -shared -fPIC -o $@ -x c /dev/null

ARTIFACTS += $(CELL_TOOL_BIN) $(CELL_FIGURE_BIN) $(OUT)/allocator/tests/figures/empty.so

.PHONY: explain figures fuzz
fuzz: ## the model test with inputs that libFuzzer finds: MINUTES=10, kept in OUT/fuzz/corpus (needs clang)
	@scripts/setup.sh build test fuzz && $(SUBMAKE) -s $(OUT)/fuzz/fuzz_model && mkdir -p $(OUT)/fuzz/corpus
	$(OUT)/fuzz/fuzz_model -max_total_time=$$(($(or $(MINUTES),10) * 60)) -max_len=2048 -len_control=0 -timeout=20 -print_final_stats=1 \
	    -artifact_prefix=$(OUT)/fuzz/ $(FUZZ_ARGS) $(OUT)/fuzz/corpus allocator/tests/fuzz/inputs

explain: ## what one malloc(n) and its free do, layer by layer: SIZE=200 (draws the heap: OUT/explain.svg)
	@scripts/setup.sh build scripts && $(SUBMAKE) -s $(OUT)/allocator/tools/explain
	@$(OUT)/allocator/tools/explain $(or $(SIZE),200) $(OUT)/explain.json
	@py=$(PY) && $$py scripts/draw_heap.py $(OUT)/explain.json -o $(OUT)/explain.svg --title "The heap while a block of $(or $(SIZE),200) bytes lives"
	@echo "drawn to scale: $(OUT)/explain.svg"

figures: ## instructions, faults, resident size and worst times of cellmalloc: the figures of DESIGN.md
	@$(call ready,build scripts bench)
	@py=$(PY) && $$py scripts/figures.py --out $(OUT) $(FIGURES_ARGS)
