"""Imports of what the tools themselves write about a program whose calls are known, and of every kind of compression."""
import bz2
import gzip
import lzma
import os
import platform
import re
import shutil
import signal
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAPLAY = Path(os.environ.get("OUT", ROOT / "build" / "release")) / "heaplay"

PROGRAM = r"""
#include <mcheck.h>
#include <pthread.h>
#include <stdlib.h>
#include <new>
static void *drop(void *block) { free(block); return nullptr; }
int main(int argc, char **)
{
    void *volatile a, *volatile b, *volatile c;
    pthread_t other;
    if (argc > 1) mtrace();
    a = malloc(1001);
    b = calloc(3, 1009);
    a = realloc(a, 5003);
    free(b);
    b = malloc(2003);
    c = aligned_alloc(256, 7936);
    free(a);
    pthread_create(&other, nullptr, drop, b);
    pthread_join(other, nullptr);
    a = ::operator new(1501);
    b = ::operator new[](1601);
    ::operator delete[](b);
    ::operator delete(a);
    a = ::operator new(1728, std::align_val_t(64), std::nothrow);
    ::operator delete(a, std::align_val_t(64), std::nothrow);
    if (posix_memalign((void **)&a, 128, 1801)) return 1;
    free(a);
    free(c);
    if (argc > 1) muntrace();
}
"""
# What a tool may not tell apart becomes malloc and free; a realloc may appear as a free and an allocation.
CALLS = ["malloc 1001", "calloc 3027", "realloc 1001 5003", "free 3027", "malloc 2003", "aligned_alloc 256 7936", "free 5003",
         "free 2003", "new 1501", "new 1601", "delete 1601", "delete 1501", "new_aligned 64 1728", "delete_aligned 64 1728",
         "posix_memalign 128 1801", "free 1801", "free 7936"]
SIZES = {1001, 3027, 5003, 2003, 7936, 1501, 1601, 1728, 1801}
CONFIGURED = ("-F", str(ROOT / "replay" / "import" / "ltrace.conf"))    # makes ltrace print what posix_memalign made


def calls_of(trace):
    """The calls on blocks of the known sizes, each with its sizes instead of blocks."""
    done = subprocess.run([HEAPLAY, "export", "--to", "csv", trace], capture_output=True, text=True, check=True)
    size_of, said = {}, []
    for line in done.stdout.splitlines()[1:]:
        kind, *rest = line.split(",")
        _, _, made, old, size, count, alignment = map(int, rest)
        if kind.startswith("thread_"):
            continue
        words = [kind] + [alignment] * (alignment != 0) + ([size_of[old]] if old else [])
        if made:
            size_of[made] = size * max(1, count)
            words.append(size_of[made])
        if SIZES & set(words[1:]):
            said.append(" ".join(map(str, words)))
    return said


def plain(calls):
    """The same as allocations and frees only."""
    out = []
    for call in calls:
        kind, *sizes = call.split()
        frees = kind.startswith(("free", "delete"))
        out += [f"free {sizes[-1 if frees else 0]}"] if frees or kind == "realloc" else []
        out += [f"malloc {sizes[-1]}"] if not frees else []
    return out


@pytest.fixture(name="known", scope="module")
def known_program(tmp_path_factory):
    compiler = shutil.which("c++") or pytest.skip("no C++ compiler")
    place = tmp_path_factory.mktemp("known")
    (place / "known.cc").write_text(PROGRAM)
    subprocess.run([compiler, "-std=c++17", "-O0", "-fno-builtin", "-w", "-o", place / "known", place / "known.cc", "-lpthread"],
                   check=True)
    return place


