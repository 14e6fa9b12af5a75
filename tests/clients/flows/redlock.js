// Locks of redlock: taken, refused, waited for, kept for longer, given back, lost.

const { clock, failure, port, protocol, start, until } = require('./flow');
const { Redis } = require('ioredis');
const Redlock = require('redlock');

const client = new Redis({ host: '127.0.0.1', port, protocol, retryStrategy: null });
const impatient = new Redlock([client], { retryCount: 0 });
const patient = new Redlock([client], { retryCount: -1, retryDelay: 1, retryJitter: 0 });
const minute = 60_000;

const shown = ({ resource, value, expiration, attempts }) => ({ resource, value, expiration, attempts });

let both;

async function lock() {
    both = await impatient.lock(['lock:a', 'lock:b'], minute);
    return shown(both);
}

async function conflict() {
    const wanted = ['lock:b', ['lock:c', 'lock:a']];
    return Promise.all(wanted.map((resource) => failure(impatient.lock(resource, minute))));
}

async function extension() {
    clock.advance(10_000);
    return shown(await both.extend(2 * minute));
}

async function lateness() {
    // By its own clock, a lock that is over is not extended; the server still has it.
    clock.advance(3 * minute);
    return failure(both.extend(minute));
}

// How many scripts the server was asked for by their digest.
const calls = async () => Number((await client.info('commandstats')).match(/evalsha:calls=(\d+)/)[1]);

async function release() {
    const before = await calls();
    const waiting = patient.lock('lock:b', minute);
    let over = false;
    waiting.then(() => (over = true));
    // It takes a refused lock back before it tries again.
    await until('it has tried twice', async () => (await calls()) >= before + 4);
    const early = over;
    await both.unlock();
    return [early, (await waiting).resource, await failure(both.unlock())];
}

async function disposal() {
    const { using } = require('bluebird');
    const held = [];
    await using(impatient.disposer('lock:d', minute), async () => held.push(...(await client.keys('lock:d'))));
    return [held, await client.exists('lock:d')];
}

async function theft() {
    const stolen = await impatient.lock('lock:e', minute);
    await client.set('lock:e', 'somebody else', 'KEEPTTL');
    const refused = [await failure(stolen.extend(minute)), await failure(stolen.unlock())];
    await client.script('FLUSH');
    const again = await impatient.lock('lock:f', minute);
    return [refused, shown(again)];
}

start(lock, conflict, extension, lateness, release, disposal, theft);
