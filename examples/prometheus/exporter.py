"""Serves SHADOW.METRICS over HTTP, for Prometheus to scrape.

    python3 exporter.py [--listen ADDRESS:PORT] [options of redis-cli]

The options say which server is asked and as whom, for example `-p 6380 --user scraper`. `redis-cli` takes the password
from the variable REDISCLI_AUTH.
"""

import argparse
import http.server
import subprocess

# Prometheus gives a scrape ten seconds if it is told nothing else.
PATIENCE = 8
FORM = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Handler(http.server.BaseHTTPRequestHandler):
    """Asks the server anew for each request."""

    def do_GET(self):
        if self.path != "/metrics":
            self.send_error(404)
            return
        try:
            asked = subprocess.run(self.server.command, capture_output=True, timeout=PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            self.fail(error)
            return
        if asked.returncode != 0:
            self.fail((asked.stderr + asked.stdout).decode(errors="replace").strip())
            return
        self.send_response(200)
        self.send_header("Content-Type", FORM)
        self.send_header("Content-Length", str(len(asked.stdout)))
        self.end_headers()
        self.wfile.write(asked.stdout)

    def fail(self, reason):
        """Without metrics Prometheus notes that the target is down."""
        self.log_error("no metrics: %s", reason)
        self.send_error(503)

    def log_request(self, *_):
        """A scrape that succeeds is not worth a line."""


def main():
    parser = argparse.ArgumentParser(description="Serves SHADOW.METRICS over HTTP.", allow_abbrev=False)
    parser.add_argument("--listen", default="127.0.0.1:9122", metavar="ADDRESS:PORT", help="default: %(default)s")
    arguments, options = parser.parse_known_args()
    address, _, port = arguments.listen.rpartition(":")
    with http.server.ThreadingHTTPServer((address, int(port)), Handler) as server:
        # -e: an error of the server is an error of redis-cli.
        server.command = ["redis-cli", *options, "-e", "--raw", "SHADOW.METRICS"]
        server.serve_forever()


if __name__ == "__main__":
    main()
