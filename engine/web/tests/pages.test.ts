// The built pages in a real browser, at a real signalling server, with real WebRTC.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Browser } from 'playwright-core';

import { DESK, FarSide, PHONE, frames, launch, person, shot, until } from './browser';
import type { Person } from './browser';
import { Signalling, Site } from './site';
import type { Asked, Told } from './site';

let browser: Browser;
let signalling: Signalling;
let far: FarSide;
let site: Site;
let people: Person[] = [];
let recordings: unknown[] = [];
let feeders: { name: string; live: boolean; to_mount: string }[] = [];

beforeAll(async () => {
  browser = await launch();
  signalling = new Signalling();
  await signalling.start();
});
afterAll(async () => {
  await browser?.close();
  await signalling?.stop();
});
beforeEach(async () => {
  far = new FarSide();
  await far.start(browser);
  recordings = [];
  feeders = [];
  site = new Site(signalling.port, answer);
  await site.start();
});
afterEach(async () => {
  for (const { context } of people) await context.close();
  people = [];
  await site.stop();
});

async function answer(asked: Asked): Promise<Told | null> {
  switch (asked.path) {
    case '/api/streams': {
      const known = feeders.map(({ name }) => name);
      const published = (await far.names()).filter((name) => !known.includes(name));
      const streams = published.map((name) => ({
        name,
        live: true,
        viewers: 2,
        tracks: [{ codec: 'VP8' }, { codec: 'opus' }],
      }));
      return { status: 200, body: JSON.stringify({ streams: [...streams, ...feeders] }) };
    }
    case '/api/recordings':
      return { status: 200, body: JSON.stringify({ recordings }) };
    case '/health':
      return { status: 200, body: JSON.stringify({ status: 'ok', version: '0.1.0' }) };
    case '/status-json.xsl':
      return { status: 200, body: JSON.stringify(RADIO) };
    default:
      return far.handle(asked);
  }
}

const RADIO = {
  icestats: {
    server_id: 'Skywave',
    server_start_iso8601: '2026-01-01T00:00:00+0000',
    source: {
      listenurl: 'http://localhost:8000/morning.mp3',
      server_name: 'Morning',
      title: 'Birdsong',
      listeners: 3,
      bitrate: 128,
      server_type: 'audio/mpeg',
    },
  },
};

async function come(name: string, path = '/', options: Parameters<typeof person>[2] = {}): Promise<Person> {
  const someone = await person(browser, site.url + path, { name, ...options });
  people.push(someone);
  return someone;
}

function noComplaints(): void {
  for (const { complaints } of people) expect(complaints).toEqual([]);
}

describe('presence', () => {
  test('people see each other come and go, and a link that is lost comes back', async () => {
    const ann = await come('Ann');
    const bob = await come('Bob');
    await ann.page.getByRole('list', { name: 'Who is here' }).getByText('Bob', { exact: true }).first().waitFor();
    await bob.page.getByRole('list', { name: 'Who is here' }).getByText('Ann', { exact: true }).first().waitFor();
    site.isDown = true;
    site.cutLinks();
    await ann.page.getByText('Reconnecting.').waitFor();
    await shot(ann.page, 'home-reconnecting-desk-light');
    site.isDown = false;
    await ann.page.getByRole('list', { name: 'Who is here' }).getByText('Bob', { exact: true }).first().waitFor();
    await ann.page.getByText('Reconnecting.').waitFor({ state: 'detached' });
    await bob.context.close();
    people = people.filter((it) => it !== bob);
    await ann.page.locator('[data-peer]').waitFor({ state: 'detached' });
    noComplaints();
  });

  test('a wrong token is said, and a right one lets in', async () => {
    const guarded = new Signalling();
    await guarded.start('--token', 'secret');
    const closed = new Site(guarded.port, answer);
    await closed.start();
    try {
      const ann = await person(browser, `${closed.url}/app/settings`, { name: 'Ann' });
      people.push(ann);
      await ann.page.getByText('The server does not let you in.').waitFor();
      await ann.page.getByLabel('Token', { exact: true }).fill('secret');
      await ann.page.getByRole('button', { name: 'Save and reconnect' }).click();
      await ann.page.getByText('Saved, and online.').waitFor();
      await ann.page.goto(`${closed.url}/?token=secret`);
      await ann.page.getByText('you', { exact: true }).waitFor();
      expect(new URL(ann.page.url()).search).toBe('');
    } finally {
      await closed.stop();
      await guarded.stop();
    }
  });
});

