// The function API of ioredis. Arguments: the server's port and the protocol, 2 or 3.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Redis } = require('ioredis');

const [port, protocol] = process.argv.slice(2).map(Number);
const [CART, SPIN] = ['cart.lua', 'spin.lua'].map((name) => fs.readFileSync(path.join(__dirname, name), 'utf8'));
const TINY = "#!lua name=tiny\nredis.register_function('tiny', function() return 'first' end)";
const TINIER = TINY.replace('first', 'second');

// How many milliseconds a condition may take before the test gives up on it.
const PATIENCE = 20000;

// What the server answers while a function runs too long, and what the call of a killed function answers.
const BUSY = 'BUSY ';
const KILLED = 'ERR Script killed by user with ';

const fails = (text, promise) => assert.rejects(promise, (error) => error.message.startsWith(text));

// A map is a list of keys and values in turn in RESP2.
const table = (reply) =>
    Array.isArray(reply)
        ? Object.fromEntries(reply.flatMap((key, at) => (at % 2 ? [] : [[key, reply[at + 1]]])))
        : Object.fromEntries(reply instanceof Map ? reply : Object.entries(reply));

const libraries = (reply) =>
    reply.map(table).map((library) => ({
        ...library,
        functions: library.functions.map(table).map((one) => ({ ...one, flags: [...one.flags].sort() })),
    }));

const stats = (reply) => {
    const { running_script: running, engines } = table(reply);
    return [running && table(running), table(table(engines).LUA)];
};

// The payload with its last byte, which belongs to the checksum, changed.
const damaged = (payload) => Buffer.concat([payload.subarray(0, -1), Buffer.from([payload.at(-1) ^ 1])]);

// Whether `stats` tells of the function that the tests kill, which must be all right then.
function isSpinning([running, counts]) {
    if (running === null) return false;
    const [name, ...rest] = running.command;
    assert.deepEqual(Object.keys(running).sort(), ['command', 'duration_ms', 'name']);
    assert.deepEqual([running.name, name.toUpperCase(), ...rest], ['spin', 'FCALL', 'spin', '1', 'shop:key', 'a b']);
    assert.ok(running.duration_ms >= 100);
    assert.deepEqual(counts, { libraries_count: 1, functions_count: 2 });
    return true;
}

async function loadAndList(client) {
    assert.equal(await client.function('LOAD', CART), 'cart');
    assert.equal(await client.function('LOAD', TINY), 'tiny');
    await fails("ERR Library 'tiny' already exists", client.function('LOAD', TINIER));
    assert.equal(await client.function('LOAD', 'REPLACE', TINIER), 'tiny');
    assert.equal(await client.fcall('tiny', 0), 'second');

    const names = libraries(await client.function('LIST')).map((library) => library.library_name);
    assert.deepEqual(names.sort(), ['cart', 'tiny']);
    const tiny = {
        library_name: 'tiny',
        engine: 'LUA',
        functions: [{ name: 'tiny', description: null, flags: [] }],
    };
    assert.deepEqual(libraries(await client.function('LIST', 'LIBRARYNAME', 't*')), [tiny]);
    const withCode = await client.function('LIST', 'WITHCODE', 'LIBRARYNAME', 'tiny');
    assert.deepEqual(libraries(withCode), [{ ...tiny, library_code: TINIER }]);
    assert.deepEqual(await client.function('LIST', 'LIBRARYNAME', 'none*'), []);
    assert.deepEqual(stats(await client.function('STATS')), [null, { libraries_count: 2, functions_count: 8 }]);
}

async function callAll(client) {
    assert.equal(await client.fcall('cart_add', 1, 'cart:1', 'apple', 5), 5);
    assert.equal(await client.fcall('cart_add', 1, 'cart:1', 'pear', 2), 2);
    assert.equal(await client.fcall_ro('cart_get', 1, 'cart:1', 'apple'), '5');
    assert.equal(await client.fcall_ro('cart_get', 1, 'cart:1', 'plum'), null);
    assert.deepEqual(await client.fcallBuffer('cart_get', 1, 'cart:1', 'apple'), Buffer.from('5'));
    assert.deepEqual(table(await client.fcall_ro('cart_all', 1, 'cart:1')), { apple: '5', pear: '2' });
    assert.equal(Number(await client.fcall('cart_total', 1, 'cart:1')), 3.5);
    assert.deepEqual(await client.fcall('cart_kinds', 0, 'ä'), [1, 'two', null, [1, 'ä']]);
    assert.equal(await client.fcall('cart_rename', 2, 'cart:1', 'cart:2'), 'OK');
    await fails('CART is full', client.fcall('cart_fail', 0, 'is full'));
    await fails('ERR Can not execute a script with write flag using *_ro', client.fcall_ro('cart_add', 1, 'k', 'a', 1));
    await fails('ERR Function not found', client.fcall('nothing', 0));

    const queued = client.multi().fcall('cart_add', 1, 'cart:2', 'plum', 1).fcall_ro('cart_get', 1, 'cart:2', 'plum');
    assert.deepEqual(await queued.exec(), [[null, 1], [null, '1']]);
    const piped = client.pipeline().fcall('cart_add', 1, 'cart:2', 'plum', 1).fcall('nothing', 0);
    const [[, plum], [error]] = await piped.exec();
    assert.equal(plum, 2);
    assert.match(error.message, /^ERR Function not found/);
}

