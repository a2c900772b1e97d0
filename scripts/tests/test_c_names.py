"""Names of libcellmalloc.so that other tests do not call, old ones and glibc's own: each does what it is for."""
import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(os.environ.get("OUT", "build/release")).resolve() / "libcellmalloc.so"
PAGE = os.sysconf("SC_PAGE_SIZE")
SIZES = [0, 1, 24, 64, 65, 200, 504, 505, 5000, 100000, 300000]
TOO_LARGE = (1 << (8 * ctypes.sizeof(ctypes.c_size_t) - 1))
FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()

cell = ctypes.CDLL(LIBRARY, use_errno=True)
cell.malloc(1)      # the first call is made before any test has started a thread: it is the only one that will use the library


def function(name, result=ctypes.c_void_p):
    """As C calls it: numbers are size_t, addresses pointers."""
    found = cell[name]
    found.restype = result

    def call(*arguments):
        ctypes.set_errno(0)
        return found(*(argument if argument is None or not isinstance(argument, int) else ctypes.c_size_t(argument)
                       for argument in arguments))
    return call


usable = function("malloc_usable_size", ctypes.c_size_t)


def aliases(prefix):
    names = "malloc calloc realloc free cfree memalign valloc pvalloc".split()
    return {name: function(prefix + name, None if "free" in name else ctypes.c_void_p) for name in names}


@pytest.mark.parametrize("prefix", ["", "__libc_"])
@pytest.mark.parametrize("size", SIZES)
def test_every_alias_allocates_resizes_and_frees(prefix, size):
    call = aliases(prefix)
    block = call["malloc"](size)
    assert block and block % 16 == 0 and usable(block) >= max(size, 1)
    ctypes.memset(block, 0x5A, size)
    block = call["realloc"](block, size + 1000)
    assert usable(block) >= size + 1000 and ctypes.string_at(block, size) == b"\x5a" * size
    call["free"](block)
    block = call["calloc"](3, size)
    assert ctypes.string_at(block, 3 * size) == bytes(3 * size)
    call["cfree"](block)
    for name, alignment, wanted in (("memalign", 4 * PAGE, size), ("valloc", PAGE, size), ("pvalloc", PAGE, size + -size % PAGE)):
        block = call[name](*([alignment] if name == "memalign" else []), size)
        assert block % alignment == 0 and usable(block) >= wanted
        call["free"](block)


@pytest.mark.parametrize("prefix", ["", "__libc_"])
def test_every_alias_refuses_what_cannot_be(prefix):
    call = aliases(prefix)
    for name, arguments in (("malloc", (TOO_LARGE,)), ("calloc", (TOO_LARGE, 2)), ("realloc", (None, TOO_LARGE)),
                            ("memalign", (64, TOO_LARGE)), ("valloc", (TOO_LARGE,)), ("pvalloc", (TOO_LARGE,))):
        assert call[name](*arguments) is None and ctypes.get_errno() == errno.ENOMEM
    call["free"](None)
    call["cfree"](None)


@pytest.mark.parametrize("name", ["posix_memalign", "__posix_memalign"])
def test_posix_memalign_returns_its_error(name):
    aligned, block = function(name, ctypes.c_int), ctypes.c_void_p(77)
    assert aligned(ctypes.byref(block), 24, 100) == errno.EINVAL and aligned(ctypes.byref(block), 4, 100) == errno.EINVAL
    assert ctypes.get_errno() == 0
    assert aligned(ctypes.byref(block), 64, TOO_LARGE) == errno.ENOMEM == ctypes.get_errno()        # as in the C library
    assert block.value == 77
    assert aligned(ctypes.byref(block), 8192, 100) == 0 and block.value % 8192 == 0
    function("free", None)(block)


@pytest.mark.parametrize("size", SIZES)
def test_the_good_size_is_what_one_gets(size):
    function("malloc_trim", ctypes.c_int)(0)      # a mapping that another test left would be a little larger
    block = function("malloc")(size)
    good = function("malloc_good_size", ctypes.c_size_t)(size)
    assert size <= good <= usable(block) <= good + (16 if size < 131072 else PAGE)    # more: a remainder too small to split off
    assert function("malloc_good_size", ctypes.c_size_t)(good) == max(good, 16)
    function("free_sized", None)(block, size)
    block = function("aligned_alloc")(64, size)
    function("free_aligned_sized", None)(block, 64, size)
    function("free_sized", None)(None, 5)
    function("free_aligned_sized", None)(None, 64, 5)


@pytest.mark.parametrize("name, kind", [("mallinfo", ctypes.c_int), ("mallinfo2", ctypes.c_size_t)])
def test_mallinfo_follows_blocks(name, kind):
    shape = type("shape", (ctypes.Structure,), {"_fields_": [(field, kind) for field in FIELDS]})
    before = function(name, shape)()
    blocks = [function("malloc")(1000) for _ in range(100)] + [function("malloc")(1 << 22)]
    after = function(name, shape)()
    assert 100 * 1000 <= after.uordblks - before.uordblks <= 100 * 1008
    assert after.hblks - before.hblks == 1 and 1 << 22 <= after.hblkhd - before.hblkhd <= (1 << 22) + 2 * PAGE
    assert after.arena >= after.uordblks and after.fordblks >= after.keepcost
    for block in blocks:
        function("free", None)(block)
    last = function(name, shape)()
    assert last.uordblks == before.uordblks and last.hblks == before.hblks


def test_malloc_stats_prints_what_glibc_does():
    program = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).malloc_stats()"
    said = subprocess.run([sys.executable, "-c", program, LIBRARY], check=True, stderr=subprocess.PIPE, text=True).stderr
    lines = [line.split("=")[0].rstrip() for line in said.splitlines()]
    assert lines == ["Arena 0:", "system bytes", "in use bytes", "Total (incl. mmap):", "system bytes", "in use bytes",
                     "max mmap regions", "max mmap bytes"]
