// The queues of BullMQ. A third argument says which client they use: ioredis or redis.
//
// Workers take one job at a time, so what they do has one order, and are closed at the end of a step.

const { clock, failure, port, protocol, start, until } = require('./flow');
const { DelayedError, FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } = require('bullmq');
const { Redis } = require('ioredis');
const { createClient } = require('redis');

const client = process.argv[4];
const minute = 60_000;

// Looks at the server beside the queues.
const observer = new Redis({ host: '127.0.0.1', port, retryStrategy: null });

// What to connect with: options for ioredis, or a client of node-redis, which BullMQ duplicates.
const connection = () =>
    client === 'ioredis'
        ? { host: '127.0.0.1', port, protocol }
        : createClient({ RESP: protocol, socket: { host: '127.0.0.1', port } });

const queueNamed = (name) => new Queue(name, { connection: connection() });
const mail = queueNamed('mail');

const states = (queue) =>
    queue.getJobCounts('active', 'completed', 'delayed', 'failed', 'paused', 'prioritized', 'wait', 'waiting-children');

// Jobs in some states, as they are stored.
const listed = async (queue, ...types) => (await queue.getJobs(types, 0, -1, true)).map((job) => job.toJSON());

// Runs a worker until so many jobs have ended, one way or the other, and nothing is left that is due.
async function work(queue, count, process, options = {}) {
    const [seen, errors] = [[], []];
    const worker = new Worker(queue.name, process, {
        connection: connection(),
        autorun: false,
        drainDelay: 1,
        skipStalledCheck: true,
        ...options,
    });
    worker.on('error', (error) => errors.push(error));
    worker.on('completed', (job, value) => seen.push([job.id, 'completed', value]));
    worker.on('failed', (job, error) => seen.push([job.id, 'failed', error.message, job.attemptsMade]));
    worker.run();
    await until(`${count} jobs`, () => {
        if (errors.length) throw errors[0];
        return seen.length >= count;
    });
    // An idle worker takes what marks that there is work, and waits for more; a limited one waits for its time.
    if (!options.limiter) await until('idle', async () => !(await observer.exists(`bull:${queue.name}:marker`)));
    await worker.close();
    if (errors.length) throw errors[0];
    return seen;
}

async function jobs() {
    const added = [
        await mail.add('plain', { to: 'alice', tags: [], nested: { ok: true, none: null, pi: 3.14159 } }),
        ...(await mail.addBulk([3, 1, 2].map((at) => ({ name: 'bulk', data: { at }, opts: { priority: at } })))),
        await mail.add('last in', {}, { lifo: true, jobId: 'lifo' }),
        await mail.add('again', {}, { jobId: 'lifo' }),
        await mail.add('later', { ä: '€' }, { delay: minute, jobId: 'later' }),
        await mail.add('sooner', {}, { delay: 2 * minute, jobId: 'sooner' }),
        await mail.add('once', { at: 1 }, { deduplication: { id: 'dedup', ttl: 10 * minute }, jobId: 'first' }),
        await mail.add('once', { at: 2 }, { deduplication: { id: 'dedup', ttl: 10 * minute }, jobId: 'second' }),
    ];
    return [added.map((job) => job.id), await states(mail), await mail.getDeduplicationJobId('dedup')];
}

async function changes() {
    const later = await mail.getJob('later');
    await later.changeDelay(3 * minute);
    await later.changePriority({ priority: 7 });
    await later.updateData({ changed: true });
    await later.updateProgress({ percent: 12.5 });
    await (await mail.getJob('sooner')).promote();
    const plain = await mail.getJob('1');
    const kept = [];
    for (const row of ['a line', 'ä second', 'a third']) kept.push(await mail.addJobLog(plain.id, row, 2));
    await mail.pause();
    await mail.add('while paused', {}, { jobId: 'held' });
    const paused = [await mail.isPaused(), await states(mail)];
    await mail.resume();
    const counts = await mail.getCountsPerPriority([0, 1, 2, 3, 7]);
    const where = [];
    for (const id of ['1', '2', 'later', 'sooner', 'lifo', 'nothing']) where.push([id, await mail.getJobState(id)]);
    const missing = await failure((await mail.getJob('lifo')).promote());
    const jobs = [await listed(mail, 'wait', 'delayed'), await listed(mail, 'prioritized')];
    return [kept, await mail.getJobLogs('1'), paused, counts, where, missing, jobs];
}

async function worker() {
    const order = [];
    const seen = await work(
        mail,
        8,
        async (job) => {
            order.push(job.id);
            await job.updateProgress(50);
            await job.log(`runs ${job.name}`);
            return { name: job.name, sum: 0.1 + 0.2, ä: [1, null] };
        },
        { metrics: { maxDataPoints: 10 }, name: 'washer' },
    );
    return [order, seen, await states(mail), await mail.getMetrics('completed'), await listed(mail, 'completed')];
}

