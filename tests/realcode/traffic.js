// Ordinary use of npm packages that bring Lua. Arguments: which package, and the server's port.

const assert = require('node:assert/strict');

const [name, port] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port) };

// Resolves when `count` events of any of these kinds have come.
const seen = (emitter, count, ...kinds) =>
    new Promise((resolve) => {
        for (const kind of kinds) emitter.on(kind, () => --count === 0 && resolve());
    });

async function bullmq() {
    const { FlowProducer, Queue, Worker } = require('bullmq');
    const queue = new Queue('mail', { connection });
    const minute = 60_000;

    // Jobs of every kind.
    await queue.add('plain', { to: 'alice', tags: [], nested: { ok: true, none: null, pi: 3.14159 } });
    await queue.addBulk([1, 2, 3].map((at) => ({ name: 'bulk', data: { at }, opts: { priority: at } })));
    await queue.add('last in', {}, { lifo: true, jobId: 'lifo' });
    await queue.add('later', { ä: '€' }, { delay: minute, jobId: 'later' });
    await queue.add('soon', {}, { delay: minute, jobId: 'soon' });
    await queue.add('fails', {}, { jobId: 'fails', attempts: 2, backoff: { type: 'fixed', delay: 1 } });
    await queue.add('gives up', {}, { jobId: 'gives-up' });
    await queue.add('once', {}, { deduplication: { id: 'dedup', ttl: minute } });
    await queue.add('once', {}, { deduplication: { id: 'dedup', ttl: minute } });
    await queue.add('twice', {}, { jobId: 'lifo' });
    await queue.upsertJobScheduler('every', { every: minute }, { name: 'tick', data: { a: 1 } });
    await queue.upsertJobScheduler('cron', { pattern: '0 0 3 * * *' }, { name: 'night' });
    const flows = new FlowProducer({ connection });
    const flow = await flows.add({
        name: 'parent',
        queueName: 'mail',
        opts: { jobId: 'parent' },
        children: [
            { name: 'child', queueName: 'mail', opts: { jobId: 'child-1' } },
            { name: 'child', queueName: 'mail', opts: { jobId: 'child-2', ignoreDependencyOnFailure: true } },
        ],
    });

    // Changes before anything runs.
    const later = await queue.getJob('later');
    await later.changeDelay(2 * minute);
    await later.changePriority({ priority: 7 });
    await later.updateData({ changed: true });
    await later.updateProgress(50);
    await later.log('a line');
    await (await queue.getJob('soon')).promote();
    await queue.pause();
    await queue.resume();
    for (const state of ['later', 'lifo', 'parent', 'nothing']) await queue.getJobState(state);
    await queue.getJobCounts();
    await queue.getCountsPerPriority([0, 1, 2, 3]);
    await queue.getJobs(['wait', 'delayed', 'prioritized', 'waiting-children'], 0, 5, true);
    await flow.job.getDependenciesCount();
    await queue.getJobSchedulers();
    await queue.setGlobalConcurrency(4);
    await queue.rateLimit(minute);
    await queue.getRateLimitTtl();
    await queue.removeRateLimitKey();

    // A worker that runs them. The failing ones fail as often as they may.
    const worker = new Worker(
        'mail',
        async (job) => {
            if (job.name === 'fails' || job.name === 'gives up') throw new Error('as told');
            await job.updateProgress({ half: true });
            await job.log(`ran ${job.name}`);
            return { name: job.name, sum: 0.1 + 0.2 };
        },
        { connection, concurrency: 2, metrics: { maxDataPoints: 10 }, autorun: false, drainDelay: 1 },
    );
    // All but the two that wait for their time and the jobs of the schedulers that do as well.
    const parent = new Promise((resolve) => worker.on('completed', (job) => job.id === 'parent' && resolve()));
    const failed = seen(worker, 3, 'failed');
    worker.run();
    await parent;
    await failed;
    await worker.close();

    // And afterwards.
    await (await queue.getJob('gives-up')).retry();
    const child = await queue.getJob('child-1');
    await child.isCompleted();
    await (await queue.getJob('parent')).getChildrenValues();
    await queue.getMetrics('completed');
    await queue.retryJobs({ state: 'failed' });
    await queue.promoteJobs();
    await queue.remove('lifo');
    await queue.removeJobScheduler('cron');
    await queue.removeDeduplicationKey('dedup');
    await queue.clean(0, 100, 'completed');
    await queue.trimEvents(5);
    await queue.drain(true);
    await queue.obliterate({ force: true });
    await Promise.all([queue.close(), flows.close()]);
}