describe('streams', () => {
  test('what one publishes another watches, and it comes back after a loss', async () => {
    far.token = 'go';
    const ann = await come('Ann', '/app/publish/garden');
    await ann.page.getByRole('button', { name: 'Go live' }).click();
    await ann.page.getByText('The server does not let you publish here.').waitFor();
    await ann.page.getByLabel('Token').fill('go');
    await ann.page.getByRole('button', { name: 'Go live' }).click();
    await ann.page.locator('.stage[data-state=live]').waitFor();
    const level = ann.page.getByRole('meter');
    await until('the meter moves', () => level.getAttribute('aria-valuenow'), (value) => Number(value) > 0);
    await ann.page.locator('.statistics').getByText('Round trip').waitFor();
    await shot(ann.page, 'publish-live-desk-light');

    const bob = await come('Bob', '/', { dark: true });
    await bob.page.getByRole('link', { name: /garden/ }).click();
    await bob.page.locator('.stage[data-state=playing]').waitFor();
    await until('pictures are shown', () => frames(bob.page), ({ count, width }) => count > 10 && width > 0);
    await bob.page.keyboard.press('s');
    const statistics = bob.page.locator('.statistics');
    await until('a bitrate', () => statistics.innerText(), (text) => /Bitrate\s+([1-9]\d* kbit|[\d.]+ Mbit)/.test(text));
    expect(await statistics.innerText()).toMatch(/\d+ × \d+/);
    await shot(bob.page, 'watch-statistics-desk-dark');

    await far.forget();
    await bob.page.locator('.stage:not([data-state=playing])').waitFor();
    await bob.page.locator('.stage[data-state=playing]').waitFor();
    const before = await frames(bob.page);
    await until('pictures go on', () => frames(bob.page), ({ count }) => count > before.count + 10);

    await ann.page.getByRole('button', { name: 'Stop' }).click();
    await until('it is deleted', async () => far.deleted.join(), (list) => list.includes('/whip/garden/'));
    noComplaints();
  });

  test('sound alone goes live on a mount, by the keyboard', async () => {
    far.token = 'of a source';
    feeders = [{ name: 'studio', live: false, to_mount: '/live.opus' }];
    for (const dark of [false, true]) {
      const ann = await come('Ann', '/app/publish', { dark });
      await ann.page.getByRole('radio', { name: 'Stream' }).focus();
      await ann.page.keyboard.press('ArrowRight');
      await ann.page.getByLabel('Mount').waitFor();
      await ann.page.getByLabel('Password of sources').fill('of a source');
      await ann.page.keyboard.press('Enter');
      await ann.page.locator('.stage[data-state=live]').waitFor();
      await ann.page.getByRole('link', { name: '/live.opus' }).waitFor();
      await shot(ann.page, `publish-mount-desk-${dark ? 'dark' : 'light'}`);
      const posted = site.asked.filter(({ method, path }) => method === 'POST' && path === '/whip/studio');
      expect(posted.at(-1)?.body).not.toContain('m=video');
      await ann.page.getByRole('button', { name: 'Stop' }).click();
      await ann.page.locator('.stage[data-state=choosing]').waitFor();
    }
    noComplaints();
  });

  test('who comes before the publisher waits for it', async () => {
    const bob = await come('Bob', '/app/watch/early');
    await bob.page.getByText('Nobody publishes here now.').waitFor();
    const ann = await come('Ann', '/app/publish/early');
    await ann.page.getByRole('button', { name: 'Go live' }).click();
    await bob.page.locator('.stage[data-state=playing]').waitFor();
    noComplaints();
  });

  test('motion and voice are drawn over the picture', async () => {
    const ann = await come('Ann', '/app/publish/garden');
    await ann.page.getByRole('button', { name: 'Go live' }).click();
    await ann.page.locator('.stage[data-state=live]').waitFor();
    const bob = await come('Bob', '/app/watch/garden');
    await bob.page.locator('.stage[data-state=playing]').waitFor();
    const eve = await teller(site.url);
    try {
      eve.tell('icey:speech', { type: 'speech:start', source: 'garden', active: true, level: 0.2, peak: 0.4 });
      eve.tell('icey:vision', VISION);
      await bob.page.locator('.boxes rect').nth(1).waitFor();
      await bob.page.locator('.voice-ring').waitFor();
      await shot(bob.page, 'watch-events-desk-light');
      const [box, video] = await Promise.all([
        bob.page.locator('.boxes rect').first().boundingBox(),
        bob.page.locator('.boxes').boundingBox(),
      ]);
      expect(box!.x - video!.x).toBeCloseTo(video!.width * 0.25, -1);
      await bob.page.getByText('Motion in 2 places, 12 % of the picture').waitFor();
      await bob.page.getByText('Somebody began to speak').waitFor();
      await bob.page.locator('.boxes').waitFor({ state: 'detached' });
    } finally {
      eve.close();
    }
    noComplaints();
  });
});

