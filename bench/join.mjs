// From the wish to watch until the first picture is decoded, in Debian's Chromium: one page
// publishes its made-up camera by WHIP, another joins by WHEP again and again.
//
//   node bench/join.mjs [--skywave target/release/skywave] [--joins 40] [--shards 2] [--rest-ms 700]
//
// The clock runs in the viewer's page: from before its RTCPeerConnection is made until
// requestVideoFrameCallback says that a frame was presented. Each join is a connection of its own,
// ended before the next; the first three are not counted, as they warm the browser up. Joins
// rest as long as is asked between each other, so that they fall anywhere between keyframes.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const ROOT = new URL('..', import.meta.url).pathname;
const { chromium } = createRequire(join(ROOT, 'engine/web/package.json'))('playwright-core');
const TOKEN = 'bench';
const WARM_UP = 3;

const { values } = parseArgs({ options: {
  skywave: { type: 'string', default: join(ROOT, 'target/release/skywave') },
  joins: { type: 'string', default: '40' },
  shards: { type: 'string', default: '2' },
  'rest-ms': { type: 'string', default: '700' },
} });

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});
const rest = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** An address that browsers gather candidates for; the loopback's is none. */
const address = () => Object.values(networkInterfaces()).flat()
  .find((it) => it.family === 'IPv4' && !it.internal)?.address ?? '127.0.0.1';

async function start(folder) {
  const [http, media] = [await freePort(), await freePort()];
  const config = join(folder, 'skywave.toml');
  writeFileSync(config, `[rtc]\nlisten = ["${address()}:${media}"]\npublish_tokens = ["${TOKEN}"]\n`);
  const server = spawn(values.skywave, ['--config', config, '--listen', `127.0.0.1:${http}`,
    '--shards', values.shards, '--source-password', TOKEN, '--admin-password', TOKEN,
    '--data-dir', folder], { stdio: ['ignore', 'ignore', 'inherit'] });
  const url = `http://127.0.0.1:${http}`;
  for (let tries = 0; tries < 100; tries++) {
    const reply = await fetch(`${url}/api/health`).catch(() => null);
    if (reply?.ok) return { server, url };
    await rest(100);
  }
  server.kill();
  throw new Error('the server does not come up');
}

/** In the publisher's page. */
async function publish(token) {
  const media = { audio: true, video: { width: 1280, height: 720, frameRate: 30 } };
  const stream = await navigator.mediaDevices.getUserMedia(media);
  const pc = new RTCPeerConnection();
  window.kept = pc;
  for (const track of stream.getTracks()) pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
  await pc.setLocalDescription(await pc.createOffer());
  const headers = { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` };
  const reply = await fetch('/whip/bench', { method: 'POST', headers, body: pc.localDescription.sdp });
  if (reply.status !== 201) throw new Error(`WHIP: ${reply.status}`);
  await pc.setRemoteDescription({ type: 'answer', sdp: await reply.text() });
  while (pc.connectionState !== 'connected') await new Promise((resolve) => { setTimeout(resolve, 20); });
}

/** In the viewer's page: one join, and when each of its steps was done, in ms. */
async function watch() {
  const began = performance.now();
  const since = () => performance.now() - began;
  const steps = {};
  const video = document.createElement('video');
  Object.assign(video, { autoplay: true, muted: true, playsInline: true });
  document.body.append(video);
  const first = new Promise((resolve, reject) => {
    video.requestVideoFrameCallback(() => resolve(since()));
    setTimeout(() => reject(new Error('no picture in 10 s')), 10_000);
  });
  const pc = new RTCPeerConnection();
  pc.onconnectionstatechange = () => { steps[pc.connectionState] ??= since(); };
  pc.ontrack = ({ streams, track }) => { video.srcObject = streams[0] ?? new MediaStream([track]); };
  for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
  await pc.setLocalDescription(await pc.createOffer());
  steps.offer = since();
  const headers = { 'Content-Type': 'application/sdp' };
  const reply = await fetch('/whep/bench', { method: 'POST', headers, body: pc.localDescription.sdp });
  if (reply.status !== 201) throw new Error(`WHEP: ${reply.status}`);
  const [answer, session] = [await reply.text(), reply.headers.get('Location')];
  steps.answer = since();
  await pc.setRemoteDescription({ type: 'answer', sdp: answer });
  const frame = await first;
  await fetch(session, { method: 'DELETE' });
  pc.close();
  video.remove();
  return { offer: steps.offer, answer: steps.answer, connected: steps.connected, frame };
}

function row(name, all) {
  const sorted = [...all].sort((one, two) => one - two);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  const cells = [at(0.5), at(0.95), sorted.at(-1)].map((ms) => ms.toFixed(0).padStart(6));
  return `${name.padEnd(20)}${cells.join('')}`;
}

const folder = mkdtempSync(join(tmpdir(), 'skywave-join-'));
const { server, url } = await start(folder);
const browser = await chromium.launch({
  executablePath: process.env.SKYWAVE_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required'],
});
try {
  const page = async () => {
    const opened = await (await browser.newContext({ permissions: ['camera', 'microphone'] })).newPage();
    await opened.goto(`${url}/api/health`);
    return opened;
  };
  const [publisher, viewer] = [await page(), await page()];
  await publisher.evaluate(publish, TOKEN);
  await viewer.bringToFront();
  const joins = [];
  for (let count = 0; count < Number(values.joins) + WARM_UP; count++) {
    await rest(Number(values['rest-ms']));
    joins.push(await viewer.evaluate(watch));
  }
  const counted = joins.slice(WARM_UP);
  console.log(`${counted.length} joins, ${values.shards} shards; ms: p50, p95, max`);
  for (const step of ['offer', 'answer', 'connected', 'frame']) {
    console.log(row(step, counted.map((it) => it[step])));
  }
  const metrics = await (await fetch(`${url}/metrics`)).text();
  for (const line of metrics.split('\n')) {
    if (/^skywave_rtc_(keyframes_|sessions_moved|session_panics)/.test(line)) console.log(line);
  }
} finally {
  await browser.close();
  server.kill();
  await new Promise((resolve) => { server.once('exit', resolve); });
  rmSync(folder, { recursive: true, force: true });
}
