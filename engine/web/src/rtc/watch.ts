// Watching a stream by WHEP, for as long as the page wants: when the way breaks a new one is looked
// for, and when the publisher is gone we wait for it.
//
//   joining ──answer, ICE──▶ playing ──ICE fails──▶ restarting ──▶ playing
//      │  ▲                                            │ the server cannot
//      ▼  │ after a while                              ▼
//     waiting ◀────────────────────────────────────────┘
//   ended      the server said what will not change: a token that is wrong, no codec in common

import { Problem, problemOf } from '../api/problem';
import { Backoff } from '../signal/backoff';
import { iceServers } from './ice';
import { Resource } from './resource';

export type WatchState = 'joining' | 'playing' | 'restarting' | 'waiting' | 'ended';

export interface WatchEvents {
  state(state: WatchState, problem: Problem | null): void;
  /** What there is to see and hear. */
  media(stream: MediaStream): void;
}

/** Behind a change of network ICE often mends itself within that. */
const MENDS_WITHIN_MS = 3_000;

export class Watcher {
  /** The connection, for statistics; another after each loss. */
  pc: RTCPeerConnection | null = null;
  private resource: Resource | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isStopped = false;
  private hasPlayed = false;
  private readonly backoff = new Backoff(500, 8_000);

  constructor(
    private readonly endpoint: string,
    private readonly token: string,
    private readonly events: WatchEvents,
  ) {}

  start(): void {
    this.isStopped = false;
    void this.join();
  }

  stop(): void {
    this.isStopped = true;
    this.drop();
  }

  retryNow(): void {
    this.drop();
    this.backoff.reset();
    void this.join();
  }

  private async join(): Promise<void> {
    this.events.state('joining', null);
    const servers = await iceServers(this.token);
    if (this.isStopped) return;
    const pc = new RTCPeerConnection({ iceServers: servers, bundlePolicy: 'max-bundle' });
    this.pc = pc;
    const stream = new MediaStream();
    for (const kind of ['video', 'audio']) pc.addTransceiver(kind, { direction: 'recvonly' });
    pc.ontrack = ({ track }) => {
      stream.addTrack(track);
      this.events.media(stream);
    };
    pc.onconnectionstatechange = () => this.connectionChanged(pc);
    this.resource = new Resource(pc, this.token);
    try {
      await this.resource.open(this.endpoint, 'watch this');
    } catch (error) {
      if (this.pc === pc && !this.isStopped) this.failed(problemOf(error));
    }
  }

  private connectionChanged(pc: RTCPeerConnection): void {
    if (this.pc !== pc) return;
    clearTimeout(this.timer);
    switch (pc.connectionState) {
      case 'connected':
        this.backoff.reset();
        this.hasPlayed = true;
        return this.events.state('playing', null);
      case 'disconnected':
        this.timer = setTimeout(() => void this.mend(pc), MENDS_WITHIN_MS);
        return;
      case 'failed':
        return void this.mend(pc);
      case 'closed':
        return this.failed(new Problem('The stream has ended.'));
    }
  }

  private async mend(pc: RTCPeerConnection): Promise<void> {
    if (this.pc !== pc || this.isStopped) return;
    this.events.state('restarting', null);
    const done = await this.resource?.restart().catch(() => false);
    if (this.pc !== pc || this.isStopped) return;
    if (!done) return this.failed(new Problem('The connection was lost.'));
    this.timer = setTimeout(() => {
      if (this.pc === pc && pc.connectionState !== 'connected') {
        this.failed(new Problem('The connection was lost.'));
      }
    }, MENDS_WITHIN_MS * 2);
  }

  private failed(problem: Problem): void {
    this.drop();
    const isFinal = [401, 403, 406, 415].includes(problem.status);
    const neverWas = problem.status === 404 && !this.hasPlayed;
    this.events.state(isFinal ? 'ended' : 'waiting', problem);
    if (isFinal) return;
    // Somebody who opened the page early waits, but asks less often.
    const waitMs = neverWas ? Math.max(this.backoff.next(), 2_000) : this.backoff.next();
    this.timer = setTimeout(() => void this.join(), waitMs);
  }

  private drop(): void {
    clearTimeout(this.timer);
    this.resource?.close();
    this.resource = null;
    const pc = this.pc;
    this.pc = null;
    pc?.close();
  }
}