async function failures() {
    await mail.add('fails twice', {}, { jobId: 'twice', attempts: 3, backoff: { type: 'exponential', delay: 1000 } });
    await mail.add('gives up', {}, { jobId: 'gives-up', stackTraceLimit: 1 });
    await mail.add('hopeless', {}, { jobId: 'hopeless', attempts: 5, removeOnFail: true });
    await mail.add('short', {}, { jobId: 'short', removeOnComplete: { count: 2 } });
    const put = { done: false };
    const process = async (job, token) => {
        if (job.name === 'gives up') throw new Error('as told');
        if (job.name === 'hopeless') throw new UnrecoverableError('for good');
        if (job.name === 'short' && !put.done) {
            put.done = true;
            await job.moveToDelayed(clock.now + 5000, token);
            throw new DelayedError();
        }
        if (job.name === 'fails twice' && job.attemptsMade < 2) throw new Error(`attempt ${job.attemptsMade}`);
        return 'well';
    };
    const stack = (job) => ({ ...job, stacktrace: job.stacktrace.map((text) => text.split('\n')[0]) });
    const rounds = [];
    for (const [jobs, seconds] of [[3, 1], [1, 4], [2, 0]]) {
        rounds.push(await work(mail, jobs, process), await states(mail));
        clock.advance(seconds * 1000);
    }
    const failed = (await listed(mail, 'failed')).map(stack);
    await (await mail.getJob('gives-up')).retry();
    const retried = [await mail.getJobState('gives-up'), await states(mail)];
    rounds.push(await work(mail, 1, process));
    await mail.retryJobs({ state: 'failed' });
    return [rounds, failed, retried, await states(mail)];
}

async function flow() {
    const flows = new FlowProducer({ connection: connection() });
    const child = (jobId, more) => ({ name: 'child', queueName: 'parts', data: { jobId }, opts: { jobId, ...more } });
    await flows.add({
        name: 'parent',
        queueName: 'whole',
        opts: { jobId: 'parent' },
        children: [
            child('one'),
            child('fails', { ignoreDependencyOnFailure: true }),
            { ...child('two', { priority: 2 }), children: [child('deep'), child('deeper', { delay: minute })] },
        ],
    });
    const single = (name, more) => ({
        name,
        queueName: 'whole',
        opts: { jobId: name },
        children: [child(`fails ${name}`, more)],
    });
    await flows.addBulk([
        single('strict', { failParentOnFailure: true }),
        single('lenient', { continueParentOnFailure: true }),
    ]);
    const [whole, parts] = ['whole', 'parts'].map(queueNamed);
    const parent = await whole.getJob('parent');
    const ignored = [];
    const before = [await parent.getDependenciesCount(), await states(whole), await states(parts)];
    const process = async (job) => {
        if (job.id.startsWith('fails')) throw new Error(`${job.id} as told`);
        const values = Object.values(await job.getChildrenValues());
        ignored.push(await job.getIgnoredChildrenFailures());
        // Short, so that the hash of the results keeps its order, which otherwise depends on the server's process.
        return values.reduce((sum, value) => sum + value, 1);
    };
    const rounds = [await work(parts, 5, process), await states(parts)];
    clock.advance(minute);
    rounds.push(await work(parts, 2, process), await work(whole, 3, process));
    const tree = (node) => [node.job.id, node.children?.map(tree).sort()];
    const shape = tree(await flows.getFlow({ id: 'parent', queueName: 'whole' }));
    const after = [await parent.getState(), await parent.getDependencies(), await states(whole), await states(parts)];
    const families = [await listed(whole, 'completed'), await whole.remove('parent'), await states(parts)];
    await Promise.all([flows, whole, parts].map((each) => each.close()));
    return [before, rounds, ignored, shape, after, families];
}

async function rate() {
    const queue = queueNamed('limited');
    const options = { limiter: { max: 2, duration: 10 * minute }, maximumRateLimitDelay: 1 };
    await queue.addBulk([1, 2, 3, 4, 5, 6].map((at) => ({ name: 'call', data: { at } })));
    const rounds = [await work(queue, 2, async (job) => job.data.at, options), await states(queue)];
    rounds.push((await queue.getRateLimitTtl(2)) > 0, await queue.getRateLimitTtl(3));
    rounds.push(await queue.removeRateLimitKey(), await queue.getRateLimitTtl(2));
    rounds.push(await work(queue, 2, async (job) => job.data.at, options), await states(queue));
    await queue.removeRateLimitKey();
    // By hand: the job goes back, and nobody gets one until the time is over.
    let limited = 0;
    const byHand = async (job) => {
        if (limited++ === 0) {
            await queue.rateLimit(10 * minute);
            throw Worker.RateLimitError();
        }
        return job.data.at;
    };
    const lifted = until('limited', async () => limited > 0 && (await states(queue)).active === 0);
    const freed = lifted.then(async () => {
        const ttl = await queue.getRateLimitTtl();
        await queue.removeRateLimitKey();
        return ttl > 0;
    });
    rounds.push(await work(queue, 2, byHand, { ...options, limiter: { max: 5, duration: 10 * minute } }), await freed);
    await queue.setGlobalRateLimit(1, minute);
    await queue.setGlobalConcurrency(1);
    rounds.push(await queue.getGlobalRateLimit(), await queue.getGlobalConcurrency(), await queue.isMaxed());
    await queue.close();
    return rounds;
}

