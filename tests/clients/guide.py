"""Runs the tests that docs/writing-libraries.md shows for Python and Node.js, with the library that they are about.

Each must pass, and must fail when the library is wrong.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))

from server import Server, description  # noqa: E402
from undeclared import REPORT, Findings  # noqa: E402

# What runs a block of the language, which is in the file `test`. The block for Python is written for pytest.
RUN_ALL = "for name, test in list(globals().items()):\n    if name.startswith('test_'):\n        test()\n"
LANGUAGES = {"python": [sys.executable, "-B", "test"], "js": ["node", "test"]}


def block(language, word):
    """The block of this language with this word in it."""
    page = (ROOT / "docs/writing-libraries.md").read_text()
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", page, re.S) if word in text]
    return found


def passes(language, library, undeclared):
    """Whether the test in this language passes with this library."""
    with Server(REPORT) as server, tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory)
        (path / "votes.lua").write_text(library)
        (path / "test").write_text(block(language, "votes.lua") + (RUN_ALL if language == "python" else ""))
        environment = {**os.environ, "PORT": str(server.port)}
        ended = subprocess.run(
            LANGUAGES[language], cwd=path, env=environment, timeout=60, capture_output=True, text=True
        )
        undeclared.look("guide", server.port)
        return ended.returncode == 0, ended.stdout + ended.stderr


def main():
    print(description(), flush=True)
    library = block("lua", "name=votes")
    wrong = library.replace('redis.call("HSET", keys[1], voter, option)', "7")
    assert wrong != library
    results, undeclared = [], Findings()
    for language in LANGUAGES:
        (passed, printed), (missed, _) = (passes(language, each, undeclared) for each in (library, wrong))
        results.append(passed and not missed)
        print(f"{'ok' if results[-1] else 'FAILED':6}  the guide's test for {language}", flush=True)
        if not passed:
            print(printed)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    as_listed = undeclared.finish("clients", ["guide"], False)
    return 0 if all(results) and as_listed else 1


if __name__ == "__main__":
    sys.exit(main())
