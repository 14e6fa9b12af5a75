"""Writes what real packages send to a server, for the benchmark: target/recordings/traffic.resp.

A command of the protocol for each line of it: `LIBRARY name code` for each script as a function of that name,
`CALL package label function word ...` for each call of one, and `COMMAND package word ...` for what is sent beside
them.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from main import NODE, PYTHON, record, replayable  # noqa: E402
from packaged import Names  # noqa: E402

FILE = HERE.parents[1] / "target" / "recordings" / "traffic.resp"


def encoded(*words):
    words = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def main():
    names, lines = Names(), []
    for package in [*PYTHON, *NODE]:
        scripts, commands = replayable(record(package))
        lines += [encoded("LIBRARY", script.name, script.library) for script in scripts.values()]
        for digest, words in commands:
            if digest is None:
                lines.append(encoded("COMMAND", package, *words))
            else:
                script = scripts[digest]
                lines.append(encoded("CALL", package, names.of(script.code), script.name, *words))
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_bytes(b"".join(lines))
    print(f"recorded {len(lines)} lines: {FILE.relative_to(HERE.parents[1])}")


if __name__ == "__main__":
    main()
