// The script helpers of ioredis: commands that are defined by a script, in pipelines and transactions too.

const fs = require('node:fs');
const path = require('node:path');
const { failure, port, protocol, start, until } = require('./flow');
const { Redis } = require('ioredis');

const lua = (name) => fs.readFileSync(path.join(__dirname, 'lua', `${name}.lua`), 'utf8');

// A key prefix goes before the keys of a call, which the client finds by their number.
const options = {
    host: '127.0.0.1',
    port,
    protocol,
    keyPrefix: 'shop:',
    retryStrategy: null,
    scripts: { kinds: { lua: lua('kinds'), readOnly: true } },
};
const client = new Redis(options);
client.defineCommand('stock', { numberOfKeys: 2, lua: lua('stock') });
client.defineCommand('pack', { numberOfKeys: 1, lua: lua('pack') });
client.defineCommand('maps', { numberOfKeys: 2, lua: lua('maps') });
client.defineCommand('refusal', { lua: lua('refusal') });

async function commands() {
    await client.set('pears', 10);
    // The first call on a connection is EVAL, the later ones are EVALSHA.
    const taken = [];
    for (const count of [3, 7, 1]) taken.push(await client.stock('pears', 'sales', count, 'ä'));
    return [
        taken,
        await client.kinds(0),
        await client.kinds(2, 'a', 'b', 'c d'),
        await client.kindsBuffer(1, 'a', Buffer.from([0, 255])),
        await client.pack('packed', 'four', 'ä', ''),
        await client.packBuffer('packed', 'five!', Buffer.from([0, 13, 10, 255])),
    ];
}

async function refusals() {
    await client.rpush('list', 'one');
    const refused = [];
    for (const how of ['reply', 'call', 'pcall', 'raise']) {
        refused.push(await failure(client.refusal(1, 'list', how, 'is empty')));
    }
    return [
        ...refused,
        await failure(client.evalsha('0'.repeat(40), 0)),
        await failure(client.evalsha('short', 0)),
        await failure(client.eval('return 1', 'two')),
        await failure(client.eval('return 1', -1)),
        await failure(client.eval_ro("return redis.call('SET', KEYS[1], 1)", 1, 'key')),
    ];
}

async function cache() {
    const digest = await client.script('LOAD', lua('stock'));
    const known = await client.script('EXISTS', digest, '0'.repeat(40), digest.toUpperCase());
    await client.set('plums', 4);
    const answers = [
        await client.evalsha(digest, 2, 'plums', 'sales', 1, 'by digest'),
        await client.evalsha_ro(await client.script('LOAD', lua('kinds')), 1, 'a', 'b'),
        await client.script('FLUSH'),
        await client.script('EXISTS', digest),
        // The client believes that its connection has it, is told otherwise, and sends it again.
        await client.stock('plums', 'sales', 1, 'after a flush'),
        await client.script('EXISTS', digest),
        await client.script('FLUSH', 'ASYNC'),
        await client.script('EXISTS', digest),
        await client.script('FLUSH', 'SYNC'),
    ];
    return [digest, known, answers];
}

async function pipelines() {
    await client.set('figs', 9);
    const pipeline = client.pipeline().stock('figs', 'sales', 2, 'a pipeline').get('figs').kinds(0);
    const answers = [await pipeline.stock('figs', 'sales', 9, 'too many').exec()];
    const transaction = client.multi().stock('figs', 'sales', 1, 'a transaction').incr('figs').kinds(1, 'a');
    answers.push(await transaction.stock('figs', 'sales', 1, 'again').exec());
    await client.script('FLUSH');
    const watched = client.multi().incr('figs').evalsha('0'.repeat(40), 0).incr('figs');
    answers.push((await watched.exec()).map(([error, reply]) => error?.message ?? reply));
    // One call for each connection that sends by itself.
    const automatic = client.duplicate({ enableAutoPipelining: true });
    automatic.defineCommand('stock', { numberOfKeys: 2, lua: lua('stock') });
    answers.push(await Promise.all([1, 2, 3].map((count) => automatic.stock('figs', 'sales', count, 'automatic'))));
    automatic.disconnect();
    return answers;
}

async function maps() {
    await client.hset('fields', { one: 'two' });
    await client.zadd('scores', 10.5, 'ten');
    return client.maps('fields', 'scores');
}

async function kill() {
    const other = client.duplicate();
    const refused = await failure(client.script('KILL'));
    other.defineCommand('spin', { numberOfKeys: 0, lua: lua('loop') });
    const ended = failure(other.spin());
    let answer;
    await until('the script lets others in', async () => {
        answer = await client.get('figs').catch((error) => error.message);
        return answer.startsWith('BUSY');
    });
    const killed = [await failure(client.stock('figs', 'sales', 1, 'while another runs')), await client.script('KILL')];
    const error = await ended;
    const after = await other.kinds(0);
    other.disconnect();
    return [refused, answer, killed, error, after];
}

start(commands, refusals, cache, pipelines, maps, kill);
