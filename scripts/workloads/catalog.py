"""The catalogue: each real program with its generated input, for recording and for running under each allocator.

Programs run in a directory of their own that holds their inputs, and all names are relative to it. `argv`, `prepare`,
`environment` and `load` may hold {work} (that directory), {port}, {cc1}, {cc1plus}, {postgres} (the directory of the
server's programs) and {n:COUNT} (COUNT at scale 1.0); `inputs` maps a file to the generator call that fills it at
scale 1.0; `scripts` are copied from beside this file.
"""

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import typing
from pathlib import Path

from . import inputs as make

HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    argv: tuple
    packages: tuple                     # Debian packages of the program; the first one holds it
    licence: str
    what: str                           # one phrase for tables
    inputs: dict = dataclasses.field(default_factory=dict)      # file -> (generator, count at scale 1)
    scripts: tuple = ()
    files: dict = dataclasses.field(default_factory=dict)       # file -> fixed content
    prepare: tuple = ()                 # commands that finish the inputs, run in {work}
    environment: dict = dataclasses.field(default_factory=dict)
    stdin: typing.Optional[str] = None
    output: str = "stdout"              # what is compared: "stdout", "none", or a file in {work}
    before: tuple = ()                  # a server: commands that need to know {port}, run before it starts
    load: tuple = ()                    # a server: commands to run against {port} once it answers
    stop: tuple = ()                    # a server: the command that ends it
    unprivileged: bool = False          # refuses to run as root: root runs it as another user of a user namespace
    child: bool = False                 # the trace is of the child with the most operations
    size: float = 1.0                   # factor on the inputs when recorded, to keep the trace's size in bounds
    trace: bool = True                  # whether a trace of it is bundled
    program: bool = True                # whether it is a row of `make programs`


def _w(name, argv, packages, licence, what, **more):
    return Workload(name, tuple(argv.split() if isinstance(argv, str) else argv), tuple(packages.split()), licence,
                    what,
                    **more)


JSON_INPUT = {"records.jsonl": (make.json_lines, 6000)}
TEXT_INPUT = {"text.txt": (make.text, 300000)}
C_INPUT = {"unit.c": (make.c_source, 80)}
JQ = ("select(.score>20)|{id,n:(.name|ascii_upcase),t:(.tags|sort|unique),k:(.extra|tostring|length)}")
GIT = (("git", "init", "-q", "--initial-branch=main", "repo"),
       ("sh", "-c", "git -C repo fast-import --quiet < stream"))
GIT_ENVIRONMENT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "{work}", "GIT_PAGER": "cat"}
PYTHON = "PSF-2.0"
LOAD = "/usr/bin/python3 load.py"
PGBENCH = "{postgres}/pgbench -h 127.0.0.1 -p {port} -U bench"

