// The way to a stream, in either direction: one connection after another, each mended while it can
// be. What is made of a connection, and what follows when it is lost, differs: see `watch.ts` and
// `publish.ts`.

import { Problem, problemOf } from '../api/problem';
import { Backoff } from '../signal/backoff';
import { iceServers } from './ice';
import type { Layers } from './layers';
import { Resource } from './resource';

/** Behind a change of network ICE often mends itself within that. */
const MENDS_WITHIN_MS = 3_000;

export type WayState<Up extends string> = 'joining' | Up | 'restarting' | 'waiting' | 'ended';

export interface WayOptions<Up extends string> {
  endpoint: string;
  token: string;
  /** What is wanted of the endpoint, in a person's words: `watch this`. */
  purpose: string;
  /** What the state is called in which media pass. */
  up: Up;
  /** What a person is told when the server ends it. */
  endedText: string;
}

export abstract class Way<Up extends string> {
  /** The connection, for statistics; another after each loss. */
  pc: RTCPeerConnection | null = null;
  protected isStopped = false;
  protected wasUp = false;
  protected readonly backoff = new Backoff(500, 8_000);
  private resource: Resource | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly way: WayOptions<Up>,
    private readonly tell: (state: WayState<Up>, problem: Problem | null) => void,
  ) {}

  start(): void {
    this.isStopped = false;
    void this.join();
  }

  stop(): void {
    this.isStopped = true;
    this.drop();
  }

  /** The sizes that the stream comes in, where there is something to choose. */
  async layers(): Promise<Layers | null> {
    return (await this.resource?.layers()) ?? null;
  }

  /** Asks for one of them; `null` leaves it to the server. */
  async choose(layer: string | null): Promise<Layers | null> {
    return (await this.resource?.choose(layer)) ?? null;
  }

  /** Gives a new connection its tracks. */
  protected abstract prepare(pc: RTCPeerConnection): void;

  /** After how many milliseconds to try again; `null` where that would change nothing. */
  protected abstract triesAgainIn(problem: Problem): number | null;

  protected async join(): Promise<void> {
    this.tell('joining', null);
    const servers = await iceServers(this.way.token);
    if (this.isStopped) return;
    const pc = new RTCPeerConnection({ iceServers: servers, bundlePolicy: 'max-bundle' });
    this.pc = pc;
    this.prepare(pc);
    pc.onconnectionstatechange = () => this.connectionChanged(pc);
    this.resource = new Resource(pc, this.way.token);
    try {
      await this.resource.open(this.way.endpoint, this.way.purpose);
    } catch (error) {
      if (this.pc === pc && !this.isStopped) this.failed(problemOf(error));
    }
  }

  protected drop(): void {
    clearTimeout(this.timer);
    this.resource?.close();
    this.resource = null;
    const pc = this.pc;
    this.pc = null;
    pc?.close();
  }

  private connectionChanged(pc: RTCPeerConnection): void {
    if (this.pc !== pc) return;
    clearTimeout(this.timer);
    switch (pc.connectionState) {
      case 'connected':
        this.backoff.reset();
        this.wasUp = true;
        return this.tell(this.way.up, null);
      case 'disconnected':
        this.timer = setTimeout(() => void this.mend(pc), MENDS_WITHIN_MS);
        return;
      case 'failed':
        return void this.mend(pc);
      case 'closed':
        return this.failed(new Problem(this.way.endedText));
    }
  }

  private async mend(pc: RTCPeerConnection): Promise<void> {
    if (this.pc !== pc || this.isStopped) return;
    this.tell('restarting', null);
    const done = await this.resource?.restart().catch(() => false);
    if (this.pc !== pc || this.isStopped) return;
    const lost = new Problem('The connection was lost.');
    if (!done) return this.failed(lost);
    this.timer = setTimeout(() => {
      if (this.pc === pc && pc.connectionState !== 'connected') this.failed(lost);
    }, MENDS_WITHIN_MS * 2);
  }

  private failed(problem: Problem): void {
    this.drop();
    const waitMs = this.triesAgainIn(problem);
    this.tell(waitMs === null ? 'ended' : 'waiting', problem);
    if (waitMs !== null) this.timer = setTimeout(() => void this.join(), waitMs);
  }
}

/** Whether the server said what will not change: a token that is wrong, no codec in common. */
export function isFinal(problem: Problem): boolean {
  return [401, 403, 406, 415].includes(problem.status);
}
