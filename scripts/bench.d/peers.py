#!/usr/bin/env python3
"""Runs Meterline, BullMQ and bare scripts in turns, each on a private Redis of its own, and compares them.

A queue is a command with `enqueue N bulk`, `rate R SECONDS` and `work SLOTS`; each job that it has finished
appends 16 bytes to a file: how old it was when its slot ran, and when it was settled. What counts is taken from outside: the file, and the counters of the server. The
speed of a shared machine moves from minute to minute: only ratios within one round are printed."""
import argparse, json, os, pathlib, shutil, signal, socket, statistics, struct, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
PAYLOAD = 'p' * 600
AGES_BYTES = 16


class Redis:
    """A private server, and a plain connection that reads its counters."""

    def __init__(self, append_only):
        self.folder = tempfile.mkdtemp(prefix='meterline-bench-')
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        program = shutil.which('redis-server') or shutil.which('valkey-server')
        keep = ['--appendonly', 'yes' if append_only else 'no', '--appendfsync', 'everysec', '--save', '']
        self.process = subprocess.Popen([program, '--port', str(self.port), '--bind', '127.0.0.1', '--dir', self.folder,
                                         '--loglevel', 'warning', *keep], stdout=subprocess.DEVNULL)
        deadline = time.time() + 10
        while True:
            try:
                self.connection = socket.create_connection(('127.0.0.1', self.port))
                break
            except OSError:
                if time.time() > deadline:
                    raise
                time.sleep(0.02)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.connection.makefile('rb')

    def send(self, commands):
        """Sends commands in one piece and returns their replies."""
        text = b''
        for command in commands:
            parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
            text += b'*%d\r\n' % len(parts) + b''.join(b'$%d\r\n%s\r\n' % (len(part), part) for part in parts)
        self.connection.sendall(text)
        return [self.read() for _ in commands]

    def read(self):
        line = self.replies.readline()
        kind, value = line[:1], line[1:-2]
        if kind == b'-':
            raise RuntimeError(value.decode())
        if kind == b'$':
            return None if value == b'-1' else self.replies.read(int(value) + 2)[:-2]
        if kind == b'*':
            return [self.read() for _ in range(int(value))]
        return value

    def cpu_s(self):
        lines = self.send([('INFO', 'cpu')])[0].decode().splitlines()
        fields = dict(line.split(':', 1) for line in lines if ':' in line)
        return float(fields['used_cpu_sys']) + float(fields['used_cpu_user'])

    def stop(self):
        self.connection.close()
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