WORKLOADS = [
    _w("cc1", "{cc1} -quiet -O2 -fpreprocessed unit.i -o unit.s", "gcc-12 cpp-12", "GPL-3+",
       "gcc's C compiler proper, -O2",
       inputs=C_INPUT, prepare=(("gcc-12", "-E", "-P", "unit.c", "-o", "unit.i"),), output="unit.s", size=0.2),
    _w("cc1plus", "{cc1plus} -quiet -O1 -fpreprocessed unit.ii -o unit.s", "g++-12", "GPL-3+",
       "gcc's C++ compiler proper, -O1", inputs={"unit.cc": (make.cxx_source, 12)},
       prepare=(("g++-12", "-E", "-P", "unit.cc", "-o", "unit.ii"),), output="unit.s", size=0.35),
    _w("clang", "clang-14 -O2 -c unit.c -o unit.o", "clang-14", "Apache-2.0 with LLVM exception", "clang -O2 on C",
       inputs=C_INPUT, output="unit.o", size=0.6),
    _w("python-json", "/usr/bin/python3 dicts.py records.jsonl", "python3.11", PYTHON,
       "json, dictionaries, regular expressions", scripts=("dicts.py",), inputs=JSON_INPUT,
       environment={"PYTHONHASHSEED": "0"}, size=6),
    _w("python-malloc", "/usr/bin/python3 dicts.py records.jsonl", "python3.11", PYTHON,
       "the same with PYTHONMALLOC=malloc", scripts=("dicts.py",), inputs=JSON_INPUT,
       environment={"PYTHONHASHSEED": "0", "PYTHONMALLOC": "malloc"}),
    _w("python-threads", "/usr/bin/python3 threads.py records.jsonl", "python3.11", PYTHON,
       "4 threads handing records on, PYTHONMALLOC=malloc", scripts=("threads.py",), inputs=JSON_INPUT,
       environment={"PYTHONHASHSEED": "0", "PYTHONMALLOC": "malloc"}, size=0.8),
    _w("perl", "perl words.pl text.txt", "perl-base", "Artistic or GPL-1+", "hashes, sorting, substitutions",
       scripts=("words.pl",), inputs=TEXT_INPUT, environment={"PERL_HASH_SEED": "0"}, size=0.5),
    _w("gawk", "gawk -f words.awk text.txt", "gawk", "GPL-3+", "associative arrays, substitutions",
       scripts=("words.awk",), inputs=TEXT_INPUT, size=0.6),
    _w("lua", "lua5.4 tables.lua text.txt", "lua5.4", "MIT", "tables, closures, coroutines", scripts=("tables.lua",),
       inputs=TEXT_INPUT,
       size=0.3),
    _w("ruby", "ruby --disable-gems objects.rb records.jsonl", "ruby3.1", "BSD-2-Clause or Ruby",
       "objects, strings, JSON", scripts=("objects.rb",), inputs=JSON_INPUT, size=2),
    _w("php", "php -n groups.php records.jsonl", "php8.2-cli", "PHP-3.01", "arrays, JSON; USE_ZEND_ALLOC=0",
       scripts=("groups.php",), inputs=JSON_INPUT, environment={"USE_ZEND_ALLOC": "0"}, size=2),
    _w("node", "/usr/bin/node streams.js records.jsonl", "nodejs", "MIT", "JSON, buffers, zlib on the worker pool",
       scripts=("streams.js",), inputs=JSON_INPUT, size=0.7),
    _w("java", "java -XX:+UseSerialGC Words.java text.txt", "openjdk-17-jre-headless",
       "GPL-2 with classpath exception",
       "start of a JVM, source launcher", scripts=("Words.java",), inputs=TEXT_INPUT, size=0.3),
    _w("jq", ("jq", "-c", JQ, "records.jsonl"), "jq", "MIT", "filter over JSON lines", inputs=JSON_INPUT, size=1),
    _w("sqlite", "sqlite3 :memory:", "sqlite3", "public domain", "inserts, updates, joins in memory",
       inputs={"work.sql": (make.sql, 12000)}, stdin="work.sql"),
    _w("git-log", "git -C repo log -p --stat main", "git", "GPL-2", "log with patches", environment=GIT_ENVIRONMENT,
       inputs={"stream": (make.git_stream, 900)}, prepare=GIT),
    _w("git-pack", "git -C repo pack-objects --all --stdout --threads=2 --window=20 --no-reuse-delta", "git", "GPL-2",
       "delta search on 2 threads", environment=GIT_ENVIRONMENT, inputs={"stream": (make.git_stream, 900)},
       prepare=GIT,
       stdin="/dev/null", output="none"),
    _w("xsltproc", "xsltproc style.xsl records.xml", "xsltproc", "MIT", "XSLT over a catalogue",
       inputs={"records.xml": (make.xml, 4000)}, files={"style.xsl": make.XSLT}),
    _w("xmllint", "xmllint --c14n records.xml", "libxml2-utils", "MIT", "parse and canonicalise",
       inputs={"records.xml": (make.xml, 8000)}),
    _w("dot", "dot -Tplain graph.dot", "graphviz", "EPL-1.0", "layered layout",
       inputs={"graph.dot": (make.dot_graph, 260)}),
    _w("gs", "gs -q -dBATCH -dNOPAUSE -dSAFER -sDEVICE=ppmraw -r40 -sOutputFile=- pages.ps", "ghostscript", "AGPL-3+",
       "PostScript to pixels", inputs={"pages.ps": (make.postscript, 120)}, trace=False),
    _w("pdftoppm", "pdftoppm -r 40 pages.pdf", "poppler-utils", "GPL-2+", "PDF to pixels",
       inputs={"pages.ps": (make.postscript, 60)},
       prepare=(("gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pdfwrite", "-o", "pages.pdf", "pages.ps"),)),
    _w("z3", "z3 problem.smt2", "z3", "MIT", "integers and bit vectors", inputs={"problem.smt2": (make.smt, 110)}),
    _w("cmake", "cmake -S . -B out", "cmake", "BSD-3-Clause", "configure a project of 300 targets", output="none",
       inputs={"CMakeLists.txt": (make.cmake_project, 300)}, size=0.6),
    _w("gdb", ("gdb", "-nx", "-batch", "-iex", "maint set worker-threads 2", "-ex", "info functions g1",
               "-ex", "info types s", "-ex", "info scope g7", "unit.so"), "gdb", "GPL-3+",
       "symbols and types of a library, index built on 2 threads", inputs={"unit.c": (make.c_source, 700)},
       prepare=(("gcc-12", "-g", "-O0", "-shared", "-fPIC", "-o", "unit.so", "unit.c"),)),
    _w("ffmpeg",
       "ffmpeg -v error -f lavfi -i testsrc=size=320x240:rate=25:duration=20 -c:v mpeg4 -threads 2 -f framemd5 -",
       "ffmpeg", "GPL-2+", "encode a test picture on 2 threads", output="none"),
    _w("redis", "redis-server --port {port} --bind 127.0.0.1 --save @ --appendonly no --dir . --loglevel warning "
       "--lazyfree-lazy-user-del yes --lazyfree-lazy-user-flush yes",
       "redis-server redis-tools", "BSD-3-Clause", "server under redis-benchmark, lazy frees on a thread",
       output="none",
       load=("redis-benchmark -h 127.0.0.1 -p {port} -q -n {n:12000} -c 20 -P 8 -r 4000 -d 96 "
             "-t set,get,lpush,rpop,sadd,hset,zadd,spop,mset".split(),
             "redis-benchmark -h 127.0.0.1 -p {port} -q -n {n:8000} -c 20 -P 8 -r 4000 del key:__rand_int__".split(),
             ("redis-benchmark -h 127.0.0.1 -p {port} -q -n {n:12000} -c 20 -P 8 -r 4000 append key:__rand_int__ "
              "tail-tail").split(),
             "redis-cli -h 127.0.0.1 -p {port} flushall async".split()),
       stop="redis-cli -h 127.0.0.1 -p {port} shutdown nosave".split()),
    _w("redis-steady", "redis-server --port {port} --bind 127.0.0.1 --save @ --appendonly no --dir . --loglevel warning "
       "--maxmemory 3mb --maxmemory-policy allkeys-lru --activedefrag no", "redis-server redis-tools", "BSD-3-Clause",
       "server in steady state: a mixed load at its memory limit, evicting", output="none",
       load=("redis-benchmark -h 127.0.0.1 -p {port} -q -n {n:3000} -c 20 -P 8 -r 100000 -d 300 -t set,lpush,rpop".split(),
             "redis-benchmark -h 127.0.0.1 -p {port} -q -n {n:18000} -c 20 -P 8 -r 3000 hset map:__rand_int__ "
             "field:__rand_int__ value".split(),
             "redis-benchmark -h 127.0.0.1 -p {port} -q -n {n:45000} -c 20 -P 8 -r 9000 -d 180 -t set,get".split(),
             "redis-benchmark -h 127.0.0.1 -p {port} -q -n {n:18000} -c 20 -P 8 -r 9000 setex tmp:__rand_int__ 2 "
             "a-value-that-soon-expires".split()),
       stop="redis-cli -h 127.0.0.1 -p {port} shutdown nosave".split(), program=False),
    _w("memcached", "memcached -p {port} -l 127.0.0.1 -U 0 -u root -m 4 -t 3 -P memcached.pid", "memcached",
       "BSD-3-Clause", "server under gets, sets and a monitor, 3 workers", scripts=("load.py",), output="none",
       load=(f"{LOAD} memcached {{port}} {{n:150000}} 6".split(),),
       stop=("sh", "-c", "kill $(cat memcached.pid)"), program=False),
    _w("nginx", "nginx -p . -c nginx.conf -e stderr", "nginx-light libssl3", "BSD-2-Clause",
       "TLS, compression and a proxy, in steady state", scripts=("load.py",), output="none",
       inputs={"large.txt": (make.text, 3000), "small.txt": (make.text, 90)}, files={"nginx.conf.in": make.NGINX},
       prepare=(("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"),),
       before=(("sh", "-c", "sed s/PORT/{port}/ nginx.conf.in > nginx.conf"),),
       load=(f"{LOAD} https {{port}} {{n:7000}} 4".split(),), stop=("sh", "-c", "kill -QUIT $(cat nginx.pid)"),
       program=False),
    _w("postgres", "{postgres}/postgres -D data -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= "
       "-c fsync=off -c shared_buffers=16MB -c autovacuum=off -c jit=off", "postgresql-15", "PostgreSQL",
       "one backend under pgbench: transactions, sorts, joins, in steady state", output="none",
       prepare=("{postgres}/initdb -D data -U bench --auth=trust --no-sync".split(),),
       files={"mixed.sql": make.PGBENCH},
       load=(("sh", "-c", "until {postgres}/pg_isready -q -h 127.0.0.1 -p {port}; do sleep 0.1; done"),
             f"{PGBENCH} -q -i -s 2 postgres".split(),
             f"{PGBENCH} -n -c 1 -t {{n:15500}} -b tpcb-like@6 -f mixed.sql@1 postgres".split()),
       stop=("sh", "-c", "kill -INT $(head -n1 data/postmaster.pid)"), unprivileged=True, child=True, program=False),
    _w("rustc", "/usr/bin/rustc --edition 2021 --crate-type lib -C opt-level=0 -C codegen-units=2 -o unit.rlib unit.rs",
       "rustc libstd-rust-1.63", "MIT or Apache-2.0", "rustc on generic code, 2 units of code",
       inputs={"unit.rs": (make.rust_source, 1)}, output="none", program=False),
    _w("pdflatex", "pdflatex -interaction=batchmode pages.tex", "texlive-latex-base", "LPPL and GPL-2+",
       "a document with formulas, tables and references", inputs={"pages.tex": (make.latex, 90)}, output="none",
       program=False),
    _w("ghostscript", "gs -q -dBATCH -dNOPAUSE -dSAFER -sDEVICE=png16m -dTextAlphaBits=4 -dGraphicsAlphaBits=4 -r60 "
       "-sOutputFile=/dev/null pages.pdf", "ghostscript", "AGPL-3+", "PDF to smoothed pixels",
       inputs={"pages.ps": (make.postscript, 120)},
       prepare=(("gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pdfwrite", "-o", "pages.pdf", "pages.ps"),),
       program=False),
    _w("imagemagick", "/usr/bin/convert mvg:drawing.mvg -resize 60% ( +clone -rotate 11 -charcoal 1 ) -composite -colors 64 "
       "out.png", "imagemagick-6.q16", "ImageMagick", "draw, scale, rotate, filter, reduce colours", output="none",
       inputs={"drawing.mvg": (make.drawing, 2000)}, program=False),
    _w("python-service", "/usr/bin/python3 service.py {n:7500}", "python3.11", PYTHON,
       "a threaded service in steady state, sessions expire, PYTHONMALLOC=malloc", scripts=("service.py",),
       environment={"PYTHONHASHSEED": "0", "PYTHONMALLOC": "malloc"}, program=False),
    _w("node-service", "/usr/bin/node server.js {port}", "nodejs", "MIT",
       "an HTTP service in steady state: JSON, hashes, compression", scripts=("server.js", "load.py"), output="none",
       load=(f"{LOAD} http {{port}} {{n:6000}} 4".split(),),
       stop=("/usr/bin/python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/quit').read()"),
       program=False),
]
BY_NAME = {workload.name: workload for workload in WORKLOADS}


