#!/usr/bin/env python3
"""Checks who includes whom, and who alone may use what, against the tables below; and that C tests are run.

Exit 0 and a count when all is well, else one line per offence (file:line, what, the rule) and exit 1.
"""
import argparse
import re
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent

# Directory of replay/ -> what its files may include of replay/ (a directory, or one header); tests: anything.
REPLAY = {
    "trace": {"trace", "engine/plan.h"},
    "record": {"record", "trace/trace.h", "cli/commands.h"},
    "import": {"import", "trace/live.h", "trace/trace.h"},
    "allocs": {"allocs"},
    "measure": {"measure"},
    "result": {"result", "measure", "engine", "allocs", "trace/trace.h"},
    "engine": {"engine", "allocs", "measure", "trace/compile.h", "trace/trace.h"},
    "bench": {"bench", "allocs", "measure"},
    "cli": {"cli", "trace", "record", "import", "allocs", "measure", "result", "engine"},
}

# Name of a file of allocator/src (without suffix) -> the layers it may know. What every layer may know is COMMON.
COMMON = {"assert", "fatal", "config", "common", "internal", "cellmalloc", "tunables", "stats", "minmax", "compiler", "version"}
ALLOCATOR = {
    "os": set(),
    "lock": {"os"},
    "chunk": {"sizeclass"},
    "sizeclass": {"chunk"},
    "bins": {"chunk", "sizeclass"},
    "fit": {"bins", "chunk", "sizeclass"},              # shares the ring of equal chunks with bins
    "freed": set(),
    "deferred": {"bins", "chunk", "freed"},             # chunks in use that wait to coalesce
    "pool": {"chunk", "sizeclass", "segment", "freed"},          # its descriptors are the segment's page table
    "hugepage": {"os"},                                 # whether huge pages pay
    "segment": {"os", "chunk", "hugepage"},
    "segment_range": {"os", "segment"},                 # where it lies
    "heap": {"pool", "bins", "fit", "deferred", "mapcache", "chunk", "sizeclass", "segment", "lock", "os", "check", "mapped",
             "freed", "index", "space", "footprint", "pool_pages"},
    "pool_pages": {"heap", "pool", "space", "chunk", "segment", "freed"},       # the heap's chunks that are pools
    "footprint": {"heap"},                              # the heap's limits and its peak
    "arena": {"heap", "os", "lock", "freed"},           # the heaps behind the caches
    "harden": {"arena", "heap", "mapped", "quarantine", "sizeclass", "tcache", "os"},    # around the heap, for api and walk
    "quarantine": {"arena", "heap", "os"},
    "index": {"heap", "bins", "fit", "chunk", "segment", "os", "footprint"},       # heap's free chunks
    "space": {"heap", "index", "footprint", "mapped", "bins", "fit", "pool", "chunk", "sizeclass", "segment", "os"},
    "mapcache": set(),                                  # extents only
    "mapped": {"heap", "index", "footprint", "sizeclass", "os", "mapcache"},            # the heap's blocks outside of its range
    "depot": {"arena", "heap", "tcache", "freed"},               # between thread caches; knows the sizes that their bins hold
    "recurring": {"chunk", "freed"},
    "large": {"freed", "chunk"},
    "tcache": {"arena", "heap", "depot", "recurring", "large", "chunk", "sizeclass", "os", "freed", "tcache_limits"},
    "tcache_limits": {"tcache", "heap", "os"},          # how much the caches hold
    "tcache_beyond": {"arena", "tcache", "tcache_limits", "heap", "recurring", "large", "sizeclass", "freed"},
    "tcache_check": {"tcache", "heap", "sizeclass", "freed"},
    "tcache_life": {"tcache", "heap", "depot", "lock", "os", "sizeclass"},      # a cache from first call to last
    "check": {"arena", "tcache", "heap", "quarantine", "harden", "walk", "os"},
    "text": {"os"},
    "walk": {"arena", "heap", "sizeclass", "harden"},
    "stats": {"arena", "heap", "footprint", "sizeclass", "tcache", "walk", "depot", "harden", "quarantine"},
    "print": {"stats", "text", "walk"},
    # os: the size of a page
    "api": {"arena", "tcache", "heap", "footprint", "chunk", "sizeclass", "override", "os", "print", "text", "mapped", "harden"},
    "override": {"arena", "api", "tcache", "heap", "lock", "stats", "quarantine", "check"},
}

