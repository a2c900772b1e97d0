"""Counts that do not depend on the machine's mood: instructions (callgrind) and system calls (strace) of a replay.

heaplay starts the worker that lies beside it. A directory with a link to heaplay and a wrapper in the worker's place
makes it start the worker under a tool instead. The null allocator's count is taken off by the caller.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from heaplay_bench import run

# The tool must not be preloaded itself: it is started without LD_PRELOAD, and the worker gets it back.
WRAPPERS = {
    "instructions": ("valgrind", 'exec valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file={log}.%p '
                                 '{worker} "$@"'),
    "system_calls": ("strace", 'preload=$LD_PRELOAD; unset LD_PRELOAD\n'
                               'exec strace -f -c -o {log}.$$ ${{preload:+-E LD_PRELOAD="$preload"}} {worker} "$@"'),
}


def parse_instructions(text):
    match = re.search(r"Collected : (\d+)", text)
    return int(match.group(1)) if match else None


MEMORY_CALLS = {"mmap", "munmap", "mprotect", "madvise", "brk", "mremap", "process_madvise"}


def parse_system_calls(text):
    """Calls that give, take or change memory, of `strace -c`; the harness reads /proc, which does not count."""
    total, seen = 0, False
    for line in text.splitlines():
        words = line.split()
        seen = seen or bool(words) and words[-1] == "total"
        if len(words) >= 5 and words[-1] in MEMORY_CALLS:
            total += int(words[3])
    return total if seen else None


PARSERS = {"instructions": parse_instructions, "system_calls": parse_system_calls}


def available(kind):
    return shutil.which(WRAPPERS[kind][0]) is not None


def count(kind, heaplay, trace, allocator):
    """The count of one sample on one thread, the worker's start included.

    heaplay starts workers for more than samples (accounts, identity): what a second sample adds is one sample's.
    """
    return total(kind, heaplay, trace, allocator, 2) - total(kind, heaplay, trace, allocator, 1)


def total(kind, heaplay, trace, allocator, samples):
    """The sum over all workers of one heaplay replay."""
    with tempfile.TemporaryDirectory(prefix="heaplay-probe-") as name:
        here = Path(name)
        shutil.copy(heaplay, here / "heaplay")
        worker = Path(heaplay).resolve().parent / "heaplay-worker"
        text = WRAPPERS[kind][1].format(log=shlex.quote(str(here / "log")), worker=shlex.quote(str(worker)))
        (here / "heaplay-worker").write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
        (here / "heaplay-worker").chmod(0o755)
        done = subprocess.run([str(here / "heaplay"), "replay", str(trace), "--alloc", allocator, "--samples",
                               str(samples), "--threads", "1", "--timeout", "600"], capture_output=True, text=True,
                              check=False, env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"})
        if done.returncode:
            raise run.RunError(f"{kind} of {trace} under {allocator}: heaplay ended with {done.returncode}: "
                               f"{done.stderr.strip()[-300:]}")
        found = [PARSERS[kind](log.read_text(errors="replace")) for log in sorted(here.glob("log.*"))]
    if not found or None in found:
        raise run.RunError(f"{kind} of {trace} under {allocator}: {WRAPPERS[kind][0]} printed no total")
    return sum(found)


def digest(*paths):
    """One hash of the files' content."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return whole.hexdigest()


def cut(heaplay, trace, operations, scratch):
    """The trace's first operations as a trace of its own below scratch."""
    path = Path(scratch) / Path(trace).name
    done = subprocess.run([str(heaplay), "head", "-n", str(operations), str(trace), "-o", str(path)], capture_output=True,
                          text=True, check=False)
    if done.returncode:
        raise run.RunError(f"{trace}: heaplay head ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return path


class Cache:
    """Counts by content of trace, library and harness: they repeat, so what was counted once is not counted again."""

    def __init__(self, path):
        self.path = Path(path)
        self.known = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def count(self, kind, heaplay, trace, allocator, library):
        """As count(); library is the file whose content stands for the allocator."""
        worker = Path(heaplay).resolve().parent / "heaplay-worker"
        key = f"{kind}:{allocator.partition('=')[0]}:{digest(trace, library, worker)}"
        if key not in self.known:
            self.known[key] = count(kind, heaplay, trace, allocator)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_suffix(".partial")
            partial.write_text(json.dumps(self.known, indent=0), encoding="utf-8")
            partial.rename(self.path)
        return self.known[key]
