#!/bin/sh
# Writes SHADOW.METRICS to a file for the text-file collector of the node exporter.
#
#   textfile.sh DIRECTORY [options of redis-cli]
#
# The options say which server is asked and as whom, for example `-p 6380 --user
# scraper`. redis-cli takes the password from the variable REDISCLI_AUTH.
set -eu

directory=$1
shift

# The collector reads the files named *.prom, at any moment: so the file comes
# there as a whole, and when the server does not answer the old one stays.
new=$(mktemp "$directory/shadow_functions.XXXXXX")
trap 'rm -f "$new"' EXIT
redis-cli "$@" -e --raw SHADOW.METRICS PROMETHEUS >"$new"
chmod 644 "$new"
mv "$new" "$directory/shadow_functions.prom"