# Pattern of code -> the only files of the directory that may hold it, and the rule in words.
ALONE = [
    ("allocator/src", r"\bgetenv\s*\(|\benviron\b", r"tunables\.c", "only tunables.c reads the environment"),
    ("allocator/src", r"\berrno\s*=[^=]", r"(api\w*|override|os_\w+)\.c", "only api*.c sets errno"),
    ("allocator/src", r"\b(mmap|munmap|mremap|madvise|mprotect|s?brk|syscall|sysconf)\s*\(", r"os_\w+\.c",
     "only os_*.c makes system calls"),
    ("replay/engine", r"lib(jemalloc|mimalloc|tcmalloc)", r"$^", "only allocs/ knows the names of libraries"),
]
FOREIGN = re.compile(r"(jemalloc|mimalloc|gperftools|google|tcmalloc)[/.]")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def strip_comments(text):
    """The code with comments and strings blanked, line numbers kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.DOTALL)


def includes(text):
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1), found.group(2)


def replay_offence(directory, target, allowed):
    """Why a file of replay/DIRECTORY may not include TARGET, or None."""
    first = target.split("/")[0]
    if "/" not in target or first not in REPLAY:
        return None
    if first in allowed or target in allowed:
        return None
    return f"replay/{directory} may not know {target}"


def check_replay(root):
    for path in sorted((root / "replay").rglob("*.[ch]")) + sorted((root / "replay").rglob("*.cc")):
        directory = path.relative_to(root / "replay").parts[0]
        if directory not in REPLAY:
            continue
        for number, kind, target in includes(path.read_text(errors="replace")):
            problem = None
            if kind == '"':
                target = re.sub(r"^\.\./", "", target)
                problem = replay_offence(directory, target, REPLAY[directory])
            if FOREIGN.search(target) and directory not in ("allocs", "bench"):
                problem = f"only allocs/ may know an allocator's header ({target})"
            if target.endswith(".c"):
                problem = f"no file includes a .c file ({target})"
            if problem:
                yield f"{path.relative_to(root)}:{number}: {problem}"


def check_allocator(root):
    for path in sorted((root / "allocator" / "src").glob("*.[ch]")):
        layer = re.sub(r"_(linux|posix|darwin|bsd)$|(?<=^api)_\w+$", "", path.stem)
        for number, kind, target in includes(path.read_text(errors="replace")):
            name = Path(target).stem
            where = f"{path.relative_to(root)}:{number}"
            if target.endswith(".c"):
                yield f"{where}: no file includes a .c file ({target})"
            if kind == "<":
                if target.startswith("sys/mman") and layer != "os":
                    yield f"{where}: only os_*.c makes system calls ({target})"
            elif re.match(r"jansson|trace|replay", target):
                yield f"{where}: the allocator knows nothing of traces or JSON ({target})"
            elif layer not in ALLOCATOR and layer not in COMMON:
                yield f"{where}: {path.name} belongs to no layer; say in scripts/check_layers.py what it may know"
            elif layer in ALLOCATOR and name in ALLOCATOR and name != layer and name not in ALLOCATOR[layer]:
                yield f"{where}: {layer} may not know {name}"


def check_alone(root):
    for directory, pattern, allowed, rule in ALONE:
        for path in sorted((root / directory).glob("*.[ch]")):
            if re.fullmatch(allowed, path.name):
                continue
            text = path.read_text(errors="replace")
            code = text if "lib(" in pattern else strip_comments(text)
            for number, line in enumerate(code.splitlines(), 1):
                if re.search(pattern, line):
                    yield f"{path.relative_to(root)}:{number}: {rule}: {text.splitlines()[number - 1].strip()}"


def check_tests(root):
    for path in sorted(root.glob("*/tests/**/*.c")):
        text = path.read_text(errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            found = re.match(r"TEST\((\w+)\)", line)
            if found and not re.search(rf"cmocka_unit_test\w*\(\s*{found.group(1)}\b", text):
                yield f"{path.relative_to(root)}:{number}: {found.group(1)} is never run; name it in main()"


def check(root):
    return [*check_replay(root), *check_allocator(root), *check_alone(root), *check_tests(root)]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path, default=SRC)
    root = parser.parse_args(argv).root
    offences = check(root)
    for line in offences:
        print(line)
    count = sum(1 for path in [*root.glob("replay/**/*"), *root.glob("allocator/src/*")] if path.suffix in (".c", ".h", ".cc"))
    print(f"layers: {count} files, {len(offences)} offences")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
