// Debian's Chromium with devices that are made up, and the far side of WHIP and WHEP: a page of its
// own in which connections answer, so that offers, candidates and media are real.

import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';

import type { Asked, Told } from './site';

const HERE = new URL('.', import.meta.url).pathname;
const SHOTS = join(process.env.CARGO_TARGET_DIR ?? join(HERE, '../../../target'), 'screenshots');
const CHROMIUM = process.env.SKYWAVE_CHROMIUM ?? '/usr/bin/chromium';

export const DESK = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

export async function launch(): Promise<Browser> {
  if (!existsSync(CHROMIUM)) throw new Error(`no ${CHROMIUM}: apt-get install chromium`);
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      // A container's root has no other way, and its shared memory may be small.
      '--no-sandbox',
      '--disable-dev-shm-usage',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      '--auto-select-desktop-capture-source=Entire screen',
      '--disable-features=WebRtcHideLocalIpsWithMdns',
    ],
  });
}

export interface Person {
  context: BrowserContext;
  page: Page;
  /** What the page complained of in its console. */
  complaints: string[];
}

/** A browser of its own for one person. */
export async function person(browser: Browser, url: string, options: { name?: string; dark?: boolean; viewport?: { width: number; height: number } } = {}): Promise<Person> {
  const context = await browser.newContext({
    viewport: options.viewport ?? DESK,
    colorScheme: options.dark ? 'dark' : 'light',
    permissions: ['camera', 'microphone'],
    isMobile: options.viewport === PHONE,
    hasTouch: options.viewport === PHONE,
    deviceScaleFactor: options.viewport === PHONE ? 2 : 1,
  });
  if (options.name) {
    const { name } = options;
    await context.addInitScript((name) => {
      localStorage.getItem('skywave.name') ?? localStorage.setItem('skywave.name', name);
    }, name);
  }
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url);
  return { context, page, complaints };
}

export async function shot(page: Page, name: string): Promise<void> {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

/** How many frames a picture has shown, and how wide it is. */
export function frames(page: Page, selector = '.video video'): Promise<{ count: number; width: number }> {
  return page.locator(selector).first().evaluate((element) => {
    const video = element as HTMLVideoElement;
    return { count: video.getVideoPlaybackQuality().totalVideoFrames, width: video.videoWidth };
  });
}

export async function until<T>(what: string, probe: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const value = await probe();
    if (holds(value)) return value;
    if (Date.now() > deadline) throw new Error(`${what}: still ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Answers WHIP and WHEP, and hands what is published to those who watch. */
export class FarSide {
  /** A token that publishers need, where there is one. */
  token = '';
  isPatchable = true;
  readonly patches: string[] = [];
  readonly deleted: string[] = [];
  private page: Page | null = null;

  async start(browser: Browser): Promise<void> {
    this.page = await browser.newPage();
    // Typed here as text: it runs in that page, which has no modules of ours.
    await this.page.evaluate(FAR_PAGE);
  }

  /** Ends every connection, as a server that dies does. */
  async forget(): Promise<void> {
    await this.page?.evaluate('far.forget()');
  }

  names(): Promise<string[]> {
    return this.page!.evaluate('[...far.streams.keys()]') as Promise<string[]>;
  }

  async handle(asked: Asked): Promise<Told | null> {
    const [, kind, name = '', id] = asked.path.split('/');
    if (kind !== 'whip' && kind !== 'whep') return null;
    if (this.token && kind === 'whip' && asked.headers.authorization !== `Bearer ${this.token}`) {
      return { status: 401 };
    }
    if (asked.method === 'DELETE' && id) {
      this.deleted.push(asked.path);
      await this.page?.evaluate(`far.close(${JSON.stringify(id)})`);
      return { status: 200 };
    }
    if (asked.method === 'PATCH' && id) {
      this.patches.push(asked.body);
      return { status: this.isPatchable ? 204 : 405 };
    }
    if (asked.method !== 'POST') return { status: 405 };
    const call = `far.${kind}(${JSON.stringify(name)}, ${JSON.stringify(asked.body)})`;
    const answer = (await this.page?.evaluate(call)) as { id: string; sdp: string } | null;
    if (!answer) return { status: 404 };
    return {
      status: 201,
      type: 'application/sdp',
      headers: { location: `/${kind}/${name}/${answer.id}`, etag: '"1"' },
      body: answer.sdp,
    };
  }
}

const FAR_PAGE = `
globalThis.far = {
  streams: new Map(),
  connections: new Map(),
  count: 0,
  async answer(pc, sdp, name) {
    const id = 'r' + ++this.count;
    this.connections.set(id, { pc, name });
    await pc.setRemoteDescription({ type: 'offer', sdp });
    return id;
  },
  async finish(pc, id) {
    await pc.setLocalDescription();
    if (pc.iceGatheringState !== 'complete') {
      await new Promise((resolve) => {
        pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && resolve();
      });
    }
    return { id, sdp: pc.localDescription.sdp };
  },
  async whip(name, sdp) {
    const pc = new RTCPeerConnection();
    const stream = new MediaStream();
    pc.ontrack = ({ track }) => stream.addTrack(track);
    const id = await this.answer(pc, sdp, name);
    this.streams.set(name, stream);
    return this.finish(pc, id);
  },
  async whep(name, sdp) {
    const stream = this.streams.get(name);
    if (!stream) return null;
    const pc = new RTCPeerConnection();
    const id = await this.answer(pc, sdp, '');
    for (const transceiver of pc.getTransceivers()) {
      const track = stream.getTracks().find((it) => it.kind === transceiver.receiver.track.kind);
      transceiver.direction = track ? 'sendonly' : 'inactive';
      if (track) await transceiver.sender.replaceTrack(track);
    }
    return this.finish(pc, id);
  },
  close(id) {
    const it = this.connections.get(id);
    it?.pc.close();
    if (it?.name) this.streams.delete(it.name);
    this.connections.delete(id);
  },
  forget() {
    for (const id of [...this.connections.keys()]) this.close(id);
    this.streams.clear();
  },
};
`;
