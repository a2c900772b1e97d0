"""The machine's fingerprint: limits of control groups, and that heaplay and the scripts say the same of this machine."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import compare  # noqa: E402
from heaplay_bench import machine  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("OUT", ROOT / "build" / "release"))


def group(root, path, **files):
    """A directory of a made up hierarchy; names of files with _ for the first dot."""
    (root / path).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / path / name.replace("_", ".", 1)).write_text(text + "\n")


def limits(groups, root):
    (root / "groups").write_text(groups)
    return [machine.least_limit(controller, limit_in, root / "groups", root)
            for controller, limit_in in (("memory", machine.memory_in), ("cpu", machine.cpus_in))]


def test_limits_of_version_2(tmp_path):
    group(tmp_path, "a/b", memory_max="max", cpu_max="150000 100000")
    group(tmp_path, "a", memory_max="1048576", cpu_max="max 100000")
    assert limits("0::/a/b\n", tmp_path) == [1024, 1.5]
    group(tmp_path, "a/b", memory_max="524288")
    assert limits("0::/a/b\n", tmp_path) == [512, 1.5]
    assert limits("0::/\n", tmp_path) == [None, None]


def test_limits_of_version_1(tmp_path):
    group(tmp_path, "memory/x", memory_limit_in_bytes="2097152")
    group(tmp_path, "memory", memory_limit_in_bytes=str(2 ** 63 - 4096))
    group(tmp_path, "cpu,cpuacct", cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000")
    assert limits("4:memory:/x/gone\n2:cpu,cpuacct:/\n0::/\n", tmp_path) == [2048, None]
    group(tmp_path, "cpu,cpuacct/y", cpu_cfs_quota_us="50000", cpu_cfs_period_us="100000")
    assert limits("4:memory:/\n2:cpu,cpuacct:/y\n0::/\n", tmp_path) == [None, 0.5]


@pytest.mark.skipif(not (OUT / "heaplay").exists(), reason=f"{OUT} is not built")
def test_heaplay_and_the_scripts_agree(tmp_path, monkeypatch):
    for name, value in (("MALLOC_CONF", "x:1"), ("_RJEM_MALLOC_CONF", "y:1"), ("MIMALLOC_VERBOSE", "0"), ("OTHER", "1")):
        monkeypatch.setenv(name, value)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        subprocess.run([OUT / "heaplay", "replay", ROOT / "traces" / "jq.hpt", "--alloc", "glibc", "--samples", "1", "--json",
                        tmp_path / "made.json"], check=True, capture_output=True)
        said = json.loads((tmp_path / "made.json").read_text())["environment"]
        own = machine.environment()
    finally:
        os.sched_setaffinity(0, before)
    assert {key: said[key] for key in compare.FINGERPRINT} == {key: own[key] for key in compare.FINGERPRINT}
    assert said["cpus"] == 1
    assert {"MALLOC_CONF", "_RJEM_MALLOC_CONF", "MIMALLOC_VERBOSE"} <= set(said["variables"]) and "OTHER" not in said["variables"]
