"""Generated inputs. The same seed and scale give the same bytes on every machine; nothing is fetched."""

import random
import string


def rng(name):
    """A generator of its own for each input, so that one input's length never changes another's content."""
    return random.Random(f"heaplay workload {name}")


def words(random_, count, vocabulary=4000):
    """Zipf-like text: few frequent words, many rare ones."""
    letters = string.ascii_lowercase
    book = ["".join(random_.choices(letters, k=random_.randint(2, 11))) for _ in range(vocabulary)]
    weights = [1.0 / (rank + 2) for rank in range(vocabulary)]
    return random_.choices(book, weights, k=count)


def text(count):
    random_ = rng("text")
    all_words = words(random_, count)
    lines, at = [], 0
    while at < count:
        length = random_.randint(4, 14)
        lines.append(" ".join(all_words[at:at + length]))
        at += length
    return "\n".join(lines) + "\n"


def c_source(functions):
    """C with structures, switches, loops, calls and floating point, for compilers."""
    random_ = rng("c")
    out = ["#include <stddef.h>", "#include <stdint.h>", "#include <string.h>", ""]
    for n in range(max(4, functions // 12)):
        fields = "".join(f" {random_.choice(['int', 'long', 'double', 'uint8_t', 'char *'])} f{k};"
                         for k in range(random_.randint(3, 9)))
        out.append(f"struct s{n} {{{fields} struct s{n} *next; int key; }};")
    structs = max(4, functions // 12)
    for n in range(functions):
        s = random_.randrange(structs)
        calls = f" + g{random_.randrange(n)}(n - 1, a)" if n > 2 else ""
        cases = "".join(f"        case {k}: x ^= a[{random_.randint(0, 15)}] << {random_.randint(1, 13)}; "
                        f"y *= {random_.random():.6f}; break;\n" for k in range(random_.randint(4, 14)))
        out.append(
            f"long g{n}(int n, const int *a)\n{{\n    struct s{s} local = {{0}}, *p = &local;\n"
            f"    long x = {random_.randint(1, 9999)};\n    double y = {random_.random():.6f};\n"
            f"    if (n <= 0)\n        return x;\n    for (int i = 0; i < n; i++) {{\n        p->key += a[i & 15];\n"
            f"        switch ((i * {random_.randint(3, 77)}) & 15) {{\n{cases}"
            f"        default: x += (long)y + p->key; break;\n        }}\n"
            f"        for (int j = i; j < n; j += {random_.randint(1, 5)})\n"
            f"            x += a[j & 15] * (long)(y * {random_.randint(2, 99)}.5) - p->key;\n    }}\n"
            f"    memcpy(&y, &x, sizeof y);\n    return x + (long)y{calls};\n}}\n")
    return "\n".join(out)


def cxx_source(classes):
    random_ = rng("c++")
    out = ["#include <algorithm>", "#include <functional>", "#include <map>", "#include <memory>",
           "#include <sstream>",
           "#include <string>", "#include <unordered_map>", "#include <vector>", ""]
    for n in range(classes):
        kind = random_.choice(["std::map<std::string, int>", "std::unordered_map<int, std::string>",
                               "std::vector<std::unique_ptr<int>>", "std::map<int, std::vector<std::string>>"])
        out.append(
            f"template <typename T> struct box{n} {{\n    T value; {kind} held;\n"
            f"    template <typename F> auto apply(F f) const {{ return f(value); }}\n"
            f"    std::string text() const {{ std::ostringstream o; o << value << held.size(); "
            f"return o.str(); }}\n}};\n"
            f"std::size_t use{n}(int n)\n{{\n    box{n}<int> a{{n, {{}}}}; box{n}<double> b{{n * 0.5, {{}}}};\n"
            f"    std::vector<std::function<int(int)>> fs;\n"
            f"    for (int i = 0; i < n; i++) fs.push_back([i, &a](int x) {{ return a.apply([x](int v)"
            f" {{ return v + x; }}) + i; }});\n"
            f"    std::sort(fs.begin(), fs.end(), [](const auto &l, const auto &r) {{ return l(1) < r(1); }});\n"
            f"    return a.text().size() + b.text().size() + fs.size();\n}}\n")
    return "\n".join(out)


def json_value(random_, depth):
    kind = random_.random()
    if depth == 0 or kind < 0.3:
        return random_.choice([lambda: str(random_.randint(-10**6, 10**9)), lambda: f"{random_.random() * 1e4:.4f}",
                               lambda: '"' + " ".join(words(random_, random_.randint(1, 6), 50)) + '"',
                               lambda: random_.choice(["true", "false", "null"])])()
    if kind < 0.6:
        return "[" + ", ".join(json_value(random_, depth - 1) for _ in range(random_.randint(0, 6))) + "]"
    return "{" + ", ".join(f'"k{random_.randint(0, 300)}": {json_value(random_, depth - 1)}'
                           for _ in range(random_.randint(1, 7))) + "}"


def json_lines(count):
    """One record a line, as logs and dumps have it."""
    random_ = rng("json")
    book = words(random_, 3000)
    out = []
    for n in range(count):
        tags = ", ".join(f'"{random_.choice(book)}"' for _ in range(random_.randint(0, 6)))
        out.append(f'{{"id": {n}, "name": "{random_.choice(book)} {random_.choice(book)}", "score": '
                   f'{random_.random() * 100:.3f}, "group": "g{random_.randint(0, 40)}", "tags": [{tags}], '
                   f'"extra": {json_value(random_, 2)}}}')
    return "\n".join(out) + "\n"


def sql(rows):
    random_ = rng("sql")
    book = words(random_, 5000)
    out = ["PRAGMA journal_mode=MEMORY;", "BEGIN;",
           "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, grp INT, price REAL, note TEXT);",
           "CREATE TABLE sale(item INT, day INT, amount INT);"]
    for n in range(rows):
        out.append(f"INSERT INTO item VALUES({n}, '{random_.choice(book)}{n}', {random_.randint(0, 50)}, "
                   f"{random_.random() * 99:.2f}, '{' '.join(random_.choices(book, k=random_.randint(1, 12)))}');")
        out.append(f"INSERT INTO sale VALUES({random_.randint(0, n)}, {random_.randint(0, 365)}, "
                   f"{random_.randint(1, 9)});")
        if n % 50 == 49:
            out.append(f"SELECT grp, count(*), sum(price) FROM item WHERE id > {n - 50} GROUP BY grp ORDER BY 3;")
            out.append(f"UPDATE item SET note = note || upper(name) WHERE id % 97 = {n % 97};")
    out += ["CREATE INDEX item_name ON item(name);", "COMMIT;",
            "SELECT i.grp, group_concat(DISTINCT substr(i.name, 1, 3)), sum(s.amount * i.price) FROM item i "
            "JOIN sale s ON s.item = i.id GROUP BY i.grp ORDER BY 3 DESC;",
            "SELECT name, length(note) FROM item WHERE note LIKE '%ab%' ORDER BY note LIMIT 200;"]
    return "\n".join(out) + "\n"


def git_stream(commits):
    """A stream for git fast-import: a tree of files, edited here and there by each commit."""
    random_ = rng("git")
    book = words(random_, 4000)
    files = {f"d{n % 12}/f{n}.txt": [" ".join(random_.choices(book, k=8)) for _ in range(random_.randint(10, 120))]
             for n in range(90)}
    names, out = sorted(files), []

    def put(path):
        data = "\n".join(files[path]) + "\n"
        return f"M 100644 inline {path}\ndata {len(data)}\n{data}\n"

    for n in range(commits):
        message = " ".join(random_.choices(book, k=random_.randint(3, 20)))
        changed = names if n == 0 else random_.sample(names, random_.randint(1, 6))
        for path in changed:
            lines = files[path]
            for _ in range(random_.randint(1, 5)):
                lines[random_.randrange(len(lines))] = " ".join(random_.choices(book, k=8))
            if random_.random() < 0.4:
                lines.insert(random_.randrange(len(lines)), " ".join(random_.choices(book, k=6)))
        out.append(f"commit refs/heads/main\ncommitter A U Thor <author@example.com> {1600000000 + n * 3600} +0000\n"
                   f"data {len(message)}\n{message}\n" + "".join(put(path) for path in changed))
    return "".join(out)


def xml(records):
    random_ = rng("xml")
    book = words(random_, 3000)
    out = ['<?xml version="1.0"?>', '<catalog xmlns:x="urn:example">']
    for n in range(records):
        out.append(f'<book id="b{n}" x:lang="{random_.choice(["en", "de", "fr"])}"><title>'
                   f'{" ".join(random_.choices(book, k=4))}</title><price>{random_.random() * 50:.2f}</price>')
        for _ in range(random_.randint(0, 5)):
            out.append(f'<author role="{random_.choice(book)}">{random_.choice(book)} &amp; '
                       f'{random_.choice(book)}</author>')
        out.append(f"<p>{' '.join(random_.choices(book, k=20))} <b>{random_.choice(book)}</b> tail</p></book>")
    return "\n".join(out) + "\n</catalog>\n"


XSLT = """<?xml version="1.0"?>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:output method="text"/>
<xsl:key name="by-role" match="author" use="@role"/>
<xsl:template match="/catalog"><xsl:for-each select="book"><xsl:sort select="title"/>
<xsl:value-of select="concat(position(), ' ', title, ' ', translate(p, 'abc', 'xyz'))"/><xsl:text>
</xsl:text><xsl:for-each select="author"><xsl:value-of select="count(key('by-role', @role))"/>,</xsl:for-each>
</xsl:for-each></xsl:template></xsl:stylesheet>
"""


def dot_graph(nodes):
    random_ = rng("dot")
    edges = [f"n{n} -> n{random_.randrange(max(0, n - 25), n)};" for n in range(1, nodes)]
    edges += [f'n{random_.randrange(nodes)} -> n{random_.randrange(nodes)} [label="e{k}"];'
              for k in range(nodes // 5)]
    return "digraph g { rankdir=LR; node [shape=box];\n" + "\n".join(edges) + "\n}\n"


def postscript(pages):
    random_ = rng("ps")
    out = ["%!PS-Adobe-3.0", "/Times-Roman findfont 9 scalefont setfont"]
    for page in range(pages):
        y = 780
        while y > 60:
            line = " ".join(words(random_, 12, 200))
            out.append(f"40 {y} moveto ({line}) show")
            y -= 11
        for _ in range(60):
            x, y = random_.randint(40, 500), random_.randint(60, 700)
            out.append(f"newpath {x} {y} moveto {x + random_.randint(5, 90)} {y + random_.randint(5, 90)} "
                       f"{random_.randint(40, 500)} {random_.randint(60, 700)} {x} {y + 40} curveto "
                       f"{random_.random():.2f} {random_.random():.2f} {random_.random():.2f} setrgbcolor fill")
        out.append(f"/dict{page} 200 dict def 0 1 199 {{ dup 20 string cvs cvn exch dict{page} 3 1 roll put }} for "
                   "showpage")
    return "\n".join(out) + "\n"


def smt(variables):
    """Bounded linear constraints over integers and some bit vectors: work for a solver, with an answer."""
    random_ = rng("smt")
    out = ["(set-option :smt.random_seed 1)", "(set-option :sat.random_seed 1)"]
    for n in range(variables):
        out.append(f"(declare-const x{n} Int)(assert (and (>= x{n} 0) (<= x{n} 40)))"
                   f"(declare-const b{n} (_ BitVec 16))")
    for _ in range(variables * 2):
        i, j, k = (random_.randrange(variables) for _ in range(3))
        out.append(f"(assert (or (<= (+ x{i} (* {random_.randint(2, 5)} x{j})) (+ x{k} {random_.randint(20, 90)})) "
                   f"(= x{j} {random_.randint(0, 20)})))")
        out.append(f"(assert (or (bvult (bvadd b{i} b{j}) b{k}) (= (bvand b{i} #x{random_.randrange(65536):04x}) "
                   f"#x0000) (bvugt (bvxor b{j} b{k}) #x{random_.randrange(65536):04x})))")
    return "\n".join(out) + "\n(check-sat)\n"


def rust_source(items):
    """Structures, traits, generics, closures and matches, for rustc."""
    random_ = rng("rust")
    out = ["use std::collections::{BTreeMap, HashMap};", "use std::fmt::Debug;",
           "pub trait Area { fn area(&self) -> f64; fn scale(&mut self, by: f64); }"]
    for n in range(items):
        fields = [f"f{k}" for k in range(random_.randint(2, 6))]
        variants = ", ".join(f"V{k}(u{random_.choice([8, 16, 32, 64])})" for k in range(random_.randint(2, 7)))
        arms = " ".join(f"E{n}::V{k}(x) => x as u64 * {random_.randint(1, 99)}," for k in range(variants.count("V")))
        out.append(
            f"#[derive(Clone, Debug, PartialEq)]\npub struct S{n} {{ {', '.join(f'pub {f}: f64' for f in fields)} }}\n"
            f"#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]\npub enum E{n} {{ {variants} }}\n"
            f"impl Area for S{n} {{\n    fn area(&self) -> f64 {{ {' * '.join('self.' + f for f in fields)} }}\n"
            f"    fn scale(&mut self, by: f64) {{ {' '.join(f'self.{f} *= by;' for f in fields)} }}\n}}\n"
            f"impl E{n} {{ pub fn weight(self) -> u64 {{ match self {{ {arms} }} }} }}\n"
            f"pub fn group{n}<T: Area + Clone + Debug>(items: &[T], keys: &[E{n}]) -> BTreeMap<u64, Vec<(E{n}, T)>> {{\n"
            f"    let mut found: HashMap<u64, Vec<(E{n}, T)>> = HashMap::new();\n"
            f"    for (item, key) in items.iter().zip(keys) {{\n"
            f"        if item.area() > {random_.randint(1, 50)}.5 {{\n"
            f"            found.entry(key.weight() % {random_.randint(3, 31)}).or_default()"
            f".push((*key, item.clone()));\n        }}\n    }}\n"
            f"    let text: Vec<String> = items.iter().map(|i| format!(\"{{:?}}\", i)).filter(|t| t.len() > 9).collect();\n"
            f"    found.retain(|_, v| v.len() < text.len());\n    found.into_iter().collect()\n}}\n"
            f"pub fn use{n}(a: S{n}, keys: Vec<E{n}>) -> usize {{ group{n}(&vec![a; keys.len()], &keys).len() }}")
    return "\n".join(out) + "\n"


def latex(pages):
    random_ = rng("latex")
    out = [r"\documentclass{article}", r"\begin{document}", r"\tableofcontents"]
    for page in range(pages):
        out.append(rf"\section{{{' '.join(words(random_, 4, 300))}}}\label{{s{page}}}")
        for _ in range(5):
            out.append(" ".join(words(random_, 70, 300)) + rf" (see \ref{{s{random_.randrange(pages)}}})."
                       + rf"\footnote{{{' '.join(words(random_, 9, 300))}}}" + "\n")
            out.append(rf"\begin{{equation}} \sum_{{k=1}}^{{{random_.randint(3, 99)}}} \frac{{x_k^{random_.randint(2, 9)}}}"
                       rf"{{\sqrt{{k+{random_.randint(1, 9)}}}}} = \int_0^1 f(t)\,dt \end{{equation}}")
        out.append(r"\begin{tabular}{lrr}" + r" \\ ".join(
            f"{word} & {random_.randint(1, 999)} & {random_.random():.3f}" for word in words(random_, 12, 300))
            + r"\end{tabular}")
    return "\n".join(out + [r"\end{document}"]) + "\n"


def drawing(shapes):
    """Shapes in ImageMagick's drawing language."""
    random_ = rng("drawing")
    out = ["viewbox 0 0 640 480", "fill white", "rectangle 0,0 640,480"]
    for _ in range(shapes):
        x, y, n = random_.randrange(600), random_.randrange(440), random_.randint(3, 30)
        shape = random_.choice([f"circle {x},{y} {x + n},{y}", f"roundrectangle {x},{y} {x + n},{y + n} 2,2",
                                f"path 'M {x},{y} C {x + n},{y} {x},{y + n} {x + 9},{y + 9} Z'",
                                f"polyline {x},{y} {x + n},{y + 5} {x - 9},{y + 15} {x},{y + 40}"])
        out += [f"fill rgb({random_.randrange(256)},{random_.randrange(256)},{random_.randrange(256)})", shape]
    return "\n".join(out) + "\n"


NGINX = """daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path tmp-body; proxy_temp_path tmp-proxy; fastcgi_temp_path tmp-fastcgi;
  uwsgi_temp_path tmp-uwsgi; scgi_temp_path tmp-scgi;
  gzip on; gzip_min_length 100; gzip_types text/plain;
  ssl_certificate cert.pem; ssl_certificate_key key.pem;
  upstream self { server 127.0.0.1:PORT; }
  server {
    listen 127.0.0.1:PORT ssl;
    root .;
    location /proxy/ { proxy_pass https://self/; }
  }
}
"""

PGBENCH = """\\set a random(1, 200000)
\\set g random(1, 40)
SELECT bid, count(*), sum(abalance), array_agg(aid ORDER BY filler DESC, aid) FROM pgbench_accounts
 WHERE aid BETWEEN :a AND :a + 300 GROUP BY bid, aid % :g ORDER BY 3;
SELECT t.tid, string_agg(md5(a.aid::text), ',') FROM pgbench_accounts a JOIN pgbench_tellers t ON a.aid % 20 = t.tid % 20
 WHERE a.aid BETWEEN :a AND :a + 100 GROUP BY t.tid HAVING count(*) > 1;
SELECT jsonb_object_agg(k, jsonb_build_object('n', k, 'text', repeat('x', k))) FROM generate_series(1, :g) k;
WITH RECURSIVE walk(n, t) AS (SELECT 1, 'a' UNION ALL SELECT n + 1, t || n FROM walk WHERE n < :g) SELECT max(t) FROM walk;
"""


def bison_grammar(rules):
    random_ = rng("bison")
    out = ["%token NUM ID", "%start r0", "%%"]
    for n in range(rules):
        alternatives = [f"T{n} NUM"] + [f"T{n}_{k} r{random_.randint(n + 1, min(rules, n + 9))} ID"
                                        for k in range(random_.randint(2, 5))]
        out.append(f"r{n}: " + " | ".join(alternatives) + ";")
    out.append(f"r{rules}: ID;")
    tokens = sorted({w for line in out for w in line.split() if w.startswith("T")})
    return "\n".join(["%token " + " ".join(tokens)] + out) + "\n"


def cmake_project(targets):
    random_ = rng("cmake")
    out = ["cmake_minimum_required(VERSION 3.18)", "project(generated LANGUAGES NONE)", "set(all)"]
    for n in range(targets):
        args = " ".join(f"s{random_.randint(0, 999)}" for _ in range(8))
        out.append(f"set(list{n} {args})\nforeach(item IN LISTS list{n})\n"
                   f"  string(REGEX REPLACE \"s([0-9]+)\" \"v\\\\1\" "
                   f"out \"${{item}}\")\n  list(APPEND all \"${{out}}-{n}\")\nendforeach()\n"
                   f"add_custom_command(OUTPUT o{n}.txt COMMAND echo {n} DEPENDS "
                   f"{f'o{random_.randrange(n)}.txt' if n else ''})\nadd_custom_target(t{n} DEPENDS o{n}.txt)")
        if n % 20 == 0:
            out.append("list(SORT all)\nlist(REMOVE_DUPLICATES all)")
    out.append("list(LENGTH all n)\nmessage(STATUS \"${n}\")")
    return "\n".join(out) + "\n"
