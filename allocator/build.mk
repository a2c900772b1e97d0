# cellmalloc: libcellmalloc.so takes malloc's names, libcellmalloc.a has the prefixed ones only.

CELL_SRC      := $(wildcard allocator/src/*.c)
CELL_CPPFLAGS  = -Iallocator/include -D_GNU_SOURCE
# No builtin: the compiler must not turn our malloc + memset into a call of calloc.
CELL_CFLAGS    = $(CFLAGS_ALL) $(CELL_CPPFLAGS) -fPIC -ftls-model=initial-exec -fno-builtin-malloc -fno-builtin-calloc
CELL_SO_OBJ   := $(CELL_SRC:%.c=$(OUT)/%.so.o)
CELL_A_OBJ    := $(CELL_SRC:%.c=$(OUT)/%.a.o)

$(OUT)/allocator/%.so.o: allocator/%.c
	@mkdir -p $(@D)
	$(CC) $(CELL_CFLAGS) -DCELL_OVERRIDE -c -o $@ $<

$(OUT)/allocator/%.a.o: allocator/%.c
	@mkdir -p $(@D)
	$(CC) $(CELL_CFLAGS) -c -o $@ $<

$(OUT)/libcellmalloc.so: $(CELL_SO_OBJ)
	$(CC) -shared -o $@ $^ $(LDFLAGS_ALL) -Wl,-z,nodelete,-soname,libcellmalloc.so -lpthread

# One object in the archive: whoever pulls malloc pulls the fork handlers too.
$(OUT)/libcellmalloc.a: $(CELL_A_OBJ)
	$(LD) -r -o $(OUT)/cellmalloc.o $^
	rm -f $@
	$(AR) rcs $@ $(OUT)/cellmalloc.o

ARTIFACTS += $(OUT)/libcellmalloc.so $(OUT)/libcellmalloc.a

# Tests: allocator/tests/test_NAME.c is a cmocka program linked with the archive; internal headers are open to it.
CELL_TEST_SRC := $(wildcard allocator/tests/test_*.c)
CELL_TEST_BIN := $(CELL_TEST_SRC:%.c=$(OUT)/%)
$(OUT)/allocator/tests/%.o: allocator/tests/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(CELL_CPPFLAGS) -Iallocator/src -c -o $@ $<
$(CELL_TEST_BIN): $(OUT)/%: $(OUT)/%.o $(OUT)/libcellmalloc.a
	$(CC) -o $@ $^ $(LDFLAGS_ALL) -lcmocka -lpthread

TESTS += $(CELL_TEST_BIN) $(wildcard allocator/tests/test_*.sh)
