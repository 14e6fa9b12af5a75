-- One of each kind of reply, and how many keys and arguments there were. Writes nothing.
return { 3.99, -7, 'two', '', true, false, { #KEYS, KEYS[1] or 'none', { #ARGV, ARGV[1] } }, { ok = 'FINE' }, 1e15 }
