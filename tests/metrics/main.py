"""What Prometheus makes of SHADOW.METRICS and of examples/prometheus/.

Debian's promtool and a strict reader of OpenMetrics look at both forms, promtool at the configuration and the alerts.
Then Prometheus itself scrapes a server: by exporter.py, and by textfile.sh and the node exporter.
"""

import contextlib
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

from server import PATIENCE, ROOT, Server, description  # noqa: E402

EXAMPLE = ROOT / "examples/prometheus"
LIBRARY = """#!lua name=pages
redis.register_function('visit', function(keys) return redis.call('INCR', keys[1]) end)
redis.register_function('fail', function() error('as it should') end)
"""
OLD_LIBRARY = "#!lua name=old\nredis.register_function('old', function() end)"


def ask(server, *words, fails=False):
    """What `redis-cli` prints. `fails`: the server must answer with an error."""
    command = ["redis-cli", "-p", str(server.port), "-e", "--raw", *words]
    asked = subprocess.run(command, capture_output=True, text=True)
    assert (asked.returncode != 0) == fails, f"{words}: {asked.stdout}{asked.stderr}"
    return asked.stdout


def use(server):
    """Gives every metric a value but those of a running call."""
    ask(server, "SHADOW.FUNCTION", "LOAD", OLD_LIBRARY)
    ask(server, "SHADOW.EVAL", "return 'old'", "0")
    ask(server, "SHADOW.FUNCTION", "FLUSH", "ASYNC")
    ask(server, "SHADOW.SCRIPT", "FLUSH", "SYNC")
    ask(server, "SHADOW.FUNCTION", "LOAD", LIBRARY)
    for _ in range(3):
        ask(server, "SHADOW.FCALL", "visit", "1", "page")
    ask(server, "SHADOW.FCALL", "fail", "0", fails=True)
    ask(server, "SHADOW.EVAL", "return 1", "0")


def promtool(*words, text=None):
    """Whether promtool has nothing to complain of, and what it says."""
    ran = subprocess.run(["promtool", *map(str, words)], input=text, capture_output=True, text=True)
    said = ran.stdout + ran.stderr
    return ran.returncode == 0, said


def check_forms(server):
    """Each form passes the reader that is made for it, and not the other's."""
    text, older = ask(server, "SHADOW.METRICS"), ask(server, "SHADOW.METRICS", "PROMETHEUS")
    assert promtool("check", "metrics", text=older) == (True, ""), promtool("check", "metrics", text=older)
    assert not promtool("check", "metrics", text=text)[0], "promtool reads OpenMetrics now: let it check that as well"

    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(families) > 30, families
    calls = {sample.labels["function"]: sample.value for sample in families["shadow_function_calls"].samples}
    assert calls == {"visit": 3, "fail": 1}, calls
    spent = families["shadow_function_call_seconds"]
    assert (spent.type, spent.unit) == ("counter", "seconds"), spent
    try:
        list(text_string_to_metric_families(older + "# EOF\n"))
    except ValueError:
        pass
    else:
        raise AssertionError("the reader of OpenMetrics is not a strict one")


def check_examples():
    """promtool takes the configuration and the alerts, and each alert is raised when it should be."""
    for words in (
        ["check", "config", EXAMPLE / "prometheus.yml"],
        ["check", "rules", EXAMPLE / "alerts.yml"],
        ["test", "rules", HERE / "alerts.yml"],
    ):
        good, said = promtool(*words)
        assert good and "SUCCESS" in said, f"promtool {words}:\n{said}"
    # The tests know of every alert, and every metric of an alert exists.
    names = re.findall(r"alert: (\w+)", (EXAMPLE / "alerts.yml").read_text())
    tried = re.findall(r'alertname="(\w+)"', (HERE / "alerts.yml").read_text())
    assert sorted(names) == sorted(tried), set(names) ^ set(tried)


def check_names(server):
    """Every metric that the alerts name exists."""
    older = ask(server, "SHADOW.METRICS", "PROMETHEUS")
    known = set(re.findall(r"# TYPE (\w+)", older)) | {"shadow_running", "shadow_running_since_timestamp_seconds"}
    named = set(re.findall(r"\bshadow_\w+\b", (EXAMPLE / "alerts.yml").read_text())) - {"shadow_functions"}
    assert named and not named - known, named - known


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(*command, log):
    """A program that ends with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    except BaseException:
        print(f"--- {command[0]} ---\n{log.read_text(errors='replace')}")
        raise
    finally:
        process.terminate()
        process.wait()


def fetch(port, path):
    """A page, with its type; nothing while there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as page:
            return page.read().decode(), page.headers.get("Content-Type")
    except OSError:
        return None


