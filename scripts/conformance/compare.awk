# Compares the logs of a unit that ran without the module and with it.
#
#   awk -v server=NAME -v version=VERSION -v unit=UNIT -v seconds=N -f compare.awk STOCK SHADOW [SHADOW]
#       prints each test that passes in the first log and in no other one, then a line with counts; status 1 if there
#       is such a test, or if the unit did not come to its end
#
# A name may stand for several tests; as many must pass with the module as without.

FNR == 1 { log_number++ }

/^\[(ok|err)\]: / {
    passed = /^\[ok\]/
    name = $0
    sub(/^\[[a-z]+\]: /, "", name)
    if (passed)
        sub(/ \([0-9]+ ms\)$/, "", name)
    else
        sub(/ in tests\/.*$/, "", name)
    if (log_number == 1) {
        if (passed) {
            stock[name]++
            stock_ok++
        } else
            stock_missed++
    } else if (passed) {
        if (++shadow[name, log_number] > best[name])
            best[name] = shadow[name, log_number]
    } else
        why[name] = $0
}

/^\[[0-9]+\/[0-9]+ done\]/ { done[log_number] = 1 }

END {
    for (name in stock) {
        lost = stock[name] - best[name]
        shadow_ok += stock[name] - (lost > 0 ? lost : 0)
        if (lost > 0) {
            missing += lost
            print "FAILED   " name
            if (name in why)
                print "         " why[name]
        }
    }
    for (name in best)
        if (best[name] > stock[name])
            more += best[name] - stock[name]
    if (!done[1])
        print "NOT ENDED: the unit stopped before its end without the module"
    ended = done[1]
    for (number = 2; number <= log_number; number++)
        with_module = with_module || done[number]
    if (!with_module)
        print "NOT ENDED: the unit stopped before its end with the module"
    good = ended && with_module && stock_ok && !missing
    printf "%-10s %-8s %-12s %-7s %3d pass without the module (%d miss), of these %d with it, %d not; %d only with it; %d runs, %d s\n",
        server, version, unit, good ? "ok" : "FAILED", stock_ok, stock_missed, shadow_ok, missing, more, log_number, seconds
    exit !good
}
