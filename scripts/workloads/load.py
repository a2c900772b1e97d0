"""Clients for servers that are recorded: a fixed number of requests, the same for every run.

usage: load.py memcached|http|https PORT REQUESTS [CLIENTS]
"""
import http.client
import random
import socket
import ssl
import sys
import threading


def text(random_, low, high):
    return bytes(random_.choices(b"abcdefghijklmnop", k=random_.randint(low, high)))


class Memcached:
    """Sets, gets of many keys, appends, deletes and the statistics that a monitor asks for; short connections."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rwb")

    def ask(self, request, ends):
        self.file.write(request)
        self.file.flush()
        while not (line := self.file.readline()).startswith(ends):
            if not line:
                raise SystemExit("load: memcached closed the connection")

    def request(self, random_):
        key = b"key%d" % int(random_.paretovariate(0.6) % 20000)
        kind = random_.random()
        if kind < 0.3:
            value = text(random_, 10, 400) * random_.choice([1, 1, 1, 20])
            self.ask(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), (b"STORED", b"SERVER_ERROR"))
        elif kind < 0.75:
            keys = b" ".join(b"key%d" % random_.randrange(20000) for _ in range(random_.choice([1, 2, 40])))
            self.ask(b"get " + keys + b"\r\n", b"END")
        elif kind < 0.8:
            self.ask(b"append %s 0 0 4\r\ntail\r\n" % key, (b"STORED", b"NOT_STORED", b"SERVER_ERROR"))
        elif kind < 0.85:
            self.ask(b"delete %s\r\n" % key, (b"DELETED", b"NOT_FOUND"))
        else:
            self.ask(b"stats" + random_.choice([b"", b" items", b" slabs", b" settings", b" conns"]) + b"\r\n", b"END")

    def close(self):
        self.file.close()
        self.socket.close()


class Http:
    """Pages of several sizes, compressed or not, some through the proxy, some missing."""

    def __init__(self, port, secure=False):
        context = ssl._create_unverified_context() if secure else None
        self.connection = (http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context) if secure
                           else http.client.HTTPConnection("127.0.0.1", port, timeout=60))

    def request(self, random_):
        path = random_.choice(["/small.txt", "/large.txt", "/proxy/small.txt", "/proxy/large.txt", "/none"])
        headers = {f"X-Field-{n}": "v" * random_.randint(1, 120) for n in range(random_.randint(0, 6))}
        if random_.random() < 0.5:
            headers["Accept-Encoding"] = "gzip"
        self.connection.request("GET", f"{path}?id={random_.randrange(1000)}", headers=headers)
        self.connection.getresponse().read()

    def close(self):
        self.connection.close()


KINDS = {"memcached": Memcached, "http": Http, "https": lambda port: Http(port, True)}


def client(kind, port, requests, seed, failures):
    random_ = random.Random(f"heaplay load {seed}")
    left = requests
    try:
        while left > 0:
            connection = KINDS[kind](port)
            for _ in range(min(left, random_.choice([1, 5, 40]))):
                connection.request(random_)
                left -= 1
            connection.close()
    except (OSError, http.client.HTTPException, SystemExit) as error:
        failures.append(error)


def main():
    kind, port, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    clients, failures = int(sys.argv[4]) if len(sys.argv) > 4 else 4, []
    threads = [threading.Thread(target=client, args=(kind, port, requests // clients, n, failures))
               for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"load: {failures[0]!r}")


main()
