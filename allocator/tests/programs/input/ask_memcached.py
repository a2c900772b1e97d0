"""SOCKET: 4 clients set, get and delete; prints what came back."""
import hashlib, socket, sys, threading

found = []


def client(number):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    stream = connection.makefile("rwb")
    digest = hashlib.md5()
    for i in range(3000):
        key, value = b"%d-%d" % (number, i % 500), b"x" * (i * 37 % 5000)
        stream.write(b"set %s 0 0 %d\r\n%s\r\nget %s\r\n" % (key, len(value), value, key))
        stream.write(b"delete %s\r\n" % key if i % 3 == 0 else b"touch %s 0\r\n" % key)
        stream.flush()
        for _ in range(5):
            digest.update(stream.readline())
    found.append((number, digest.hexdigest()))


threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(sorted(found))
