"""Builds results documents with known differences, for tests of the report."""
import math

import numpy

SPEED = {"cellmalloc": 0.92, "glibc": 1.0, "jemalloc": 0.85, "mimalloc": 0.70, "tcmalloc": 0.74, "null": 0.08,
         "bump": 0.30, "glibc#again": 1.0}
SPACE = {"cellmalloc": 0.93, "glibc": 1.0, "jemalloc": 1.25, "mimalloc": 1.30, "tcmalloc": 1.18, "null": 0.01,
         "bump": 6.0, "glibc#again": 1.0}
START = {"cellmalloc": 280, "glibc": 110, "jemalloc": 2400, "mimalloc": 390, "tcmalloc": 5400, "glibc#again": 110}
TRACES = {"python-json": (24, 40_000), "gcc-cc1": (31, 85_000), "git-log": (19, 9_000), "redis-server": (44, 30_000),
          "sqlite-index": (15, 4_500), "perl-hash": (21, 60_000), "jq-filter": (27, 22_000),
          "larson-handoff": (60, 16_000)}
SHA = "0123456789abcdef" * 4


def figure(samples):
    ordered = sorted(samples)
    return {"median": float(numpy.median(ordered)), "low": ordered[0], "high": ordered[-1],
            "samples": [float(value) for value in samples]}


def curve(live_kib, space, points=120):
    line = []
    for step in range(points):
        share = step / (points - 1)
        live = live_kib * 1024 * (math.sin(math.pi * share) ** 0.7 * (0.85 + 0.15 * math.sin(40 * share)))
        top = live_kib * 1024 * (1 if share > 0.5 else math.sin(math.pi * share) ** 0.7)
        line.append({"operation": step * 1000, "live_bytes": int(live), "usable_bytes": int(live * 1.06),
                     "rss_kib": int((0.45 * top + 0.55 * live) / 1024 * space * 1.12) + 80})
    return line


def document(seed=1, blocks=8, noise=0.02, speed=None, space=None, traces=None, allocators=None, kind="bench"):
    """A document in which allocator A takes SPEED[A] times glibc's time and SPACE[A] times its memory."""
    generator = numpy.random.default_rng(seed)
    speed, space = {**SPEED, **(speed or {})}, {**SPACE, **(space or {})}
    traces = traces or TRACES
    allocators = allocators or list(SPEED)
    rows = []
    for trace, (base_ns, live_kib) in traces.items():
        drift = numpy.exp(generator.normal(0, 0.05, blocks))
        for name in allocators:
            taste = math.exp(0.16 * math.sin(len(trace) * 7 + len(name) * 3)) if "glibc" not in name else 1.0
            times = base_ns * speed[name] * taste * drift * numpy.exp(generator.normal(0, noise, blocks))
            peak = live_kib * 1.2 * space[name] * numpy.exp(generator.normal(0, noise / 10, blocks))
            rows.append({
                "trace": trace, "allocator": name, "threads": "recorded", "touch": "page", "pace": "flat", "loops": 1,
                "status": "ok", "blocks": list(range(blocks)), "ns_per_op": figure(times),
                "ops_per_s": figure(1e9 / times), "peak_rss_kib": figure(peak), "peak_live_bytes": live_kib * 1024,
                "usable_bytes_at_peak": int(live_kib * 1024 * 1.06), "internal_fragmentation": 0.06,
                "start_rss_kib": figure([START.get(name, 0)] * blocks),
                "external_fragmentation": round(space[name] - 0.9, 3),
                "peak_ratio": figure(peak / live_kib), "minor_faults": figure(peak / 4), "harness_share": 0.09,
                "curve": curve(live_kib, space[name])})
    return {
        "schema_version": 1, "kind": kind, "created": "2026-01-02T03:04:05Z", "command": "fixture",
        "environment": {"kernel": "Linux 6.1", "cpu": "Example CPU", "cpus": 2, "memory_kib": 8_000_000,
                        "thp": "madvise", "overcommit": 0, "aslr": 2, "governor": None, "libc": "glibc 2.36",
                        "cgroup_memory_kib": None, "heaplay_version": "0.1", "git_commit": None, "variables": {}},
        "allocators": {name: {"path": f"/lib/{name}.so", "sha256": SHA, "version": "1.0", "variables": {},
                              "identity": "proved", "verified": True} for name in allocators},
        "traces": {name: {"path": f"traces/{name}.hpt", "sha256": SHA, "operations": 1_000_000, "threads": 1,
                          "peak_live_bytes": live_kib * 1024, "command": name, "by_kind": {"malloc": 500_000},
                          "origin": "synthetic:larson" if name.startswith("larson") else "recorded"}
                   for name, (_, live_kib) in traces.items()},
        "rows": rows}


def fail(doc, trace, allocator, status="crashed", text="ended by signal 11"):
    """Turns one row into a failed one."""
    for position, row in enumerate(doc["rows"]):
        if (row["trace"], row["allocator"]) == (trace, allocator):
            keys = ("trace", "allocator", "threads", "touch", "pace", "loops")
            doc["rows"][position] = {**{key: row[key] for key in keys}, "status": status, "status_text": text}
    return doc
