"""What clients send to a server, as MONITOR shows it."""

import re
import socket

LINE = re.compile(rb'\+(\d+\.\d+) \[\d+ ([^\]]+)\] (.*)\r\n', re.DOTALL)
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
END = b"end of the recording"


def unescape(word):
    def one(match):
        code = match.group(1)
        return bytes([int(code[1:], 16)]) if len(code) == 3 else PLAIN.get(code, code)

    return ESCAPE.sub(one, word)


class Recording:
    """Records between its construction and `stop`."""

    def __init__(self, port):
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._stream = self._connection.makefile("rb")
        self._port = port
        self._connection.sendall(b"MONITOR\r\n")
        assert self._stream.readline() == b"+OK\r\n"

    def stop(self):
        """The commands that clients sent, each a list of words; not those that scripts ran."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as other:
            other.sendall(b"*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n" % (len(END), END))
            other.recv(100)
        commands = []
        for line in self._stream:
            match = LINE.fullmatch(line)
            if match is None or match.group(2) == b"lua":
                continue
            words = [unescape(word) for word in WORD.findall(match.group(3))]
            if words[1:] == [END]:
                break
            commands.append(words)
        self._connection.close()
        return commands