async function deleteAndFlush(client) {
    assert.equal(await client.function('DELETE', 'tiny'), 'OK');
    await fails('ERR Library not found', client.function('DELETE', 'tiny'));
    for (const mode of [[], ['SYNC'], ['ASYNC']]) {
        assert.equal(await client.function('FLUSH', ...mode), 'OK');
        assert.deepEqual(await client.function('LIST'), []);
        assert.equal(await client.function('LOAD', CART), 'cart');
    }
    assert.equal(await client.fcall_ro('cart_get', 1, 'cart:2', 'plum'), '2');
    assert.equal(await client.function('FLUSH'), 'OK');
}

async function dumpAndRestore(client) {
    const restore = (...words) => client.function('RESTORE', ...words);
    const names = async () => libraries(await client.function('LIST')).map((library) => library.library_name).sort();

    assert.equal(await client.function('LOAD', TINY), 'tiny');
    const payload = await client.functionBuffer('DUMP');
    assert.ok(Buffer.isBuffer(payload));
    assert.equal(await client.function('LOAD', 'REPLACE', TINIER), 'tiny');
    assert.equal(await client.function('LOAD', CART), 'cart');
    for (const policy of ['FLUSH', 'APPEND', 'REPLACE']) {
        await fails('ERR DUMP payload version or checksum are wrong', restore(damaged(payload), policy));
    }
    await fails('ERR Library tiny already exists', restore(payload));
    await fails('ERR Library tiny already exists', restore(payload, 'APPEND'));
    await fails('ERR Wrong restore policy given', restore(payload, 'NEITHER'));
    assert.equal(await client.fcall('tiny', 0), 'second');
    assert.deepEqual(stats(await client.function('STATS')), [null, { libraries_count: 2, functions_count: 8 }]);

    assert.equal(await restore(payload, 'REPLACE'), 'OK');
    assert.equal(await client.fcall('tiny', 0), 'first');
    assert.deepEqual(await names(), ['cart', 'tiny']);
    assert.equal(await restore(payload, 'FLUSH'), 'OK');
    const listed = libraries(await client.function('LIST', 'WITHCODE'));
    assert.deepEqual(listed.map((library) => library.library_code), [TINY]);
    assert.deepEqual(await client.functionBuffer('DUMP'), payload);
    assert.equal(await client.function('DELETE', 'tiny'), 'OK');
    assert.equal(await client.function('LOAD', CART), 'cart');
    assert.equal(await restore(payload, 'APPEND'), 'OK');
    assert.equal(await client.fcall('tiny', 0), 'first');
    assert.deepEqual(await names(), ['cart', 'tiny']);
    assert.equal(await client.function('FLUSH', 'SYNC'), 'OK');
}

async function kill(client, other) {
    const now = async () => stats(await client.function('STATS'));

    assert.equal(await client.function('LOAD', SPIN), 'spin');
    await fails('NOTBUSY No scripts in execution right now.', client.function('KILL'));
    const id = await other.client('ID');
    const ended = other.fcall('spin', 1, 'key', 'a b').then(JSON.stringify, (error) => error.message);
    const deadline = Date.now() + PATIENCE;
    while (!isSpinning(await now())) assert.ok(Date.now() < deadline, 'the function does not run');
    await fails(BUSY, client.get('key'));
    await fails(BUSY, client.fcall_ro('rest', 0));
    await fails(BUSY, client.function('LIST'));
    await fails(BUSY, client.function('DUMP'));
    await fails(BUSY, client.script('KILL'));
    assert.ok(isSpinning(await now()));
    assert.equal(await client.function('KILL'), 'OK');
    const error = await ended;
    assert.ok(error.startsWith(KILLED), error);

    // Neither connection is a new one, and nothing is left of the function.
    assert.equal(await other.fcall_ro('rest', 0), 'still here');
    assert.equal(await client.fcall_ro('rest', 0), 'still here');
    assert.equal(await other.client('ID'), id);
    assert.deepEqual(await now(), [null, { libraries_count: 1, functions_count: 2 }]);
    await fails('NOTBUSY No scripts in execution right now.', client.function('KILL'));
    assert.equal(await client.function('FLUSH', 'SYNC'), 'OK');
}

async function main() {
    // A key prefix goes before the keys of a call, which the client finds by their number.
    const client = new Redis({ host: '127.0.0.1', port, protocol, keyPrefix: 'shop:', retryStrategy: null });
    const other = client.duplicate();
    try {
        await client.flushall();
        await loadAndList(client);
        await callAll(client);
        assert.deepEqual(await client.keys('*'), ['shop:cart:2']);
        await deleteAndFlush(client);
        await dumpAndRestore(client);
        await kill(client, other);
    } finally {
        client.disconnect();
        other.disconnect();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
