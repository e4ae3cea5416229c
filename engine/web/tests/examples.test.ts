// The two examples of `engine-workers`: a file in the browser, and the browser in a file.

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Browser } from 'playwright-core';

import { frames, launch, person, until } from './browser';
import type { Person } from './browser';

const HERE = new URL('.', import.meta.url).pathname;
const TARGET = process.env.CARGO_TARGET_DIR ?? join(HERE, '../../../target');

let browser: Browser;
let folder: string;
let running: Example[] = [];
let people: Person[] = [];

beforeAll(async () => {
  browser = await launch();
  folder = mkdtempSync(join(tmpdir(), 'skywave-examples-'));
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(async () => {
  for (const { context } of people) await context.close();
  for (const example of running) await example.stop();
  [people, running] = [[], []];
});

/** An example that runs, and what it has said. */
class Example {
  said = '';
  private readonly child: ChildProcess;

  constructor(name: string, ...options: string[]) {
    const binary = join(TARGET, 'debug/examples', name);
    if (!existsSync(binary)) throw new Error(`no ${binary}: cargo build -p engine-workers --example ${name}`);
    if (!existsSync(join(TARGET, 'debug/skywave-worker'))) throw new Error('no worker: cargo build -p media-worker');
    this.child = spawn(binary, [...options, '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.said += chunk.toString()));
    }
    running.push(this);
  }

  async url(): Promise<string> {
    const probe = () => Promise.resolve(/open (http:\S+)/.exec(this.said)?.[1] ?? `still closed: ${this.said}`);
    return until('the example listens', probe, (text) => text.startsWith('http'));
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }
}

function run(program: string, ...options: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, options, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program}: ${stderr}`);
  return stdout;
}

async function open(url: string): Promise<Person> {
  const someone = await person(browser, url);
  people.push(someone);
  return someone;
}

/** How many samples of sound a page's connection has played: of a muted picture, too. */
async function samples(): Promise<number> {
  const { connection } = globalThis as unknown as { connection: RTCPeerConnection };
  let count = 0;
  (await connection.getStats()).forEach((entry: RTCInboundRtpStreamStats) => {
    if (entry.type === 'inbound-rtp' && entry.kind === 'audio') count += entry.jitterBufferEmittedCount ?? 0;
  });
  return count;
}

test('a file is seen and heard by two browsers, one of which comes later', async () => {
  const film = join(folder, 'film.mp4');
  const picture = ['-f', 'lavfi', '-i', 'testsrc=size=320x240:rate=25:duration=2', '-c:v', 'libx264', '-g', '25', '-bf', '0', '-pix_fmt', 'yuv420p'];
  run('ffmpeg', '-nostdin', '-loglevel', 'error', '-f', 'lavfi', '-i', 'sine=duration=2', ...picture, '-c:a', 'libopus', film);
  const example = new Example('file_to_browser', film);
  const url = await example.url();
  expect(example.said).toContain('payloads');
  for (let viewer = 0; viewer < 2; viewer++) {
    const { page } = await open(url);
    // Beyond the film's own length: it goes on with its beginning.
    await until('pictures are shown', () => frames(page, 'video'), ({ count, width }) => count > 70 && width === 320);
    await until('sound is heard', () => page.evaluate(samples), (count) => count > 48_000);
  }
  for (const { complaints } of people) expect(complaints).toEqual([]);
});

test('a browser is recorded, twice, and the files play', async () => {
  const recordings = join(folder, 'recordings');
  const example = new Example('browser_to_file', recordings);
  const { page, complaints } = await open(await example.url());
  for (let count = 1; count <= 2; count++) {
    await page.getByRole('button', { name: 'Record' }).click();
    await page.waitForTimeout(4_000);
    await page.getByRole('button', { name: 'Stop' }).click();
    await until('the file is complete', () => Promise.resolve(example.said), (said) => said.split('\ncomplete').length > count);
  }
  const files = readdirSync(recordings).filter((name) => !name.endsWith('.json'));
  expect(files.length).toBe(2);
  for (const file of files) {
    const path = join(recordings, file);
    const told = run('ffprobe', '-v', 'error', '-count_frames', '-show_entries', 'stream=codec_type,nb_read_frames', '-of', 'json', path);
    const { streams } = JSON.parse(told) as { streams: { codec_type: string; nb_read_frames: string }[] };
    const frames_of = (type: string) => Number(streams.find((it) => it.codec_type === type)?.nb_read_frames);
    expect(frames_of('video')).toBeGreaterThan(30);
    expect(frames_of('audio')).toBeGreaterThan(100);
    // Every picture can be decoded.
    run('ffmpeg', '-nostdin', '-v', 'error', '-xerror', '-i', path, '-f', 'null', '-');
  }
  expect(complaints).toEqual([]);
});
