// The function API of node-redis. Arguments: the server's port and the protocol, 2 or 3.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { createClient, RESP_TYPES } = require('redis');

const [port, protocol] = process.argv.slice(2).map(Number);
const [CART, SPIN] = ['cart.lua', 'spin.lua'].map((name) => fs.readFileSync(path.join(__dirname, name), 'utf8'));
const TINY = "#!lua name=tiny\nredis.register_function('tiny', function() return 'first' end)";
const TINIER = TINY.replace('first', 'second');

// How many milliseconds a condition may take before the test gives up on it.
const PATIENCE = 20000;

// What the server answers while a function runs too long, and what the call of a killed function answers.
const BUSY = 'BUSY ';
const KILLED = 'ERR Script killed by user with ';

// The client's own layer above: functions become methods.
const functions = {
    cart: {
        cart_add: {
            NUMBER_OF_KEYS: 1,
            parseCommand(parser, key, fruit, count) {
                parser.pushKey(key);
                parser.push(fruit, count.toString());
            },
            transformReply: (reply) => reply,
        },
        cart_get: {
            NUMBER_OF_KEYS: 1,
            IS_READ_ONLY: true,
            parseCommand(parser, key, fruit) {
                parser.pushKey(key);
                parser.push(fruit);
            },
            transformReply: (reply) => reply,
        },
    },
};

// The objects that the client makes of maps have no prototype.
const same = (actual, expected) => assert.deepEqual(JSON.parse(JSON.stringify(actual)), expected);
const fails = (text, promise) => assert.rejects(promise, (error) => error.message.startsWith(text));
const call = (client, name, keys = [], args = []) => client.fCall(name, { keys, arguments: args });
const callRo = (client, name, keys = [], args = []) => client.fCallRo(name, { keys, arguments: args });
const counts = (libraries, all) => ({
    running_script: null,
    engines: { LUA: { libraries_count: libraries, functions_count: all } },
});

// The payload with its last byte, which belongs to the checksum, changed.
const damaged = (payload) => Buffer.concat([payload.subarray(0, -1), Buffer.from([payload.at(-1) ^ 1])]);

// Whether functionStats tells of the function that the tests kill, which must be all right then.
function isSpinning({ running_script: running, engines }) {
    if (running === null) return false;
    const [name, ...rest] = running.command;
    assert.deepEqual(Object.keys(running).sort(), ['command', 'duration_ms', 'name']);
    assert.deepEqual([running.name, name.toUpperCase(), ...rest], ['spin', 'FCALL', 'spin', '1', 'key', 'a b']);
    assert.ok(running.duration_ms >= 100);
    same(engines, counts(1, 2).engines);
    return true;
}

async function loadAndList(client) {
    assert.equal(await client.functionLoad(CART), 'cart');
    assert.equal(await client.functionLoad(TINY), 'tiny');
    await fails("ERR Library 'tiny' already exists", client.functionLoad(TINIER));
    assert.equal(await client.functionLoad(TINIER, { REPLACE: true }), 'tiny');
    assert.equal(await call(client, 'tiny'), 'second');

    const names = (await client.functionList()).map((library) => library.library_name);
    assert.deepEqual(names.sort(), ['cart', 'tiny']);
    const tiny = {
        library_name: 'tiny',
        engine: 'LUA',
        functions: [{ name: 'tiny', description: null, flags: [] }],
    };
    same(await client.functionList({ LIBRARYNAME: 't*' }), [tiny]);
    same(await client.functionListWithCode({ LIBRARYNAME: 'tiny' }), [{ ...tiny, library_code: TINIER }]);
    same(await client.functionList({ LIBRARYNAME: 'none*' }), []);
    const [cart] = await client.functionList({ LIBRARYNAME: 'cart' });
    const kinds = cart.functions.find((one) => one.name === 'cart_kinds');
    assert.equal(kinds.description, 'one of each');
    assert.deepEqual([...kinds.flags].sort(), ['allow-stale', 'no-writes']);
    same(await client.functionStats(), counts(2, 8));
}

async function callAll(client) {
    assert.equal(await call(client, 'cart_add', ['cart:1'], ['apple', '5']), 5);
    assert.equal(await client.cart.cart_add('cart:1', 'pear', 2), 2);
    assert.equal(await client.cart.cart_get('cart:1', 'apple'), '5');
    assert.equal(await callRo(client, 'cart_get', ['cart:1'], ['plum']), null);
    const all = await callRo(client, 'cart_all', ['cart:1']);
    if (protocol === 3) same(all, { apple: '5', pear: '2' });
    else assert.deepEqual(all.sort(), ['2', '5', 'apple', 'pear']);
    assert.equal(await call(client, 'cart_total', ['cart:1']), protocol === 3 ? 3.5 : '3.5');
    same(await call(client, 'cart_kinds', [], ['ä']), [1, 'two', null, [1, 'ä']]);
    assert.equal(await call(client, 'cart_rename', ['cart:1', 'cart:2']), 'OK');
    await fails('CART is full', call(client, 'cart_fail', [], ['is full']));
    await fails('ERR Can not execute a script with write flag using *_ro', callRo(client, 'cart_add', ['k']));
    await fails('ERR Function not found', call(client, 'nothing'));

    const replies = await client
        .multi()
        .fCall('cart_add', { keys: ['cart:2'], arguments: ['plum', '1'] })
        .cart.cart_get('cart:2', 'plum')
        .functionStats()
        .exec();
    same(replies, [1, '1', counts(2, 8)]);
}

