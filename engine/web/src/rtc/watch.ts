// Watching a stream by WHEP, for as long as the page wants: when the way breaks a new one is looked
// for, and when the publisher is gone we wait for it.
//
//   joining ──answer, ICE──▶ playing ──ICE fails──▶ restarting ──▶ playing
//      │  ▲                                            │ the server cannot
//      ▼  │ after a while                              ▼
//     waiting ◀────────────────────────────────────────┘
//   ended      the server said what will not change: a token that is wrong, no codec in common

import type { Problem } from '../api/problem';
import type { WayState } from './way';
import { Way, isFinal } from './way';

export type WatchState = WayState<'playing'>;

export interface WatchEvents {
  state(state: WatchState, problem: Problem | null): void;
  /** What there is to see and hear. */
  media(stream: MediaStream): void;
}

export class Watcher extends Way<'playing'> {
  constructor(
    endpoint: string,
    token: string,
    private readonly events: WatchEvents,
  ) {
    const endedText = 'The stream has ended.';
    super({ endpoint, token, purpose: 'watch this', up: 'playing', endedText }, (state, problem) =>
      events.state(state, problem),
    );
  }

  retryNow(): void {
    this.drop();
    this.backoff.reset();
    void this.join();
  }

  protected prepare(pc: RTCPeerConnection): void {
    const stream = new MediaStream();
    for (const kind of ['video', 'audio']) pc.addTransceiver(kind, { direction: 'recvonly' });
    pc.ontrack = ({ track }) => {
      stream.addTrack(track);
      this.events.media(stream);
    };
  }

  protected triesAgainIn(problem: Problem): number | null {
    if (isFinal(problem)) return null;
    // Somebody who opened the page early waits, but asks less often.
    const neverWas = problem.status === 404 && !this.wasUp;
    return neverWas ? Math.max(this.backoff.next(), 2_000) : this.backoff.next();
  }
}
