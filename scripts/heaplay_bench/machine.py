"""The machine's fingerprint, as replay/measure/environment.c takes it."""

import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOCATOR_VARIABLES = re.compile(r"^(MALLOC_|GLIBC_TUNABLES|LD_|TCMALLOC_|MIMALLOC_|CELLMALLOC_|JE_MALLOC_CONF|_RJEM_|SCUDO_|"
                                 "TBB_MALLOC_)")
NO_LIMIT = 2.0 ** 62        # control groups of version 1 say the largest number of whole pages


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


def version():
    """As CHANGELOG.md's newest heading has it."""
    path = ROOT / "CHANGELOG.md"
    match = re.search(r"^## \[?v?(\d[\w.]*)", path.read_text(encoding="utf-8") if path.exists() else "", re.MULTILINE)
    return match.group(1) if match else "unreleased"


def memory_in(directory):
    """The group's own limit in KiB, or None."""
    limit = number(first_line(directory / "memory.max") or first_line(directory / "memory.limit_in_bytes"))
    return limit // 1024 if limit is not None and limit < NO_LIMIT else None


def cpus_in(directory):
    """The group's own limit in processors' worth of time, or None."""
    both = (first_line(directory / "cpu.max") or
            f"{first_line(directory / 'cpu.cfs_quota_us')} {first_line(directory / 'cpu.cfs_period_us')}").split()
    quota, period = (number(word) for word in both[:2])
    return quota / period if quota is not None and quota >= 0 and period else None


def least_limit(controller, limit_in, groups=Path("/proc/self/cgroup"), root=Path("/sys/fs/cgroup")):
    """The least limit from this process's control group up to the root, or None."""
    found = []
    for line in groups.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        mounts = [root / controllers] if controller in controllers.split(",") else [] if controllers else [root, root / "unified"]
        for mount in mounts:
            group = mount / path.lstrip("/")
            found += [limit_in(one) for one in [group, *group.parents] if one.is_relative_to(mount)]
    return min((limit for limit in found if limit is not None), default=None)


def environment():
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"))
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    return {"kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cpu": cpu.group(1) if cpu else platform.machine(), "cpus": len(os.sched_getaffinity(0)),
            "memory_kib": int(memory.group(1)) if memory else 0,
            "thp": chosen(first_line("/sys/kernel/mm/transparent_hugepage/enabled")),
            "overcommit": number(first_line("/proc/sys/vm/overcommit_memory")),
            "aslr": number(first_line("/proc/sys/kernel/randomize_va_space")),
            "governor": first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            "libc": " ".join(platform.libc_ver()), "cgroup_memory_kib": least_limit("memory", memory_in),
            "cgroup_cpus": least_limit("cpu", cpus_in), "heaplay_version": version(), "git_commit": git_commit(),
            "variables": {k: v for k, v in sorted(os.environ.items()) if ALLOCATOR_VARIABLES.match(k)}}
