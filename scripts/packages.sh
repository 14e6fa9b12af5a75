#!/bin/sh
# Fetches the clients and packages that tests/clients, tests/realcode and
# tests/metrics use, in the versions of tests/packages, into target/packages/.
# Does nothing when they are there.
set -eu
cd "$(dirname "$0")/.."

from=tests/packages
to=target/packages
wanted=$(cat "$from/requirements.txt" "$from/package.json" "$from/package-lock.json" | cksum)

if [ "$(cat "$to/fetched" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

echo "Fetching the packages of $from"
rm -rf "$to"
mkdir -p "$to"
python3 -m venv "$to/python"
"$to/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$from/requirements.txt"
cp "$from/package.json" "$from/package-lock.json" "$to"
# Not npm ci: it requires optional packages of other systems in the lockfile.
(cd "$to" && npm install --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
printf '%s\n' "$wanted" >"$to/fetched"