async function bull() {
    const Queue = require('bull');
    const queue = new Queue('mail', { redis: connection, metrics: { maxDataPoints: 10 } });
    const minute = 60_000;
    await queue.isReady();
    await queue.add({ to: 'alice' });
    await queue.addBulk([1, 2, 3].map((at) => ({ data: { at }, opts: { priority: at } })));
    await queue.add({ last: 'in' }, { lifo: true, jobId: 'lifo' });
    await queue.add({ last: 'in' }, { jobId: 'lifo' });
    const later = await queue.add({}, { delay: minute, jobId: 'later' });
    await queue.add({}, { delay: minute, jobId: 'soon' });
    await queue.add({ fails: true }, { jobId: 'fails', attempts: 2, backoff: 1 });
    await queue.add({ fails: true }, { jobId: 'gives-up' });
    await queue.add({}, { repeat: { every: minute }, jobId: 'every' });
    await later.update({ changed: true });
    await later.progress(50);
    await later.log('a line');
    await (await queue.getJob('soon')).promote();
    await queue.pause();
    await queue.resume();
    await queue.getJobCounts();
    await queue.getCountsPerPriority([1, 2, 3]);
    await later.getState();

    const done = seen(queue, 6, 'completed');
    const failed = seen(queue, 3, 'failed');
    queue.process(2, async (job) => {
        if (job.data.fails) throw new Error('as told');
        await job.progress(100);
        return { sum: 0.1 + 0.2 };
    });
    await done;
    await failed;
    await queue.pause(true);

    await (await queue.getJob('gives-up')).retry();
    await (await queue.getJob('lifo')).finished();
    await queue.retryJobs({});
    await queue.removeRepeatable({ every: minute, jobId: 'every' });
    await queue.removeJobs('so*');
    await later.remove();
    await queue.clean(0, 'completed');
    await queue.empty();
    await queue.obliterate({ force: true });
    await queue.close();
}

async function rateLimiterFlexible() {
    const { Redis } = require('ioredis');
    const { RateLimiterRedis } = require('rate-limiter-flexible');
    const client = new Redis(connection);
    const limiter = new RateLimiterRedis({ storeClient: client, points: 3, duration: 60, blockDuration: 90 });
    for (const points of [1, 1, 1, 1, 2]) await limiter.consume('alice', points).catch(() => {});
    await limiter.penalty('bob', 2);
    await limiter.reward('bob', 1);
    await limiter.get('bob');
    await limiter.block('bob', 30);
    await limiter.delete('bob');
    const forever = new RateLimiterRedis({ storeClient: client, points: 3, duration: 0, keyPrefix: 'forever' });
    await forever.consume('carol');
    client.disconnect();
}

async function redlock() {
    const { Redis } = require('ioredis');
    const Redlock = require('redlock');
    const client = new Redis(connection);
    const locks = new Redlock([client], { retryCount: 0 });
    const lock = await locks.lock(['lock:a', 'lock:b'], 60_000);
    await assert.rejects(locks.lock('lock:b', 60_000));
    const longer = await lock.extend(90_000);
    await longer.unlock();
    await assert.rejects(longer.unlock());
    client.disconnect();
}

({ bull, bullmq, rateLimiterFlexible, redlock })[name]().catch((error) => {
    console.error(error);
    process.exit(1);
});