class Queue:
    """A queue that is driven through its command."""

    def __init__(self, name, command, environment):
        self.name, self.command, self.environment = name, command, environment

    def start(self, redis, out, *arguments):
        environment = dict(os.environ, **self.environment, REDIS_PORT=str(redis.port), OUT=out, NODE_ENV='production')
        command = [part.replace('@PORT@', str(redis.port)) for part in self.command]
        return subprocess.Popen([*command, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, text=True)

    def finish(self, redis, out, *arguments):
        process = self.start(redis, out, *arguments)
        process.communicate(timeout=300)
        if process.returncode != 0:
            sys.exit(f'{self.name}: {arguments} failed')

    def measure(self, options):
        redis = Redis(options.aof)
        out = os.path.join(redis.folder, 'finished')
        worker = None
        try:
            if self.name == 'meterline':
                self.finish(redis, out, 'prepare')
            before = redis.cpu_s()
            self.finish(redis, out, 'enqueue', options.jobs, 'bulk')
            enqueue_us = (redis.cpu_s() - before) / options.jobs * 1e6

            before = redis.cpu_s()
            worker = self.start(redis, out, 'work', options.slots)
            await_finished(out, options.jobs, worker)
            work_us = (redis.cpu_s() - before) / options.jobs * 1e6

            before, began = redis.cpu_s(), time.time()
            producer = self.start(redis, out, 'enqueue', options.jobs, 'bulk')
            await_finished(out, 2 * options.jobs, worker)
            both_per_s = options.jobs / (time.time() - began)
            both_us = (redis.cpu_s() - before) / options.jobs * 1e6
            producer.communicate(timeout=60)

            self.finish(redis, out, 'rate', 100, options.rate_seconds)
            await_finished(out, 2 * options.jobs + 100 * options.rate_seconds, worker)
            starts, ends = ages_in(pathlib.Path(out).read_bytes()[2 * options.jobs * AGES_BYTES:])
            return {'enqueue_cpu_us': enqueue_us, 'work_cpu_us': work_us, 'lifecycle_cpu_us': enqueue_us + work_us,
                    'both_per_s': both_per_s, 'both_cpu_us': both_us,
                    'start_p50_ms': part_of(starts, 50), 'start_p99_ms': part_of(starts, 99),
                    'latency_p50_ms': part_of(ends, 50), 'latency_p99_ms': part_of(ends, 99)}
        finally:
            if worker:
                worker.send_signal(signal.SIGTERM)
                try:
                    worker.wait(10)
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()
            redis.stop()


def ages_in(records):
    """From submission to slot and to settlement, in us, each sorted."""
    ages = struct.unpack(f'<{len(records) // 8}d', records)
    return sorted(ages[0::2]), sorted(ages[1::2])


def part_of(sorted_us, percent):
    return sorted_us[len(sorted_us) * percent // 100] / 1e3


def await_finished(out, jobs, worker):
    deadline = time.time() + 300
    while not os.path.exists(out) or os.path.getsize(out) // AGES_BYTES < jobs:
        if worker.poll() is not None or time.time() > deadline:
            sys.exit('a worker ended, or did not finish its jobs')
        time.sleep(0.02)


class Ceiling:
    """The least that a hold, a claim and a settlement can be: three bare scripts, 50 calls on their way at a
    time. No lanes, no deadlines, no expiry, no idempotency key, no chained journal."""

    name = 'ceiling'

    def measure(self, options):
        redis = Redis(options.aof)
        try:
            names = ('hold', 'claim', 'settle')
            sha = {name: redis.send([('SCRIPT', 'LOAD', (HERE / f'ceiling/{name}.lua').read_text())])[0] for name in names}
            redis.send([('HSET', f'account:{n}', 'available', 10**12, 'held', 0, 'captured', 0) for n in range(1000)])
            redis.send([('XGROUP', 'CREATE', 'stream', 'workers', '0', 'MKSTREAM')])
            jobs = [(f'{n:036}', f'account:{n % 1000}') for n in range(options.jobs)]
            accounts = dict(jobs)
            before = redis.cpu_s()
            for calls in batches([('EVALSHA', sha['hold'], 4, account, f'job:{job}', 'stream', 'journal', job, 35, PAYLOAD)
                                  for job, account in jobs]):
                redis.send(calls)
            held = redis.cpu_s()
            claimed = []
            while len(claimed) < options.jobs:
                claimed += redis.send([('EVALSHA', sha['claim'], 1, 'stream', 'w1', 16)])[0]
            for calls in batches([('EVALSHA', sha['settle'], 4, accounts[job.decode()], b'job:' + job, 'stream', 'journal', job,
                                   entry, takes, 28, '{"file":"x"}') for entry, job, takes, _ in claimed]):
                if redis.send(calls) != [b'1'] * len(calls):
                    sys.exit('the ceiling settled nothing')
            done = redis.cpu_s()
            enqueue_us, work_us = ((held - before) / options.jobs * 1e6, (done - held) / options.jobs * 1e6)
            return {'enqueue_cpu_us': enqueue_us, 'work_cpu_us': work_us, 'lifecycle_cpu_us': enqueue_us + work_us}
        finally:
            redis.stop()


def batches(calls, size=50):
    return (calls[n:n + size] for n in range(0, len(calls), size))


def ratios(rounds):
    """Ours against each other one, round by round, and the middle of the rounds."""
    def middle(of):
        return round(statistics.median(of(one) for one in rounds), 2)
    return {
        'both_at_once_vs_bullmq': middle(lambda one: one['meterline']['both_per_s'] / one['bullmq']['both_per_s']),
        'redis_cpu_per_job_vs_bullmq': middle(lambda one: one['meterline']['lifecycle_cpu_us'] / one['bullmq']['lifecycle_cpu_us']),
        'start_p50_vs_bullmq': middle(lambda one: one['meterline']['start_p50_ms'] / one['bullmq']['start_p50_ms']),
        'latency_p50_vs_bullmq': middle(lambda one: one['meterline']['latency_p50_ms'] / one['bullmq']['latency_p50_ms']),
        'lifecycles_per_redis_cpu_s_vs_ceiling': middle(lambda one: one['ceiling']['lifecycle_cpu_us'] / one['meterline']['lifecycle_cpu_us']),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument('--meterline', required=True)
    arguments.add_argument('--node-modules', required=True)
    arguments.add_argument('--jobs', type=int, default=20000)
    arguments.add_argument('--slots', type=int, default=100)
    arguments.add_argument('--rounds', type=int, default=3)
    arguments.add_argument('--rate-seconds', type=int, default=5)
    arguments.add_argument('--fsync', choices=('both', 'everysec', 'none'), default='both')
    arguments.add_argument('--output', choices=('table', 'json'), default='table')
    options = arguments.parse_args()
    url = 'redis://127.0.0.1:@PORT@'
    peers = [Queue('meterline', [options.meterline, '--redis', url, 'bench', 'peer'], {}),
             Queue('bullmq', ['node', str(HERE / 'bullmq.mjs')], {'NODE_MODULES': options.node_modules}), Ceiling()]
    result = {}
    for label, aof in (('everysec', True), ('none', False)):
        if options.fsync not in ('both', label):
            continue
        options.aof, rounds = aof, []
        for n in range(options.rounds):
            rounds.append({})
            for peer in peers:
                print(f'append-only file {label}, round {n + 1} of {options.rounds}: {peer.name}', file=sys.stderr)
                rounds[-1][peer.name] = {name: round(value, 2) for name, value in peer.measure(options).items()}
        result[label] = {'ratios': ratios(rounds), 'rounds': rounds}
    if options.output == 'json':
        print(json.dumps(result))
        return
    for label, found in result.items():
        print(f'append-only file: {label}')
        for name, ratio in found['ratios'].items():
            print(f'  {name.replace("_", " "):45}{ratio:6.2f}')


main()
