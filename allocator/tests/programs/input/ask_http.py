"""SOCKET NAME...: 8 clients fetch each name 40 times; prints statuses and digests of what came."""
import gzip, hashlib, http.client, socket, sys, threading

seen = set()


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])


def client():
    connection = Connection("localhost")
    for round in range(40):
        for name in sys.argv[2:]:
            connection.request("GET", f"/{name}", headers={"Accept-Encoding": "gzip" if round % 2 else "identity"})
            answer = connection.getresponse()
            body = answer.read()
            body = gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body
            seen.add((name, answer.status, hashlib.md5(body).hexdigest()))


threads = [threading.Thread(target=client) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
print(*sorted(seen), sep="\n")
