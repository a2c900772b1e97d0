# cellmalloc: libcellmalloc.so takes malloc's names, libcellmalloc.a has the prefixed ones only.

CELL_SRC      := $(wildcard allocator/src/*.c)
CELL_CPPFLAGS  = -Iallocator/include -D_GNU_SOURCE
# No builtin: the compiler must not turn our malloc + memset into a call of calloc.
CELL_CFLAGS    = $(CFLAGS_ALL) $(CELL_CPPFLAGS) -fPIC -ftls-model=initial-exec -fno-builtin-malloc -fno-builtin-calloc
# Layers are files; across them the linker inlines. Elsewhere than with gcc they stay apart.
CELL_LTO      := $(if $(and $(filter release,$(BUILD)),$(findstring gcc,$(shell $(CC) --version 2>/dev/null | head -n 1; readlink -f "$$(command -v $(CC))"))),-flto=auto)
CELL_SO_OBJ   := $(CELL_SRC:%.c=$(OUT)/%.so.o)
CELL_A_OBJ    := $(CELL_SRC:%.c=$(OUT)/%.a.o)

$(OUT)/allocator/%.so.o: allocator/%.c
	@mkdir -p $(@D)
	$(CC) $(CELL_CFLAGS) $(CELL_LTO) -DCELL_OVERRIDE -c -o $@ $<

$(OUT)/allocator/%.a.o: allocator/%.c
	@mkdir -p $(@D)
	$(CC) $(CELL_CFLAGS) -c -o $@ $<

$(OUT)/libcellmalloc.so: $(CELL_SO_OBJ)
	$(CC) -shared -o $@ $^ $(CELL_LTO) $(LDFLAGS_ALL) -Wl,-z,nodelete,-soname,libcellmalloc.so -lpthread

# One object in the archive: whoever pulls malloc pulls the fork handlers too.
$(OUT)/libcellmalloc.a: $(CELL_A_OBJ)
	$(LD) -r -o $(OUT)/cellmalloc.o $^
	rm -f $@
	$(AR) rcs $@ $(OUT)/cellmalloc.o

ARTIFACTS += $(OUT)/libcellmalloc.so $(OUT)/libcellmalloc.a

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

$(OUT)/allocator/tests/api/test_walk: CELL_TEST_LDFLAGS = -ljansson

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

.PHONY: explain figures
explain: ## what one malloc(n) and its free do, layer by layer: SIZE=100 (draws the heap: OUT/explain.svg)
	@scripts/setup.sh build scripts && $(SUBMAKE) -s $(OUT)/allocator/tools/explain
	@$(OUT)/allocator/tools/explain $(or $(SIZE),100) $(OUT)/explain.json
	@py=$(PY) && $$py scripts/draw_heap.py $(OUT)/explain.json -o $(OUT)/explain.svg --title "The heap while a block of $(or $(SIZE),100) bytes lives"
	@echo "drawn to scale: $(OUT)/explain.svg"

figures: ## instructions, faults, resident size and worst times of cellmalloc: the figures of DESIGN.md
	@$(call ready,build scripts bench)
	@py=$(PY) && $$py scripts/figures.py --out $(OUT) $(FIGURES_ARGS)