def imported(place, form, name):
    for source in (["--from", form], []):           # by name, and recognised
        done = subprocess.run([HEAPLAY, "import", *source, place / name, "-o", place / "out.hpt"], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0 and f": {form}: " in done.stderr, done.stderr
    subprocess.run([HEAPLAY, "check", place / "out.hpt"], capture_output=True, check=True)
    return calls_of(place / "out.hpt")


def needs(tool):
    return shutil.which(tool) or pytest.skip(f"{tool} is not installed")


def run_tool(known, *words, **more):
    return subprocess.run(words, cwd=known, capture_output=True, text=True, check=False, timeout=120, **more)


@pytest.mark.parametrize("options", [[], ["-r"], ["-tt", "-i"], ["-ttt", "-T"], CONFIGURED], ids=lambda o: " ".join(o)[:4])
def test_ltrace(known, options):
    text = known / "l.txt"
    run_tool(known, needs("ltrace"), "-f", *options, "-o", "l.txt", "./known")
    if not text.exists() or "malloc(1001)" not in text.read_text(errors="replace"):
        pytest.skip("ltrace may not trace here")
    assert imported(known, "ltrace", "l.txt") == [c for c in CALLS if options is CONFIGURED or " 1801" not in c]
    threads = subprocess.run([HEAPLAY, "cat", known / "out.hpt"], capture_output=True, text=True, check=True).stdout
    assert re.search(r" t1 +free\(#", threads)


def test_valgrind(known):
    done = run_tool(known, needs("valgrind"), "--trace-malloc=yes", "./known")
    if "malloc(1001)" not in done.stderr:
        pytest.skip("valgrind cannot run programs here")
    (known / "v.txt").write_text(done.stderr)
    said = [c.replace("aligned_alloc", "memalign").replace("posix_", "").replace("delete_aligned 64", "delete") for c in CALLS]
    assert imported(known, "valgrind", "v.txt") == said


THREADS = r"""
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>
static void work(int step)
{
    std::map<std::string, std::vector<int>> m;
    for (int i = 0; i < 3000; i++) m["a key of some length " + std::to_string(i * step % 700)].push_back(i);
    for (int i = 0; i < 50; i++) { void *p = realloc(nullptr, 10); p = realloc(realloc(p, 1000), 0); free(p); }
}
int main() { std::thread a(work, 3), b(work, 7), c(work, 5); work(11); a.join(); b.join(); c.join(); }
"""


def test_valgrind_cuts_calls_in_two_when_threads_take_turns(tmp_path):
    """Whatever cuts there are, every result finds its call: nothing is skipped, and every block is freed."""
    compiler = shutil.which("c++") or pytest.skip("no C++ compiler")
    (tmp_path / "t.cc").write_text(THREADS)
    subprocess.run([compiler, "-w", "-o", tmp_path / "t", tmp_path / "t.cc", "-lpthread"], check=True)
    done = run_tool(tmp_path, needs("valgrind"), "--trace-malloc=yes", "--time-stamp=yes", "./t")
    if "malloc(" not in done.stderr:
        pytest.skip("valgrind cannot run programs here")
    (tmp_path / "v.txt").write_text(done.stderr)
    done = subprocess.run([HEAPLAY, "import", "--strict", tmp_path / "v.txt", "-o", tmp_path / "v.hpt"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and " 0 blocks live at the end" in done.stderr, done.stderr
    card = subprocess.run([HEAPLAY, "info", tmp_path / "v.hpt"], capture_output=True, text=True, check=True).stdout
    assert "right to 1000 us" in card


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "interpreted"])
def test_heaptrack(known, raw):
    name = "raw" if raw else "interpreted"
    run_tool(known, needs("heaptrack"), *(["--raw"] if raw else []), "-o", name, "./known")
    files = [path for path in known.glob(f"{name}.*") if path.suffix in (".gz", ".zst")]
    if not files:
        pytest.skip("heaptrack cannot run programs here")
    assert imported(known, "heaptrack", files[0].name) == plain(CALLS)


def test_mtrace(known):
    library = next((path for place in ("/lib", "/lib64", "/usr/lib") for path in Path(place).glob("**/libc_malloc_debug.so.0")
                    if platform.machine() in str(path) or path.parent.name == "lib64"), None)
    if not library:
        pytest.skip("libc_malloc_debug.so.0 is not installed")
    run_tool(known, "./known", "1", env={**os.environ, "MALLOC_TRACE": str(known / "m.txt"), "LD_PRELOAD": str(library)})
    said = [re.sub("calloc|new_aligned 64|new|aligned_alloc 256|posix_memalign 128", "malloc", c) for c in CALLS]
    assert imported(known, "mtrace", "m.txt") == [re.sub("delete_aligned 64|delete", "free", c) for c in said]


def test_bpftrace(known):
    """The probes are in the C library of every process meanwhile, so only long runs do this."""
    if not os.environ.get("HEAPLAY_LONG"):
        pytest.skip("slows all processes of the machine: HEAPLAY_LONG=1 runs it")
    if os.geteuid():
        pytest.skip("bpftrace needs root")
    libc = re.search(r"libc\.so\.6 => (\S+)", run_tool(known, "ldd", "./known").stdout)[1]
    script = (ROOT / "replay" / "import" / "heaplay.bt").read_text()
    (known / "heaplay.bt").write_text(re.sub(r":/\S*libc\.so\.6:", f":{libc}:", script))
    program = subprocess.Popen(["sh", "-c", "kill -STOP $$; exec ./known"], cwd=known)
    with open(known / "b.txt", "w", encoding="ascii") as out:
        probes = subprocess.Popen([needs("bpftrace"), "heaplay.bt", str(program.pid)], cwd=known, stdout=out,
                                  stderr=subprocess.PIPE)
        try:
            time.sleep(15)
            program.send_signal(signal.SIGCONT)
            program.wait(60)
            time.sleep(2)
        finally:
            program.kill()
            probes.send_signal(signal.SIGINT)
            said = probes.communicate(timeout=60)[1]
    if " malloc " not in (known / "b.txt").read_text():
        pytest.skip(f"bpftrace may not probe here: {said.decode()[-200:]}")
    said = [re.sub("delete_aligned 64|delete", "free", c).replace("new_aligned", "aligned_alloc") for c in CALLS]
    assert imported(known, "bpftrace", "b.txt") == [c.replace("new", "malloc") for c in said]


def lines(count=2000):
    return "".join(f"{i % 3}: malloc 0x{i + 16:x} {i % 999 + 1}\n" for i in range(count)).encode()


def by_command(*words):
    def pack(data):
        if not shutil.which(words[0]):
            pytest.skip(f"{words[0]} is not installed")
        return subprocess.run(words, input=data, capture_output=True, check=True).stdout
    return pack


@pytest.mark.parametrize("pack", [
    gzip.compress, bz2.compress, lzma.compress, by_command("zstd", "-qc"), by_command("lz4", "-qc"),
    lambda data: gzip.compress(data[:9999]) + gzip.compress(data[9999:])], ids=["gz", "bz2", "xz", "zst", "lz4", "two gz"])
def test_compression(tmp_path, pack):
    (tmp_path / "plain").write_bytes(lines())
    (tmp_path / "packed").write_bytes(pack(lines()))
    assert (tmp_path / "packed").stat().st_size < (tmp_path / "plain").stat().st_size
    for name, out in (("plain", "a.hpt"), ("packed", "b.hpt")):
        subprocess.run([HEAPLAY, "import", "--strict", tmp_path / name, "-o", tmp_path / out], capture_output=True, check=True)
    with open(tmp_path / "packed", "rb") as given:
        subprocess.run([HEAPLAY, "import", "--strict", "-", "-o", tmp_path / "c.hpt"], stdin=given, capture_output=True,
                       check=True)
    wanted = (tmp_path / "a.hpt").read_bytes()
    assert (tmp_path / "b.hpt").read_bytes() == wanted == (tmp_path / "c.hpt").read_bytes()
    packed = pack(lines())
    (tmp_path / "cut").write_bytes(packed[:len(packed) // 2])
    done = subprocess.run([HEAPLAY, "import", "--from", "android", tmp_path / "cut", "-o", tmp_path / "d.hpt"], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 3 and "cannot read" in done.stderr


def test_archives_give_their_first_file(tmp_path):
    (tmp_path / "first").write_bytes(lines())
    (tmp_path / "second").write_text("nothing of a trace\n")
    (tmp_path / "directory").mkdir()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("directory", "first", "second"):
            archive.write(tmp_path / name, name)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name in ("directory", "first", "second"):
            archive.add(tmp_path / name, name)
    for name in ("a.zip", "a.tar.gz"):
        done = subprocess.run([HEAPLAY, "import", "--strict", tmp_path / name, "-o", tmp_path / "a.hpt"], capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0 and "2000 operations read" in done.stderr, done.stderr


def test_marks_of_other_systems(tmp_path):
    """A byte order mark is no part of the first line; text in UTF-16 is named as what it is."""
    (tmp_path / "mark").write_bytes(b"\xef\xbb\xbf" + lines())
    (tmp_path / "wide").write_bytes(lines().decode().encode("utf-16"))
    done = subprocess.run([HEAPLAY, "import", "--strict", tmp_path / "mark", "-o", tmp_path / "a.hpt"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and "2000 operations read" in done.stderr, done.stderr
    done = subprocess.run([HEAPLAY, "import", tmp_path / "wide", "-o", tmp_path / "a.hpt"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 3 and "UTF-16" in done.stderr


def test_what_holds_nothing_is_refused(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    for name in ("empty", "empty.gz"):
        done = subprocess.run([HEAPLAY, "import", tmp_path / name, "-o", tmp_path / "a.hpt"], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 3 and "is empty" in done.stderr
    done = subprocess.run([HEAPLAY, "import", tmp_path, "-o", tmp_path / "a.hpt"], capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "is a directory" in done.stderr
