"""The undeclared keys that the module finds in real packages: collected, shown, and held against a list.

The list is tests/packages/undeclared-keys.txt, which says what must be found of which package, and of which packages
nothing may be.
"""

import collections
import fnmatch
import pathlib

import redis

LIST = pathlib.Path(__file__).resolve().parents[1] / "packages" / "undeclared-keys.txt"

# What a server with the module needs to find them.
REPORT = ["undeclared-keys", "report"]

# How much is shown of a key.
KEY = 60

# The fields of INFO that count what was found.
TOTALS = ("shadow_undeclared_keys", "shadow_scripts_undeclared_keys")

# What was found: a command in a line of a script that reached such keys. Line 0 has what the server no longer had
# a line of.
Place = collections.namedtuple("Place", "package script command line")


def expectations(where):
    """The lines of the list for one target: package, script, command and key, as patterns."""
    for line in LIST.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words and words[0] in (where, "both"):
            yield words[1:]


def pairs(reply):
    """A map of RESP2."""
    return dict(zip(reply[::2], reply[1::2]))


class Findings:
    """What was found in the course of a run, whichever server it was.

    A server keeps the last few places of each function or script, and a flush takes them away. So it is asked often.
    """

    def __init__(self):
        self.counts = collections.Counter()
        # The keys of each place, the last one last.
        self.keys = collections.defaultdict(list)
        self.total = 0
        self._seen = {}

    def begin(self):
        """What comes next is from a fresh server."""
        self._seen = {}

    def collect(self, package, send, name_of, first_line=1):
        """Asks a server what was found since it was asked last.

        `send` sends it a command, and gives the reply of RESP2. `name_of` names a function or a digest; the script
        itself begins in line `first_line` of its library.
        """
        for kind in (b"FUNCTION", b"SCRIPT"):
            for reply in send(b"SHADOW." + kind, b"KEYS"):
                found = pairs(reply)
                known = found[kind.lower()].decode()
                name = name_of(known)
                left = collections.Counter()
                for command, count in pairs(found[b"commands"]).items():
                    left[command] = self._new((known, command), count)
                for case in map(pairs, found[b"cases"]):
                    command = case[b"command"]
                    line = max(case[b"line"] - first_line + 1, 0)
                    count = self._new((known, command, line), case[b"count"])
                    if count:
                        self._add(Place(package, name, command.decode(), line), count, case[b"key"])
                        left[command] -= count
                for command, count in left.items():
                    if count > 0:
                        self._add(Place(package, name, command.decode(), 0), count, b"")

    def count(self, info):
        """Adds what a server has counted in all, by its INFO: at its end."""
        self.total += sum(info[field] for field in TOTALS)

    def look(self, package, port):
        """Asks a server of its own for all that was found there: once, at its end. Its scripts have no names."""
        self.begin()
        with redis.Redis(port=port, protocol=2) as client:
            self.count(client.info("everything"))
            client.response_callbacks.clear()
            self.collect(package, client.execute_command, str)

    def _new(self, what, count):
        """How much more than before; all of it if it began anew."""
        before = self._seen.get(what, 0)
        self._seen[what] = count
        return count - before if count >= before else count

    def _add(self, place, count, key):
        self.counts[place] += count
        self.keys[place].append(key.decode(errors="backslashreplace"))

    def finish(self, where, packages, everything):
        """Prints all of it, and what the list says otherwise. Returns whether it agrees.

        `packages` were run; `everything`: those are all there are.
        """
        self._show()
        wrong = list(self._wrong(where, packages, everything))
        for what in wrong:
            print(f"FAILED  {what}", flush=True)
        return not wrong

    def _show(self):
        rows = [("package", "script", "command", "line", "count", "a key")]
        for place in sorted(self.counts):
            line = str(place.line or "-")
            rows.append((*place[:3], line, str(self.counts[place]), shown(self.keys[place][-1])))
        widths = [max(map(len, column)) for column in zip(*rows)]
        if len(rows) > 1:
            print("undeclared keys:")
            for row in rows:
                print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        gone = self.total - sum(self.counts.values())
        flushed = f", {gone} of them in scripts that were flushed before they were asked for" if gone else ""
        print(f"{self.total} commands reached undeclared keys{flushed}", flush=True)

    def _wrong(self, where, packages, everything):
        expected = [words for words in expectations(where) if words[0] in packages]
        if everything and not self.counts:
            yield "no undeclared keys were found at all"
        if everything and not expected:
            yield f"{LIST.name} expects nothing of {where}"
        for package, script, command, key in expected:
            found = [place for place in self.counts if place.package == package and fits(place.script, script)]
            if command == "none":
                for place in found:
                    reached = self.keys[place][-1]
                    yield f"{package}: {place.script} declares its keys, but {place.command} reached {reached}"
            elif not any(fits(one, key) for place in found if place.command == command for one in self.keys[place]):
                yield f"{package}: {script} reaches {key} by {command}, which was not found"


def fits(text, pattern):
    return fnmatch.fnmatchcase(text, pattern)


def shown(key):
    printable = key.encode("unicode_escape").decode()
    return printable if len(printable) <= KEY else printable[: KEY - 3] + "..."
