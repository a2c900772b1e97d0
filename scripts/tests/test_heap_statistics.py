"""The statistics of cellmalloc as text, as JSON and as malloc_info's XML: the same layers, figures and pools in all three."""
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

LIBRARY = Path(os.environ.get("OUT", "build/release")).resolve() / "libcellmalloc.so"

# In a process whose own allocator is another one: nothing changes between the three.
PROGRAM = """
import ctypes, os, sys
cell, libc = ctypes.CDLL(sys.argv[1]), ctypes.CDLL(None)
cell.cell_malloc.restype = libc.fdopen.restype = ctypes.c_void_p
blocks = [cell.cell_malloc(ctypes.c_size_t(size)) for size in [24, 40, 64, 200, 600, 5000, 300000] * 30]
for block in blocks[::3]:
    cell.cell_free(ctypes.c_void_p(block))
assert cell.cell_stats_json(os.open(sys.argv[2] + "/json", os.O_WRONLY | os.O_CREAT)) == 0
assert cell.cell_stats_text(os.open(sys.argv[2] + "/text", os.O_WRONLY | os.O_CREAT)) == 0
stream = ctypes.c_void_p(libc.fdopen(os.open(sys.argv[2] + "/xml", os.O_WRONLY | os.O_CREAT), b"w"))
assert cell.cell_malloc_info(0, stream) == 0
libc.fclose(stream)
"""

WANTED = {"live_bytes", "requested_bytes", "cached_bytes", "free_bytes", "dirty_bytes", "mapped_bytes", "metadata_bytes",
          "splits", "merges", "refills", "flushes", "purges", "faults_avoided"}


def from_json(text):
    document = json.loads(text)
    figures = {(layer, name): document[name] for layer, names in document["layers"].items() for name in names}
    return figures, document["pools"]


def from_text(text):
    figures, pools, layer = {}, [], None
    for line in filter(None, text.splitlines()):
        words = line.split()
        if line.endswith(":"):
            layer = line[:-1]
        elif words == ["cell", "pools", "live", "free"]:
            layer = None
        elif layer is None:
            pools.append(dict(zip(("cell_bytes", "pools", "live", "free"), map(int, words))))
        else:
            value, name = re.fullmatch(r" *(not counted|\d+)  (\w+)", line).groups()
            figures[layer, name] = None if value == "not counted" else int(value)
    return figures, pools


def from_xml(text):
    root = xml.etree.ElementTree.fromstring(text)
    figures = {(layer.get("name"), name): int(value) for layer in root.iter("layer")
               for name, value in layer.items() if name != "name"}
    return figures, [{name: int(value) for name, value in pool.items()} for pool in root.iter("pool")]


@pytest.mark.parametrize("settings", ["harden:1", "harden:2", "small_limit:0", "count_requests:1"])
def test_text_json_and_xml_agree(tmp_path, settings):
    subprocess.run([sys.executable, "-c", PROGRAM, LIBRARY, tmp_path], check=True,
                   env={**os.environ, "CELLMALLOC_CONF": settings})
    figures, pools = from_json((tmp_path / "json").read_text())
    assert figures["whole", "live_blocks"] == 140 and figures["whole", "live_bytes"] > 140 * 600
    assert (figures["whole", "requested_bytes"] is None) == (settings in ("harden:1", "small_limit:0"))
    assert {name for _, name in figures} > WANTED
    assert len({layer for layer, _ in figures}) == 8 and bool(pools) == (settings != "small_limit:0")
    assert from_text((tmp_path / "text").read_text()) == (figures, pools)
    counted = {name: value for name, value in figures.items() if value is not None}
    assert from_xml((tmp_path / "xml").read_text()) == (counted, pools)
