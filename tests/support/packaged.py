"""The Lua scripts inside the packages that are installed beside this interpreter and below NODE_PATH.

As well as those in tests/realcode/alike, which stand for packages in other languages.
"""

import ast
import importlib.util
import json
import pathlib
import re
import subprocess
import textwrap

PYTHON = ["limits", "throttled", "walrus", "coredis", "redis", "rq", "huey", "pyrate_limiter", "redis_lock", "dramatiq"]
ALIKE = pathlib.Path(__file__).resolve().parents[1] / "realcode" / "alike"

# How much is shown of a script without a name.
WORDS = 40

# Both carry each script with its includes resolved, as the text of a module.
NODE = """
const fs = require('node:fs');
const path = require('node:path');
const scripts = {};
for (const [name, folder] of Object.entries({ bull: 'lib/scripts', bullmq: 'scripts' })) {
    const directory = path.join(path.dirname(require.resolve(name)), folder);
    for (const file of fs.readdirSync(directory).filter((file) => file.endsWith('.js'))) {
        for (const script of Object.values(require(path.join(directory, file)))) {
            if (script && script.content) scripts[`${name}/${script.name}`] = script.content;
        }
    }
}
console.log(JSON.stringify(scripts));
"""


def of_python(package):
    """The package's files of Lua, and the strings in its code that call the server."""
    root = pathlib.Path(importlib.util.find_spec(package).origin).parent
    for path in sorted(root.rglob("*.lua")):
        yield f"{package}/{path.stem}", path.read_text()
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(errors="replace")
        if "redis.call" not in text:
            continue
        tree = ast.parse(text)
        bodies = (node for node in ast.walk(tree) if hasattr(node, "body") and isinstance(node.body, list))
        prose = {id(node.body[0].value) for node in bodies if node.body and isinstance(node.body[0], ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)) and id(node) not in prose:
                value = node.value if isinstance(node.value, str) else node.value.decode(errors="replace")
                if "redis.call" in value:
                    yield f"{package}/{path.stem}:{node.lineno}", textwrap.dedent(value)


def of_node():
    output = subprocess.run(["node", "-e", NODE], check=True, capture_output=True, text=True).stdout
    yield from json.loads(output).items()


def all_scripts():
    """Names and texts of all scripts."""
    found = dict(of_node())
    found.update({f"alike/{path.stem}": path.read_text() for path in sorted(ALIKE.glob("*.lua"))})
    for package in PYTHON:
        found.update(of_python(package))
    return found


def without_comments(code):
    return re.sub(r"--(\[(=*)\[.*?\]\2\]|[^\n]*)", "", code, flags=re.DOTALL)


class Names:
    """The names of the packages' scripts, whatever their spaces."""

    def __init__(self):
        self._names = {self._words(code): name for name, code in all_scripts().items()}

    def of(self, code):
        """The name of a script, or its first words."""
        words = self._words(code)
        return self._names.get(words) or (words if len(words) <= WORDS else words[: WORDS - 3] + "...")

    @staticmethod
    def _words(code):
        return " ".join(without_comments(code).split())
