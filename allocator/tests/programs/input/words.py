import collections, json, re, sqlite3, subprocess, sys, threading
words = [str(i * 7919 % 10007) for i in range(60000)]
counts = collections.Counter(words)
text = json.dumps({w: list(range(n)) for w, n in counts.items()})
found = []
def work(part):
    found.append((part, len(re.findall(r"1\d*2", text[part::4]))))
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
db = sqlite3.connect(":memory:")
db.execute("create table t(w text, n int)")
db.executemany("insert into t values(?,?)", sorted(counts.items()))
print(len(text), sorted(found), db.execute("select count(*), sum(n) from t").fetchall())
print(subprocess.run(["echo", "child"], capture_output=True).stdout)
print(sum(len(json.loads(text)) for _ in range(3)))
