// What the flows for Node.js share. Arguments of each: the server's port and the protocol, 2 or 3.
//
// Time stands still in a flow, unless a step moves it, and what is random is the same in each run. So what a package
// writes, and what it returns, depends on the server alone.

const crypto = require('node:crypto');
const readline = require('node:readline');
const { inspect } = require('node:util');

const [port, protocol] = process.argv.slice(2, 4).map(Number);

// How many milliseconds a condition may take before the flow gives up on it.
const PATIENCE = 20000;

const clock = {
    now: 1_800_000_000_000,
    advance(milliseconds) {
        this.now += milliseconds;
    },
};

class StandingDate extends Date {
    constructor(...when) {
        super(...(when.length ? when : [clock.now]));
    }

    static now() {
        return clock.now;
    }
}
globalThis.Date = StandingDate;

// So many bytes, others for each seed.
const draw = (count, seed) => crypto.createHash('shake256', { outputLength: count }).update(seed).digest();
let [names, numbers] = [0, 0];
const bytes = (count) => draw(count, `name ${names++}`);
crypto.randomBytes = (count, callback) => (callback ? callback(null, bytes(count)) : bytes(count));
crypto.randomUUID = () => bytes(16).toString('hex').replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
// Counted apart: how often somebody waits for a random time must not change what is drawn next.
Math.random = () => draw(4, `number ${numbers++}`).readUInt32LE() / 2 ** 32;

// What a promise that must fail says.
const failure = (promise) =>
    promise.then(
        (value) => {
            throw new Error(`${inspect(value)} instead of an error`);
        },
        (error) => `${error.name}: ${error.message}`,
    );

// Asks again and again until the answer is yes, and lets everything else happen in between.
async function until(what, ask) {
    const deadline = performance.now() + PATIENCE;
    while (!(await ask())) {
        if (performance.now() > deadline) throw new Error(`${what}: not within ${PATIENCE} ms`);
        await new Promise(setImmediate);
    }
}

// Carries out the steps in turn. After each, prints its name and its result, and waits for a line before the next one.
async function run(...steps) {
    const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const whole = { depth: null, maxArrayLength: null, maxStringLength: null, sorted: true };
    for (const step of steps) {
        console.log(JSON.stringify([step.name, inspect(await step(), whole)]));
        if ((await lines.next()).done) throw new Error('the driver has ended');
    }
}

const start = (...steps) =>
    run(...steps).then(
        () => process.exit(0),
        (error) => {
            console.error(error);
            process.exit(1);
        },
    );

module.exports = { PATIENCE, clock, failure, port, protocol, start, until };
