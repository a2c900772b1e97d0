#!/usr/bin/env python3
"""What each level of hardening costs a program: instructions (callgrind) and peak resident size, as a table.

    allocator/tests/harden/cost.py build/release [PROGRAM ARGUMENT...]

The default program is sqlite3 with 20,000 rows built, sorted and joined in memory.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LEVELS = ["harden:1", "count_requests:1", "harden:2"]
SQL = ("with recursive n(i) as (select 1 union all select i+1 from n where i<20000) "
       "select count(*), sum(length(x)) from (select hex(i*i)||i as x from n order by x)")


def instructions(command, env):
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={scratch}/out", *command],
                              env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def peak_kib(out, command, env):
    """Asked by a small program: a child's peak is never below that of the process it was forked from."""
    done = subprocess.run([out / "allocator/tests/figures/launch", out / "libcellmalloc.so", *command], env=env,
                          stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.splitlines()[-1].split()[0])


def main(argv):
    if not argv:
        sys.exit("usage: cost.py BUILD-DIRECTORY [PROGRAM ARGUMENT...]")
    out = Path(argv[0]).resolve()
    command = argv[1:] or ["sqlite3", ":memory:", SQL]
    rows = []
    for level in LEVELS:
        env = dict(os.environ, CELLMALLOC_CONF=level)
        rows.append((level, instructions(command, dict(env, LD_PRELOAD=str(out / "libcellmalloc.so"))),
                     peak_kib(out, command, env)))
    print(f"| {os.path.basename(command[0])} | instructions | against harden:1 | peak RSS, KiB | against harden:1 |")
    print("|---|---:|---:|---:|---:|")
    for level, count, kib in rows:
        print(f"| `{level}` | {count:,} | {count / rows[0][1]:.2f} | {kib:,} | {kib / rows[0][2]:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