const VISION = {
  schema: 'vision.event.v1',
  type: 'detect',
  source: 'garden',
  emittedAtUsec: 0,
  detections: [
    { label: 'motion', confidence: 0.9, region: { x: 0.25, y: 0.5, width: 0.1, height: 0.2 } },
    { label: 'motion', confidence: 0.7, region: { x: 0.6, y: 0.2, width: 0.2, height: 0.3 } },
    { label: 'nonsense', confidence: 1, region: { x: 2, y: 2, width: 0, height: 'a' } },
  ],
  data: { score: 0.12 },
};

/** A peer that says what a server would. */
async function teller(url: string): Promise<{ tell(subtype: string, data: object): void; close(): void }> {
  const { WebSocket } = await import('ws');
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
  await new Promise((resolve, reject) => {
    socket.once('open', () => socket.send(JSON.stringify({ type: 'auth', user: 'teller' })));
    socket.once('message', resolve);
    socket.once('error', reject);
  });
  return {
    tell: (subtype, data) => socket.send(JSON.stringify({ type: 'message', subtype, data })),
    close: () => socket.close(),
  };
}

describe('calls', () => {
  test('a call is made, goes on without its link, and is ended', async () => {
    const ann = await come('Ann', '/app/call');
    const bob = await come('Bob', '/', { viewport: PHONE, dark: true });
    await ann.page.getByRole('button', { name: 'Call Bob' }).click();
    await ann.page.locator('.stage[data-state=ringing]').waitFor();
    await bob.page.getByRole('alertdialog').waitFor();
    await shot(ann.page, 'call-ringing-desk-light');
    await shot(bob.page, 'call-incoming-phone-dark');
    await bob.page.getByRole('button', { name: 'Accept' }).click();
    for (const { page } of [ann, bob]) {
      await page.locator('.stage[data-state=active]').waitFor();
      await until('pictures are shown', () => frames(page), ({ count }) => count > 10);
    }
    await shot(ann.page, 'call-active-desk-light');
    await shot(bob.page, 'call-active-phone-dark');

    const eve = await come('Eve', '/app/call');
    await eve.page.getByText('in a call').first().waitFor();
    await eve.page.getByRole('button', { name: 'Call Ann' }).click();
    await eve.page.getByText('the other side is in another call').waitFor();

    await ann.page.getByRole('button', { name: 'Mute' }).click();
    await ann.page.getByRole('button', { name: 'Unmute' }).waitFor();
    site.cutLinks();
    await ann.page.getByText('Reconnecting.').waitFor();
    await ann.page.getByText('Reconnecting.').waitFor({ state: 'detached' });
    const before = await frames(bob.page);
    await until('pictures go on', () => frames(bob.page), ({ count }) => count > before.count + 10);

    await bob.page.getByRole('button', { name: 'Hang up' }).click();
    await ann.page.getByText('the other side hung up').waitFor();
    noComplaints();
  });

  test('a call is declined, and one that is given up stops ringing', async () => {
    const ann = await come('Ann', '/app/call');
    const bob = await come('Bob');
    await ann.page.getByRole('button', { name: 'Call Bob' }).click();
    await bob.page.getByRole('button', { name: 'Decline' }).click();
    await ann.page.getByText('the other side declined').waitFor();
    await ann.page.getByRole('button', { name: 'Call Bob' }).click();
    await bob.page.getByRole('alertdialog').waitFor();
    await ann.page.getByRole('button', { name: 'Hang up' }).click();
    await bob.page.getByRole('alertdialog').waitFor({ state: 'detached' });
    noComplaints();
  });
});