class Unavailable(Exception):
    """The program is not installed, or its input could not be made."""


def compiler_part(name):
    """The compiler proper, which gcc would start as a child."""
    driver = shutil.which("gcc-12") or shutil.which("gcc")
    if not driver:
        raise Unavailable(f"{name}: no gcc is installed (package gcc-12)")
    return subprocess.run([driver, f"-print-prog-name={name}"], capture_output=True, text=True,
                          check=True).stdout.strip()


def postgres_directory():
    """Debian keeps the server's programs out of the PATH, one directory a version; the newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parent.parent.name))
    there = found[-1] if found else shutil.which("postgres")
    if not there:
        raise Unavailable("postgres: 'postgres' is not installed (package postgresql)")
    return str(Path(there).parent)


def fill(word, work, port=0, scale=1.0):
    """One argument with its placeholders replaced; '@' stands for an empty argument."""
    if word == "@":
        return ""
    word = re.sub(r"\{n:(\d+)\}", lambda found: str(max(1, int(int(found[1]) * scale))), word)
    if "{postgres}" in word:
        word = word.replace("{postgres}", postgres_directory())
    for name in ("cc1plus", "cc1"):
        if "{" + name + "}" in word:
            word = word.replace("{" + name + "}", compiler_part(name))
    return word.replace("{work}", str(work)).replace("{port}", str(port))


def user_prefix(workload):
    """What runs a program that refuses root: root becomes another user there, with the same access to files."""
    if not workload.unprivileged or os.geteuid():
        return []
    words = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        raise Unavailable(f"{workload.name}: it refuses to run as root, and '{' '.join(words)}' is not permitted here; "
                          "run make traces as another user")
    return words


def program(workload, work, port=0, scale=1.0):
    """The command line of the program, its first word an absolute path."""
    argv = [fill(word, work, port, scale) for word in workload.argv]
    path = shutil.which(argv[0])
    if not path:
        raise Unavailable(f"{workload.name}: '{argv[0]}' is not installed (package {workload.packages[0]})")
    return [path] + argv[1:]


def environment(workload, work):
    """Variables of the workload, on top of a small fixed set, so that the caller's do not reach the program."""
    fixed = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC",
             "HOME": str(work), "TERM": "dumb"}
    fixed.update({name: fill(value, work) for name, value in workload.environment.items()})
    return fixed


