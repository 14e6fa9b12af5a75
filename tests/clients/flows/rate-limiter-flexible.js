// Limits of rate-limiter-flexible, with ioredis and with node-redis.

const { failure, port, protocol, start } = require('./flow');
const { Redis } = require('ioredis');
const { createClient } = require('redis');
const { BurstyRateLimiter, RateLimiterQueue, RateLimiterRedis, RateLimiterUnion } = require('rate-limiter-flexible');

const ioredis = new Redis({ host: '127.0.0.1', port, protocol, retryStrategy: null });
const nodeRedis = createClient({ RESP: protocol, socket: { host: '127.0.0.1', port, reconnectStrategy: false } });

// What the server has left of a time depends on when it is asked.
const shown = (result) =>
    result && {
        remaining: result.remainingPoints,
        consumed: result.consumedPoints,
        first: result.isFirstInDuration,
        waits: result.msBeforeNext > 0 ? Math.ceil(result.msBeforeNext / 10_000) : result.msBeforeNext,
    };

// What an allowed and what a refused call returns.
const consumed = (promise) => promise.then(shown, (error) => ({ refused: error.msBeforeNext ? shown(error) : error }));

async function strategies(client, prefix, options) {
    const results = [];
    const limiter = new RateLimiterRedis({
        storeClient: client,
        keyPrefix: `${prefix}:few`,
        points: 3,
        duration: 60,
        blockDuration: 90,
        ...options,
    });
    for (const points of [1, 1, 1, 1, 2]) results.push(await consumed(limiter.consume('alice', points)));
    results.push(shown(await limiter.penalty('bob', 2)), shown(await limiter.reward('bob', 1)));
    results.push(shown(await limiter.get('bob')), await limiter.get('nobody'));
    results.push(shown(await limiter.block('carol', 30)), await consumed(limiter.consume('carol')));
    results.push(await limiter.delete('bob'), await limiter.delete('bob'));
    results.push(shown(await limiter.set('dora', 2, 60)), await consumed(limiter.consume('dora', 1)));
    results.push(await consumed(limiter.consume('dora', 1)), await failure(limiter.consume('dora', 1.5)));

    // Without a duration there is no script.
    const forever = new RateLimiterRedis({
        storeClient: client,
        keyPrefix: `${prefix}:forever`,
        points: 3,
        duration: 0,
        ...options,
    });
    results.push(await consumed(forever.consume('erin', 2)), await consumed(forever.consume('erin', 2)));
    return results;
}

const withIoredis = () => strategies(ioredis, 'ioredis', {});

async function withNodeRedis() {
    await nodeRedis.connect();
    return strategies(nodeRedis, 'node-redis', { useRedisPackage: true });
}

async function combinations() {
    const limit = (keyPrefix, points, duration, more) =>
        new RateLimiterRedis({ storeClient: ioredis, keyPrefix, points, duration, ...more });
    const results = [];
    const bursty = new BurstyRateLimiter(limit('steady', 1, 60), limit('burst', 2, 600));
    for (let call = 0; call < 4; call++) results.push(await consumed(bursty.consume('frank')));
    const union = new RateLimiterUnion(limit('minutely', 1, 60), limit('hourly', 3, 3600));
    const both = (result) => Object.entries(result).map(([name, one]) => [name, shown(one)]);
    for (let call = 0; call < 2; call++) results.push(await union.consume('grace').then(both, both));
    const queue = new RateLimiterQueue(limit('queue', 4, 600), { maxQueueSize: 1 });
    results.push(await queue.removeTokens(3), await queue.getTokensRemaining(), await failure(queue.removeTokens(5)));
    return results;
}

async function script() {
    // A script of the user's own: every call costs at least two.
    const limiter = new RateLimiterRedis({
        storeClient: ioredis,
        keyPrefix: 'dear',
        points: 5,
        duration: 60,
        customIncrTtlLuaScript: `
            local spent = redis.call('INCRBY', KEYS[1], math.max(2, ARGV[1]))
            if redis.call('PTTL', KEYS[1]) < 0 then
                redis.call('EXPIRE', KEYS[1], ARGV[2])
            end
            return { spent, redis.call('PTTL', KEYS[1]) }`,
    });
    const results = [];
    for (const points of [1, 3, 1]) results.push(await consumed(limiter.consume('heidi', points)));
    await ioredis.script('FLUSH');
    results.push(await consumed(limiter.consume('ivan', 5)));
    return results;
}

start(withIoredis, withNodeRedis, combinations, script);