async function repetition() {
    const queue = queueNamed('repeated');
    const tick = { name: 'tick', data: { a: 1 } };
    const first = await queue.upsertJobScheduler('every', { every: minute, limit: 3 }, tick);
    const night = { name: 'night', opts: { attempts: 2, priority: 3 } };
    await queue.upsertJobScheduler('cron', { pattern: '0 0 3 * * *', tz: 'Europe/Berlin' }, night);
    const schedules = [first.id, await queue.getJobSchedulers(0, -1, true), await states(queue)];
    const rounds = [];
    for (let round = 0; round < 3; round++) {
        rounds.push(await work(queue, 1, async (job) => `${job.name} ${job.repeatJobKey}`), await states(queue));
        clock.advance(minute);
    }
    await queue.upsertJobScheduler('every', { every: 2 * minute, offset: 1000 }, { name: 'slower' });
    const slower = [await queue.getJobScheduler('every'), await queue.getJobSchedulersCount()];
    const removed = [await queue.removeJobScheduler('cron'), await queue.removeJobScheduler('cron')];
    const left = [await listed(queue, 'wait', 'delayed', 'prioritized'), await queue.getJobSchedulers()];
    await queue.close();
    return [schedules, rounds, slower, removed, left];
}

async function stalls() {
    // Jobs fetched by hand, of which one is lost: its lock goes away, and the check gives it to somebody else.
    const queue = queueNamed('stalled');
    const options = { connection: connection(), autorun: false, stalledInterval: minute, maxStalledCount: 1 };
    const hand = new Worker('stalled', null, options);
    await hand.waitUntilReady();
    await queue.addBulk([1, 2, 3].map((at) => ({ name: 'call', data: { at } })));
    const fetched = [];
    for (const token of ['one', 'two', 'three']) fetched.push(await hand.getNextJob(token, { block: false }));
    const [one, two, three] = fetched;
    const results = [await states(queue), await one.extendLock('one', minute)];
    results.push(await failure(one.moveToCompleted('stolen', 'somebody else', false)));
    results.push(await one.moveToCompleted({ by: 'hand' }, 'one', false));
    results.push(await two.moveToFailed(new Error('by hand'), 'two', false));
    const stalled = [];
    hand.on('stalled', (id) => stalled.push(id));
    for (let round = 0; round < 2; round++) {
        await observer.del('bull:stalled:stalled-check', `bull:stalled:${three.id}:lock`);
        await hand.startStalledCheckTimer();
        await until('checked', () => observer.exists('bull:stalled:stalled-check'));
    }
    results.push(stalled, await states(queue), await three.getState());
    await hand.close();
    results.push(await work(queue, 1, async () => 'found'), await listed(queue, 'completed'));
    await queue.close();
    return results;
}

async function events() {
    const queue = queueNamed('watched');
    const watch = new QueueEvents('watched', { connection: connection(), lastEventId: '0' });
    const seen = [];
    for (const kind of ['added', 'waiting', 'active', 'completed']) {
        watch.on(kind, ({ jobId }) => seen.push([kind, jobId]));
    }
    await watch.waitUntilReady();
    const job = await queue.add('call', {}, { jobId: 'watched' });
    const finished = job.waitUntilFinished(watch);
    const worked = await work(queue, 1, async () => ({ well: true }));
    const value = await finished;
    await queue.trimEvents(2);
    await watch.close();
    await queue.close();
    return [worked, value, seen];
}

async function cleaning() {
    const results = [await mail.clean(0, 2, 'completed'), await states(mail)];
    await mail.promoteJobs();
    results.push(await states(mail), await mail.remove('lifo'), await mail.removeDeduplicationKey('dedup'));
    await observer.script('FLUSH');
    results.push((await mail.add('after a flush', {})).id, await states(mail));
    await mail.drain(true);
    results.push(await states(mail));
    await mail.obliterate({ force: true });
    results.push(await observer.keys('bull:mail:*'));
    return results;
}

start(jobs, changes, worker, failures, flow, rate, repetition, stalls, events, cleaning);
