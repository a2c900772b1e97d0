"""Results documents of kind "programs" and "micro": the machine's fingerprint, figures, the file."""

import contextlib
import datetime
import io
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

from heaplay_report import schema, stats

ROOT = Path(__file__).resolve().parents[2]
ALLOCATOR_VARIABLES = re.compile(r"^(MALLOC_|GLIBC_TUNABLES|MIMALLOC_|TCMALLOC_|CELLMALLOC|LD_PRELOAD|_RJEM_)")


def first_line(path):
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip().split("\n")[0]
    except OSError:
        return None


def chosen(text):
    """The bracketed word of a kernel setting such as 'always [madvise] never'."""
    match = re.search(r"\[(\w+)\]", text or "")
    return match.group(1) if match else text


def number(text):
    return int(text) if text and re.fullmatch(r"-?\d+", text) else None


def git_commit():
    """The commit, with + when the tree has changes."""
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--abbrev=10", "--dirty=+", "--match",
                           "-"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else None


def environment():
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"))
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    limit = number(first_line("/sys/fs/cgroup/memory.max"))
    return {"kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cpu": cpu.group(1) if cpu else platform.machine(), "cpus": len(os.sched_getaffinity(0)),
            "memory_kib": int(memory.group(1)) if memory else 0,
            "thp": chosen(first_line("/sys/kernel/mm/transparent_hugepage/enabled")),
            "overcommit": number(first_line("/proc/sys/vm/overcommit_memory")),
            "aslr": number(first_line("/proc/sys/kernel/randomize_va_space")),
            "governor": first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            "libc": " ".join(platform.libc_ver()), "cgroup_memory_kib": limit // 1024 if limit else None,
            "heaplay_version": version(), "git_commit": git_commit(),
            "variables": {k: v for k, v in sorted(os.environ.items()) if ALLOCATOR_VARIABLES.match(k)}}


def version():
    """As CHANGELOG.md's newest heading has it."""
    match = re.search(r"^## \[?v?(\d[\w.]*)", first_text(ROOT / "CHANGELOG.md"), re.MULTILINE)
    return match.group(1) if match else "unreleased"


def first_text(path):
    return path.read_text(encoding="utf-8") if path.exists() else ""


def figure(samples):
    median, low, high = stats.median_interval(samples)
    return {"median": median, "low": low, "high": high, "samples": list(samples)}


def document(kind, allocators, traces, rows, **more):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"schema_version": 1, "kind": kind, "created": now, "command": shlex.join(sys.argv),
            "environment": environment(), "allocators": allocators, "traces": traces, "rows": rows, **more}


def write(made, directory):
    """Check against the schema and write results.json below a directory of its own; returns its path."""
    directory = Path(directory)
    schema.check(made, str(directory))
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "results.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    partial.rename(path)
    return path


def show(path, print_all):
    """What print_all() prints, on the terminal and in report.txt beside the results."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print_all()
    (Path(path).parent / "report.txt").write_text(text.getvalue(), encoding="utf-8")
    print(f"{text.getvalue()}\n{path}")


def results_directory(kind):
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    return ROOT / "results" / f"{now}-{kind}"
