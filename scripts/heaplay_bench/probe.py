"""Counts that do not depend on the machine's mood: instructions (callgrind) and system calls (strace) of a replay.

heaplay starts the worker that lies beside it. A directory with a link to heaplay and a wrapper in the worker's place
makes it start the worker under a tool instead. The null allocator's count is taken off by the caller.
"""

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


def parse_system_calls(text):
    """The total of `strace -c`: the number before the word total, errors left out."""
    for line in text.splitlines():
        words = line.split()
        if words and words[-1] == "total":
            return int(words[3])
    return None


PARSERS = {"instructions": parse_instructions, "system_calls": parse_system_calls}


def available(kind):
    return shutil.which(WRAPPERS[kind][0]) is not None


def count(kind, heaplay, trace, allocator, timeout_s=600):
    """The count of one replay of the trace, in the recorded order on one thread, set-up included."""
    with tempfile.TemporaryDirectory(prefix="heaplay-probe-") as name:
        here = Path(name)
        shutil.copy(heaplay, here / "heaplay")
        worker = Path(heaplay).resolve().parent / "heaplay-worker"
        text = WRAPPERS[kind][1].format(log=shlex.quote(str(here / "log")), worker=shlex.quote(str(worker)))
        (here / "heaplay-worker").write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
        (here / "heaplay-worker").chmod(0o755)
        done = subprocess.run([str(here / "heaplay"), "replay", str(trace), "--alloc", allocator, "--samples", "1",
                               "--threads", "1", "--timeout", str(timeout_s)], capture_output=True, text=True,
                              check=False, env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"})
        if done.returncode:
            raise run.RunError(f"{kind} of {trace} under {allocator}: heaplay ended with {done.returncode}: "
                               f"{done.stderr.strip()[-300:]}")
        # heaplay runs the worker for its accounts first, then for the sample: the last log is the sample's.
        logs = sorted(here.glob("log.*"), key=lambda path: path.stat().st_mtime_ns)
        found = PARSERS[kind](logs[-1].read_text(errors="replace")) if logs else None
    if found is None:
        raise run.RunError(f"{kind} of {trace} under {allocator}: {WRAPPERS[kind][0]} printed no total")
    return found