def run_commands(workload, commands, work, port=0, scale=1.0):
    """Commands that make inputs, one after the other."""
    for command in commands:
        words = user_prefix(workload) + [fill(word, work, port, scale) for word in command]
        if not shutil.which(words[0]):
            raise Unavailable(f"{workload.name}: '{words[0]}' is not installed; it makes the input")
        done = subprocess.run(words, cwd=work, capture_output=True, text=True, check=False,
                              env={**os.environ, **environment(workload, work)})
        if done.returncode:
            raise Unavailable(f"{workload.name}: making its input with '{' '.join(command)}' ended with "
                              f"{done.returncode}: {done.stderr.strip()[-300:]}")


def prepare(workload, root, scale=1.0):
    """Make the inputs below root, once; return their directory."""
    key = repr((workload.inputs and {f: (g.__name__, n) for f, (g, n) in workload.inputs.items()}, workload.files,
                workload.prepare, round(scale, 6),
                [hashlib.sha256((HERE / name).read_bytes()).hexdigest() for name in ("inputs.py",
                                                                                     *workload.scripts)]))
    work = Path(root).resolve() / f"{workload.name}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    if (work / ".complete").exists():
        return work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name, (generator, count) in workload.inputs.items():
        (work / name).write_text(generator(max(1, int(count * scale))), encoding="utf-8")
    for name in workload.scripts:
        shutil.copy(HERE / name, work / name)
    for name, content in workload.files.items():
        (work / name).write_text(content, encoding="utf-8")
    run_commands(workload, workload.prepare, work, scale=scale)
    (work / ".complete").touch()
    return work
