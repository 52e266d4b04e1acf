// BullMQ as a peer: `enqueue N single|par|bulk`, `rate R SECONDS`, `work SLOTS`. A job's data are its
// time of submission and 600 bytes. A finished job appends two ages in microseconds to the file OUT: when its
// slot ran, and when the server had it as completed.
import { openSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.NODE_MODULES}/`);
const { Queue, Worker } = require('bullmq');
const { Redis } = require('ioredis');

const [command, first, second] = process.argv.slice(2);
const connection = new Redis(Number(process.env.REDIS_PORT), '127.0.0.1', { maxRetriesPerRequest: null });
const sleepMs = Number(process.env.SLEEP_MS ?? 0);
const padding = 'p'.repeat(600);
const nowUs = () => (performance.timeOrigin + performance.now()) * 1000;
const data = () => ({ ts: nowUs(), sleep_ms: sleepMs, pad: padding });
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function enqueue(queue, jobs, how) {
  if (how === 'bulk') {
    for (let done = 0; done < jobs; done += 500) {
      const size = Math.min(500, jobs - done);
      await queue.addBulk(Array.from({ length: size }, () => ({ name: 'job', data: data() })));
    }
    return;
  }
  let left = jobs;
  const producer = async () => {
    while (left-- > 0) await queue.add('job', data());
  };
  await Promise.all(Array.from({ length: how === 'par' ? 50 : 1 }, producer));
}

async function pace(queue, rate, seconds) {
  const began = performance.now();
  for (let n = 0; n < rate * seconds; n++) {
    const early = began + (n * 1000) / rate - performance.now();
    if (early > 0) await sleep(early);
    await queue.add('job', data());
  }
}

if (command === 'work') {
  const out = openSync(process.env.OUT, 'a');
  const ages = Buffer.alloc(16);
  const run = async (job) => {
    const startedUs = nowUs();
    if (job.data.sleep_ms) await sleep(job.data.sleep_ms);
    return startedUs;
  };
  const worker = new Worker('bench', run, { connection, concurrency: Number(first) });
  worker.on('completed', (job, startedUs) => {
    ages.writeDoubleLE(startedUs - job.data.ts);
    ages.writeDoubleLE(nowUs() - job.data.ts, 8);
    writeSync(out, ages);
  });
  worker.on('error', (error) => console.error(String(error)));
} else {
  const queue = new Queue('bench', { connection });
  await queue.waitUntilReady();
  const began = performance.now();
  if (command === 'enqueue') await enqueue(queue, Number(first), second);
  if (command === 'rate') await pace(queue, Number(first), Number(second));
  console.log(JSON.stringify({ s: (performance.now() - began) / 1000 }));
  await queue.close();
  connection.disconnect();
}