async function deleteAndFlush(client) {
    assert.equal(await client.functionDelete('tiny'), 'OK');
    await fails('ERR Library not found', client.functionDelete('tiny'));
    for (const mode of [undefined, 'SYNC', 'ASYNC']) {
        assert.equal(await client.functionFlush(mode), 'OK');
        same(await client.functionList(), []);
        same(await client.functionStats(), counts(0, 0));
        assert.equal(await client.functionLoad(CART), 'cart');
    }
    assert.equal(await callRo(client, 'cart_get', ['cart:2'], ['plum']), '1');
    assert.equal(await client.functionFlush(), 'OK');
}

async function dumpAndRestore(client) {
    const dump = () => client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).functionDump();
    const restore = (payload, mode) => client.functionRestore(payload, mode && { mode });
    const names = async () => (await client.functionList()).map((library) => library.library_name).sort();

    assert.equal(await client.functionFlush('SYNC'), 'OK');
    assert.equal(await client.functionLoad(TINY), 'tiny');
    const payload = await dump();
    assert.ok(Buffer.isBuffer(payload));
    assert.equal(await client.functionLoad(TINIER, { REPLACE: true }), 'tiny');
    assert.equal(await client.functionLoad(CART), 'cart');
    for (const mode of ['FLUSH', 'APPEND', 'REPLACE']) {
        await fails('ERR DUMP payload version or checksum are wrong', restore(damaged(payload), mode));
    }
    await fails('ERR Library tiny already exists', restore(payload));
    await fails('ERR Library tiny already exists', restore(payload, 'APPEND'));
    await fails('ERR Wrong restore policy given', restore(payload, 'NEITHER'));
    assert.equal(await call(client, 'tiny'), 'second');
    same(await client.functionStats(), counts(2, 8));

    assert.equal(await restore(payload, 'REPLACE'), 'OK');
    assert.equal(await call(client, 'tiny'), 'first');
    assert.deepEqual(await names(), ['cart', 'tiny']);
    assert.equal(await restore(payload, 'FLUSH'), 'OK');
    const listed = await client.functionListWithCode();
    assert.deepEqual(listed.map((library) => library.library_code), [TINY]);
    assert.deepEqual(await dump(), payload);
    assert.equal(await client.functionDelete('tiny'), 'OK');
    assert.equal(await client.functionLoad(CART), 'cart');
    assert.equal(await restore(payload, 'APPEND'), 'OK');
    assert.equal(await call(client, 'tiny'), 'first');
    assert.deepEqual(await names(), ['cart', 'tiny']);
    assert.equal(await client.functionFlush('SYNC'), 'OK');
}

async function kill(client, other) {
    assert.equal(await client.functionLoad(SPIN), 'spin');
    await fails('NOTBUSY No scripts in execution right now.', client.functionKill());
    const id = await other.clientId();
    const ended = call(other, 'spin', ['key'], ['a b']).then(JSON.stringify, (error) => error.message);
    const deadline = Date.now() + PATIENCE;
    while (!isSpinning(await client.functionStats())) assert.ok(Date.now() < deadline, 'the function does not run');
    await fails(BUSY, client.get('key'));
    await fails(BUSY, callRo(client, 'rest'));
    await fails(BUSY, client.functionList());
    await fails(BUSY, client.functionDump());
    await fails(BUSY, client.scriptKill());
    assert.ok(isSpinning(await client.functionStats()));
    assert.equal(await client.functionKill(), 'OK');
    const error = await ended;
    assert.ok(error.startsWith(KILLED), error);

    // Neither connection is a new one, and nothing is left of the function.
    assert.equal(await callRo(other, 'rest'), 'still here');
    assert.equal(await callRo(client, 'rest'), 'still here');
    assert.equal(await other.clientId(), id);
    same(await client.functionStats(), counts(1, 2));
    await fails('NOTBUSY No scripts in execution right now.', client.functionKill());
    assert.equal(await client.functionFlush('SYNC'), 'OK');
}

async function main() {
    const client = createClient({ socket: { host: '127.0.0.1', port }, RESP: protocol, functions });
    const other = client.duplicate();
    for (const one of [client, other]) {
        // Without a listener an error would end the process before its promise is rejected.
        one.on('error', () => {});
        await one.connect();
    }
    try {
        await client.flushAll();
        await loadAndList(client);
        await callAll(client);
        await deleteAndFlush(client);
        await dumpAndRestore(client);
        await kill(client, other);
    } finally {
        client.destroy();
        other.destroy();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
