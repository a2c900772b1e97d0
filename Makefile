# heaplay and cellmalloc: `make` prints help, `make bench` and `make test` set up what they need.
# Each part keeps its own fragment: allocator/build.mk, replay/build.mk, scripts/build.mk.

.DEFAULT_GOAL := help
SHELL         := /bin/bash
.DELETE_ON_ERROR:

# release | debug | asan | ubsan | tsan
BUILD    ?= release
BUILDDIR ?= build/$(BUILD)
JOBS     ?= $(shell nproc)

# Every fragment builds into $(OUT). For `make record` alone OUT=f.hpt is the trace to write, as documented.
ifneq ($(filter record,$(MAKECMDGOALS)),)
  RECORD_OUT   := $(OUT)
  override OUT := $(BUILDDIR)
else
  OUT := $(BUILDDIR)
endif

CC     ?= cc
CXX    ?= c++
WARN   := -Wall -Wextra -Wundef -Wshadow -Wpointer-arith -Wmissing-prototypes \
          -Wstrict-prototypes -Wwrite-strings -Wvla -Werror
CXXWARN := -Wall -Wextra -Wundef -Wshadow -Wpointer-arith -Wwrite-strings -Werror

MODE_release := -O2 -g -DNDEBUG
MODE_debug   := -O0 -g3
MODE_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address
MODE_ubsan   := -O1 -g -fsanitize=undefined -fno-sanitize-recover=all
MODE_tsan    := -O1 -g -fsanitize=thread
MODE   := $(MODE_$(BUILD))
ifeq ($(MODE),)
  $(error BUILD=$(BUILD) is unknown: use release, debug, asan, ubsan or tsan)
endif

CFLAGS_ALL   = -std=gnu11 $(WARN) $(MODE) -fvisibility=hidden -MMD -MP $(CFLAGS)
CXXFLAGS_ALL = -std=c++17 $(CXXWARN) $(MODE) -fvisibility=hidden -MMD -MP $(CXXFLAGS)
LDFLAGS_ALL  = $(MODE) -Wl,-z,now,-z,relro $(LDFLAGS)

# TESTS collects executables and scripts that print TAP; each fragment adds its own.
TESTS      :=
# Files that `make build` makes.
ARTIFACTS  :=

include allocator/build.mk
include replay/build.mk
include replay/bench/build.mk
include scripts/build.mk

.PHONY: help build clean artifacts
help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

build: deps ## build everything, run nothing (BUILD=release|debug|asan|ubsan|tsan)
	@$(MAKE) --no-print-directory -j$(JOBS) artifacts

artifacts: $(ARTIFACTS)

clean: ## remove build/
	rm -rf build

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
