"""The allocators of a run: names to libraries, and the proof that a program's malloc came from the one meant."""

import dataclasses
import hashlib
import os
import re
import shlex
import subprocess
import typing
from pathlib import Path

# Shared objects by name, the first that the system's linker cache knows; `heaplay list` has the same names.
SONAMES = {
    "jemalloc": ("libjemalloc.so.2", "libjemalloc.so.1"),
    "mimalloc": ("libmimalloc.so.3", "libmimalloc.so.2", "libmimalloc.so.2.0"),
    "tcmalloc": ("libtcmalloc_minimal.so.4", "libtcmalloc.so.4"),
}
DEFAULT = ("cellmalloc", "glibc", "jemalloc", "mimalloc", "tcmalloc")
PACKAGES = {"jemalloc": ("libjemalloc2",), "mimalloc": ("libmimalloc3", "libmimalloc2.0"),
            "tcmalloc": ("libtcmalloc-minimal4t64", "libtcmalloc-minimal4"), "glibc": ("libc6",)}
CALLS = ("malloc", "free", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign")


class AllocatorError(Exception):
    """An allocator that is unknown, absent, or not the one that was measured."""


@dataclasses.dataclass(frozen=True)
class Allocator:
    name: str
    path: typing.Optional[str]          # None: the libc that programs are linked with
    variables: dict = dataclasses.field(default_factory=dict)

    def environment(self):
        preload = {"LD_PRELOAD": self.path} if self.path else {}
        return {**self.variables, **preload}


def linker_cache():
    """soname -> path, as ldconfig has it."""
    for tool in ("/sbin/ldconfig", "/usr/sbin/ldconfig"):
        if os.path.exists(tool):
            text = subprocess.run([tool, "-p"], capture_output=True, text=True, check=False).stdout
            return parse_linker_cache(text)
    return {}


def parse_linker_cache(text):
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s+(\S+) \(([^)]*)\) => (\S+)", line)
        if match and ("x86-64" not in text or "x86-64" in match.group(2)):
            found.setdefault(match.group(1), match.group(3))
    return found


def find(word, out, cache=None):
    """The Allocator of NAME or NAME=PATH, each with @VAR=VALUE,... behind; out is the build directory, where
    libcellmalloc.so is."""
    word, at, settings = word.partition("@")
    if at:
        plain = find(word, out, cache)
        pairs = [setting.partition("=") for setting in re.split(r",(?=[^,=]*=)", settings)]   # others belong to a value
        if not all(name and equals for name, equals, _ in pairs):
            raise AllocatorError(f"allocator {word}@{settings}: give settings as VAR=VALUE,VAR=VALUE")
        return dataclasses.replace(plain, name=f"{plain.name}@{settings}",
                                   variables={name: value for name, _, value in pairs})
    name, equals, path = word.partition("=")
    if equals:
        if not os.path.isfile(path):
            raise AllocatorError(f"allocator {name}: no file '{path}'")
        return Allocator(name, os.path.abspath(path))
    if name == "glibc":
        return Allocator("glibc", None)
    if name == "cellmalloc":
        library = Path(out).resolve() / "libcellmalloc.so"
        if not library.is_file():
            raise AllocatorError(f"allocator cellmalloc: no file '{library}'; run make build")
        return Allocator("cellmalloc", str(library))
    if name not in SONAMES:
        raise AllocatorError(f"allocator '{name}' is unknown: use one of {', '.join(DEFAULT)}, or NAME=/path/lib.so")
    cache = linker_cache() if cache is None else cache
    for soname in SONAMES[name]:
        if soname in cache:
            return Allocator(name, os.path.realpath(cache[soname]))
    raise AllocatorError(f"allocator {name}: none of {', '.join(SONAMES[name])} is installed "
                         f"(package {PACKAGES[name][-1]})")


def find_all(words, out, said):
    """Allocators asked for by name must be there; of the default set, what is absent is said and left out."""
    if words:
        return [find(word, out) for word in words]
    found = []
    for name in DEFAULT:
        try:
            found.append(find(name, out))
        except AllocatorError as error:
            said(f"left out: {error}")
    return found


def libc_path(program="/bin/sh"):
    """The libc.so.6 that programs here are linked with."""
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    match = re.search(r"libc\.so\.6 => (\S+)", text)
    return os.path.realpath(match.group(1)) if match else None


def describe(allocator):
    """The allocator's entry in a results document; identity is filled in by the caller's proof."""
    path = allocator.path or libc_path()
    sha = hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else None
    return {"path": path, "sha256": sha, "version": package_version(allocator),
            "variables": dict(allocator.variables),
            "identity": "not proved", "verified": None}


def package_version(allocator):
    for package in PACKAGES.get(allocator.name, ()):
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}", package], capture_output=True,
                              text=True,
                              check=False)
        if done.returncode == 0:
            return done.stdout
    return None


BINDING = re.compile(r"binding file (\S+) \[\d+\] to (\S+) \[\d+\]: normal symbol `([a-z_]+)'")


def parse_bindings(text, calls=CALLS):
    """LD_DEBUG=bindings -> {(object that calls, object that provides, symbol)}, the linker's own calls left out."""
    return {(os.path.realpath(asker), os.path.realpath(giver), symbol) for asker, giver,
            symbol in BINDING.findall(text)
            if symbol in calls and not re.search(r"/ld(-linux|-musl|-2|64)?[^/]*\.so", asker)}


def without_aliases(bound):
    """A program that takes malloc's address provides it to others through its own jump: follow that to its target.

    Only programs do so, never shared objects, and one that defines malloc has no jump to another.
    """
    target = {(asker, symbol): giver for asker, giver, symbol in bound
              if asker != giver and ".so" not in os.path.basename(asker)}
    return {(asker, target.get((giver, symbol), giver), symbol) for asker, giver, symbol in bound}


def providers(bound):
    return sorted({giver for asker, giver, _ in without_aliases(bound) if asker != giver})


def judge_bindings(bound, wanted):
    """(proved, sentence): every call of every object but the allocator itself is bound to the allocator."""
    wanted = os.path.realpath(wanted)
    direct = {(asker, giver) for asker, giver, _ in without_aliases(bound) if asker != wanted}
    if wanted not in {giver for _, giver in direct}:
        seen = ", ".join(providers(bound)) or "no binding seen: a static program, or one with its own malloc"
        return False, f"malloc came from {seen}"
    strangers = sorted((asker, giver) for asker, giver in direct if giver != wanted)
    if strangers:
        return False, f"{strangers[0][0]} has its allocator calls bound to {strangers[0][1]}"
    return True, "proved"


def bindings_of(argv, environment, work, stdin=None, timeout_s=120):
    """Run once with the linker telling what it binds; children are told apart by their process id."""
    prefix = os.path.join(work, ".bindings")
    for old in Path(work).glob(".bindings.*"):
        old.unlink()
    with open(stdin or os.devnull, "rb") as given:
        process = subprocess.Popen(argv, cwd=work, stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env={**environment, "LD_DEBUG": "bindings", "LD_DEBUG_OUTPUT": prefix})
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AllocatorError(f"{shlex.join(argv)}: no end within {timeout_s} s under LD_DEBUG=bindings") from None
    return read_bindings(prefix, process.pid)


def read_bindings(prefix, pid):
    path = Path(f"{prefix}.{pid}")
    return parse_bindings(path.read_text(errors="replace")) if path.exists() else {}
