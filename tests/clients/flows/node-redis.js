// The script helpers of node-redis: scripts as methods of a client, in transactions too, and the commands themselves.

const fs = require('node:fs');
const path = require('node:path');
const { failure, port, protocol, start, until } = require('./flow');
const { createClient, defineScript, RESP_TYPES } = require('redis');

const lua = (name) => fs.readFileSync(path.join(__dirname, 'lua', `${name}.lua`), 'utf8');

const scripts = {
    stock: defineScript({
        SCRIPT: lua('stock'),
        NUMBER_OF_KEYS: 2,
        parseCommand(parser, stock, sales, count, buyer) {
            parser.pushKeys([stock, sales]);
            parser.push(String(count), buyer);
        },
        transformReply: (reply) => reply && { left: reply[0], cost: Number(reply[1]) },
    }),
    kinds: defineScript({
        SCRIPT: lua('kinds'),
        NUMBER_OF_KEYS: 1,
        IS_READ_ONLY: true,
        parseCommand(parser, key, ...rest) {
            parser.pushKey(key);
            parser.push(...rest);
        },
        transformReply: undefined,
    }),
};
const client = createClient({ RESP: protocol, socket: { host: '127.0.0.1', port, reconnectStrategy: false }, scripts });
client.on('error', (error) => console.error(error));
const keys = ['pears', 'sales'];

async function methods() {
    await client.connect();
    await client.set('pears', '10');
    const taken = [];
    for (const count of [3, 7, 1]) taken.push(await client.stock(...keys, count, 'ä'));
    const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    return [taken, await client.kinds('a', 'b'), await buffers.kinds('a', Buffer.from([0, 255]))];
}

async function commands() {
    await client.rPush('list', 'one');
    const pack = { keys: ['packed'], arguments: ['four', Buffer.from([0, 13, 10, 255]), ''] };
    const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    const refusal = (...words) => client.eval(lua('refusal'), { keys: ['list'], arguments: words });
    const refused = [];
    for (const how of ['reply', 'call', 'pcall', 'raise']) refused.push(await failure(refusal(how, 'is empty')));
    return [
        await buffers.eval(lua('pack'), pack),
        await client.eval('return #KEYS + #ARGV'),
        await client.evalRo(lua('kinds'), { keys: ['a'] }),
        await failure(client.evalRo("return redis.call('SET', KEYS[1], 1)", { keys: ['key'] })),
        refused,
        await failure(client.sendCommand(['EVAL', 'return 1', '2', 'one'])),
        await failure(client.sendCommand(['EVAL', 'return 1', 'two'])),
    ];
}

async function cache() {
    const digest = await client.scriptLoad(lua('stock'));
    await client.set('pears', '4');
    const call = { keys, arguments: ['1', 'by digest'] };
    return [
        digest,
        await client.scriptExists([digest, '0'.repeat(40)]),
        await client.evalSha(digest, call),
        await client.evalShaRo(await client.scriptLoad(lua('kinds')), { keys: ['a'], arguments: ['b'] }),
        await client.scriptFlush(),
        await client.scriptExists(digest),
        await failure(client.evalSha(digest, call)),
        // The client is told that there is no such script, and sends it.
        await client.stock(...keys, 1, 'after a flush'),
        await client.scriptExists(digest),
        await client.scriptFlush('ASYNC'),
        await client.scriptExists(digest),
        await client.scriptFlush('SYNC'),
        await failure(client.scriptKill()),
    ];
}

async function transactions() {
    await client.set('pears', '9');
    const together = client.multi().stock(...keys, 2, 'a transaction').get('pears').kinds('a');
    const answers = [await together.stock(...keys, 9, 'too many').exec()];
    answers.push(await client.multi().stock(...keys, 1, 'a pipeline').incr('pears').kinds('a', 'b').execAsPipeline());
    await client.scriptFlush();
    const unknown = client.multi().incr('pears').evalSha('0'.repeat(40), { keys: [] }).incr('pears');
    const error = await unknown.exec().catch((failed) => failed);
    answers.push(error.replies.map((reply) => reply.message ?? reply));
    await client.watch('pears');
    await client.eval("return redis.call('INCR', KEYS[1])", { keys: ['pears'] });
    answers.push(await failure(client.multi().stock(...keys, 1, 'too late').exec()));
    return answers;
}

async function maps() {
    await client.hSet('fields', { one: 'two' });
    await client.zAdd('scores', { score: 10.5, value: 'ten' });
    const both = { keys: ['fields', 'scores'] };
    const reply = await client.eval(lua('maps'), both);
    return [reply, await client.withTypeMapping({ [RESP_TYPES.MAP]: Map }).eval(lua('maps'), both)];
}

async function kill() {
    const other = await client.duplicate().connect();
    const ended = failure(other.eval(lua('loop')));
    let answer;
    await until('the script lets others in', async () => {
        answer = await client.get('pears').catch((error) => error.message);
        return answer.startsWith('BUSY');
    });
    const killed = [await failure(client.stock(...keys, 1, 'while another runs')), await client.scriptKill()];
    const error = await ended;
    const after = await other.kinds('a');
    other.destroy();
    return [answer, killed, error, after];
}

start(methods, commands, cache, transactions, maps, kill);