def wait_for(what, condition):
    """The first answer of `condition` that is one."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (answer := condition()) is not None:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited in vain: {what}")


def query(port, expression):
    """The values of an expression by their labels; None while there are none."""
    page = fetch(port, "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
    result = json.loads(page[0])["data"]["result"] if page else []
    return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in result} or None


def expect(port, expression, expected):
    """Waits until the expression has one value, this one."""
    wait_for(expression, lambda: True if list((query(port, expression) or {}).values()) == [expected] else None)


def check_scrapes(server):
    """Prometheus has the server's numbers, by both ways."""
    with tempfile.TemporaryDirectory(prefix="shadow-metrics-") as directory, contextlib.ExitStack() as programs:
        work = pathlib.Path(directory)
        texts = work / "texts"
        texts.mkdir()
        write_texts = [EXAMPLE / "textfile.sh", texts, "-p", str(server.port)]
        subprocess.run(write_texts, check=True)
        assert [path.name for path in texts.iterdir()] == ["shadow_functions.prom"]
        exporter, node, prometheus = free_port(), free_port(), free_port()

        def start(*command):
            programs.enter_context(running(*command, log=work / f"{pathlib.Path(command[0]).name}.log"))

        start(
            sys.executable, EXAMPLE / "exporter.py", "--listen", f"127.0.0.1:{exporter}", "-p", server.port
        )
        start(
            "prometheus-node-exporter",
            f"--web.listen-address=127.0.0.1:{node}",
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={texts}",
        )
        text, kind = wait_for("the exporter", lambda: fetch(exporter, "/metrics"))
        assert kind.startswith("application/openmetrics-text"), kind
        assert text.endswith("\n# EOF\n"), text
        assert fetch(exporter, "/") is None
        text, _ = wait_for("the node exporter", lambda: fetch(node, "/metrics"))
        assert "node_textfile_scrape_error 0" in text, text

        settings = (EXAMPLE / "prometheus.yml").read_text()
        for before, after in (
            ("localhost:9122", f"127.0.0.1:{exporter}"),
            ("localhost:9100", f"127.0.0.1:{node}"),
            ("_interval: 15s", "_interval: 1s"),
        ):
            assert before in settings, before
            settings = settings.replace(before, after)
        (work / "prometheus.yml").write_text(settings)
        (work / "alerts.yml").write_text((EXAMPLE / "alerts.yml").read_text())
        start(
            "prometheus",
            f"--config.file={work / 'prometheus.yml'}",
            f"--storage.tsdb.path={work / 'data'}",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        )
        for job in ("shadow", "node"):
            expect(prometheus, f'up{{job="{job}"}}', 1)
            expect(prometheus, f'shadow_calls_total{{job="{job}", kind="function"}}', 4)
            failed = f'shadow_function_failed_calls_total{{job="{job}", library="pages", function="fail"}}'
            expect(prometheus, failed, 1)
            expect(prometheus, f'count(shadow_info{{job="{job}"}})', 1)
            expect(prometheus, f'shadow_reclaim_alive{{job="{job}"}}', 1)
        # A new call arrives.
        ask(server, "SHADOW.FCALL", "visit", "1", "page")
        subprocess.run(write_texts, check=True)
        for job in ("shadow", "node"):
            expect(prometheus, f'shadow_calls_total{{job="{job}", kind="function"}}', 5)
        about = urllib.parse.urlencode({"match_target": '{job="shadow"}', "metric": "shadow_function_call_seconds"})
        page = json.loads(fetch(prometheus, f"/api/v1/targets/metadata?{about}")[0])["data"]
        assert [(one["type"], one["unit"]) for one in page] == [("counter", "seconds")], page
        wait_for("the alerts", lambda: True if alerts_are_well(prometheus) else None)

        # Without an answer there are no metrics, and the file stays as it was.
        before = (texts / "shadow_functions.prom").read_bytes()
        ask(server, "CONFIG", "SET", "requirepass", "secret")
        assert fetch(exporter, "/metrics") is None
        assert subprocess.run(write_texts, capture_output=True).returncode != 0
        assert [path.name for path in texts.iterdir()] == ["shadow_functions.prom"]
        assert (texts / "shadow_functions.prom").read_bytes() == before
        expect(prometheus, 'up{job="shadow"}', 0)


def alerts_are_well(port):
    """Whether Prometheus has looked at every alert, and none is raised."""
    groups = json.loads(fetch(port, "/api/v1/rules")[0])["data"]["groups"]
    alerts = [(rule["health"], rule["state"]) for group in groups for rule in group["rules"]]
    return len(alerts) > 10 and set(alerts) == {("ok", "inactive")}


def main():
    print(description(), flush=True)
    with Server([]) as server:
        use(server)
        for check, arguments in (
            (check_forms, [server]),
            (check_examples, []),
            (check_names, [server]),
            (check_scrapes, [server]),
        ):
            check(*arguments)
            print(f"ok      {check.__doc__.splitlines()[0]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