describe('the other pages', () => {
  test('recordings are listed, played and offered for download', async () => {
    const { recording, file } = await makeRecording();
    site.files.set(`/artifacts/${recording.name}`, file);
    recordings = [
      recording,
      { ...recording, name: 'later.mp4', stream: 'hall', started_at_ms: recording.started_at_ms + 1, is_closed: false },
      { ...recording, name: 'broken.mp4', stream: 'yard', started_at_ms: 1, is_closed: false, cause: 'disk full' },
    ];
    const ann = await come('Ann', '/app/recordings');
    const rows = ann.page.getByRole('list', { name: 'Recordings' }).getByRole('listitem');
    await rows.nth(2).waitFor();
    expect(await rows.nth(0).innerText()).toContain('hall');
    expect(await rows.nth(2).innerText()).toContain('Ended early: disk full');
    expect(await rows.nth(1).innerText()).toContain('0:02 · ');
    await ann.page.getByRole('button', { name: `Play ${recording.name}` }).click();
    await until('it plays', () => frames(ann.page, 'video.plain'), ({ count }) => count > 5);
    const link = ann.page.getByRole('link', { name: `Download ${recording.name}` });
    const [download] = await Promise.all([ann.page.waitForEvent('download'), link.click()]);
    expect(download.suggestedFilename()).toBe(recording.name);
    await shot(ann.page, 'recordings-desk-light');
    noComplaints();
  });

  test('the status shows the radio', async () => {
    const ann = await come('Ann', '/app/status');
    await ann.page.getByText('Morning', { exact: true }).waitFor();
    await ann.page.getByText('Birdsong').waitFor();
    await ann.page.getByText('3 listeners').waitFor();
    await ann.page.getByText('well', { exact: true }).waitFor();
    noComplaints();
  });

  test('a server without these features is no error', async () => {
    site.handle = () => null;
    const ann = await come('Ann', '/app/recordings');
    await ann.page.getByText('This server does not list recordings').waitFor();
    await ann.page.getByRole('link', { name: 'Watch' }).click();
    await ann.page.getByLabel('A stream by its name').waitFor();
    noComplaints();
  });

  test('every page is reached with the keyboard alone, and fits a phone', async () => {
    const ann = await come('Ann');
    await ann.page.keyboard.press('Tab');
    expect(await ann.page.evaluate(() => document.activeElement?.textContent?.trim())).toBe('Skip to the page');
    const small = await come('Bob', '/', { viewport: PHONE });
    for (const title of ['Watch', 'Publish', 'Call', 'Recordings', 'Status', 'Settings', 'Home']) {
      const link = ann.page.getByRole('navigation').getByRole('link', { name: title });
      await link.focus();
      await ann.page.keyboard.press('Enter');
      await ann.page.getByRole('heading', { level: 1, name: title }).waitFor();
      expect(await link.getAttribute('aria-current')).toBe('page');
      await small.page.getByRole('navigation').getByRole('link', { name: title }).click();
      await small.page.getByRole('heading', { level: 1, name: title }).waitFor();
      const over = await small.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(over, `${title} is as wide as the phone`).toBeLessThanOrEqual(0);
    }
    await ann.page.goBack();
    await ann.page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
    noComplaints();
  });
});

describe('how it looks', () => {
  test('screenshots of every page, in both sizes and colours', async () => {
    recordings = (await makeRecording()).list;
    const publisher = await come('Ann Lee', '/app/publish/garden');
    await publisher.page.getByRole('button', { name: 'Go live' }).click();
    await publisher.page.locator('.stage[data-state=live]').waitFor();
    for (const name of ['Bo Chen', 'Carla Diaz']) await come(name);
    for (const [size, viewport] of [['desk', DESK], ['phone', PHONE]] as const) {
      for (const dark of [false, true]) {
        const { page } = await come('Visitor', '/', { viewport, dark });
        for (const path of ['', 'watch', 'watch/garden', 'publish', 'call', 'recordings', 'status', 'settings']) {
          await page.goto(`${site.url}/app/${path}`.replace(/\/app\/$/, '/'));
          if (path === 'watch/garden') await until('pictures', () => frames(page), ({ count }) => count > 5);
          if (path === 'publish') {
            await page.getByRole('button', { name: 'Show a preview' }).click();
            await until('a preview', () => frames(page), ({ count }) => count > 5);
          }
          await page.getByText('Connecting …').waitFor({ state: 'detached' });
          await page.waitForTimeout(400);
          await shot(page, `${path.replace('/', '-') || 'home'}-${size}-${dark ? 'dark' : 'light'}`);
        }
      }
    }
    noComplaints();
  }, 180_000);
});

/** Two seconds of a test picture. */
async function makeRecording() {
  const { execFileSync } = await import('node:child_process');
  const { mkdtempSync, statSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  const file = join(mkdtempSync(join(tmpdir(), 'skywave-')), 'garden-1767225600000.webm');
  const source = ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=15:duration=2'];
  execFileSync('ffmpeg', ['-v', 'error', ...source, '-c:v', 'libvpx', '-deadline', 'realtime', '-y', file]);
  const recording = {
    name: 'garden-1767225600000.webm',
    stream: 'garden',
    started_at_ms: 1767225600000,
    duration_ms: 2000,
    size_bytes: statSync(file).size,
    tracks: [{ codec: 'vp8', width: 320, height: 180 }],
    is_closed: true,
    cause: null as string | null,
  };
  const list = [
    { ...recording, name: 'hall.mp4', stream: 'hall', started_at_ms: recording.started_at_ms + 9e6, duration_ms: 3_725_000, size_bytes: 712_345_678, is_closed: false, tracks: [{ codec: 'h264', width: 1280, height: 720 }, { codec: 'opus', width: 0, height: 0 }] },
    recording,
    { ...recording, name: 'yard.mp4', stream: 'yard', started_at_ms: recording.started_at_ms - 9e6, is_closed: true, cause: 'the disk is full' },
  ];
  return { recording, file, list };
}
