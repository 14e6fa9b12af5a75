# Compares the log of a unit with the expected misses.
#
#   awk -v server=NAME -v unit=UNIT -v skips=1 -f judge.awk EXPECTED
#       prints the names of the tests to skip
#   awk -v server=NAME -v unit=UNIT -v version=VERSION -v summary=FILE -f judge.awk EXPECTED LOG
#       prints what was not expected, adds a line to FILE; status 1 if there is any

# The first file: reason, servers, unit, kind, then the name of the test.
FNR == NR {
    if ($0 ~ /^#/ || NF == 0)
        next
    if (NF < 5 || $4 !~ /^(miss|skip)$/) {
        printf "%s, line %d: not understood\n", FILENAME, FNR > "/dev/stderr"
        broken = 1
        exit
    }
    if (($2 != "all" && !index("," $2 ",", "," server ",")) || $3 != unit)
        next
    name = $0
    sub(/^[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +/, "", name)
    reason[name] = $1
    if ($4 == "skip") {
        if (skips)
            print name
        skip[name] = 1
    } else
        miss[name]++
    next
}

/^\[ok\]: / { ok++ }

/^\[skip\]: / {
    name = substr($0, 9)
    if (name in skip) {
        skipped[name]++
        expected++
        because[reason[name]]++
    } else {
        unexpected++
        print "SKIPPED  " name
    }
}

/^\[err\]: / {
    name = substr($0, 8)
    sub(/ in tests\/.*$/, "", name)
    missed++
    if (miss[name] > 0) {
        miss[name]--
        expected++
        because[reason[name]]++
    } else {
        unexpected++
        print "FAILED   " name
        telling = 1
        next
    }
}

/^\[/ { telling = 0 }
/^\[[0-9]+\/[0-9]+ done\]/ { done = 1 }
/^\[exception\]|^\[TIMEOUT\]/ { telling = 1 }
telling { print "         " $0 }

END {
    if (broken)
        exit 2
    if (skips)
        exit 0
    for (name in miss)
        if (miss[name] > 0) {
            gone++
            print "EXPECTED to miss (" reason[name] "), but did not: " name
        }
    for (name in skip)
        if (!skipped[name]) {
            gone++
            print "EXPECTED to be skipped (" reason[name] "), but there is no such test: " name
        }
    if (!done)
        print "NOT ENDED: the unit stopped before its end"
    verdict = done && !unexpected && !gone ? "ok" : "FAILED"
    line = sprintf("%-10s %-8s %-10s %-7s %3d tests: %3d ok, %d expected misses, %d unexpected misses, %d misses too few",
        server, version, unit, verdict, ok + expected + unexpected, ok, expected, unexpected, gone)
    for (why in because)
        list = list (list ? ", " : "") because[why] " " why
    print line (list ? "  (expected: " list ")" : "") >> summary
    exit verdict != "ok"
}
