// The function API of ioredis. Arguments: the server's port and the protocol, 2 or 3.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Redis } = require('ioredis');

const [port, protocol] = process.argv.slice(2).map(Number);
const CART = fs.readFileSync(path.join(__dirname, 'cart.lua'), 'utf8');
const TINY = "#!lua name=tiny\nredis.register_function('tiny', function() return 'first' end)";
const TINIER = TINY.replace('first', 'second');

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
    return [running, table(table(engines).LUA)];
};

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

async function main() {
    // A key prefix goes before the keys of a call, which the client finds by their number.
    const client = new Redis({ host: '127.0.0.1', port, protocol, keyPrefix: 'shop:', retryStrategy: null });
    try {
        await client.flushall();
        await loadAndList(client);
        await callAll(client);
        assert.deepEqual(await client.keys('*'), ['shop:cart:2']);
        await deleteAndFlush(client);
    } finally {
        client.disconnect();
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
