// Publishing by WHIP: our media to a stream's name, mended or made anew when the way breaks.

import type { Problem } from '../api/problem';
import type { WayState } from './way';
import { Way, isFinal } from './way';

export type PublishState = WayState<'live'>;

export interface PublishEvents {
  state(state: PublishState, problem: Problem | null): void;
}

export interface PublishOptions {
  endpoint: string;
  token: string;
  /** The first choice of codec, such as `video/H264`; empty leaves it to the browser. */
  codec: string;
  /** Bits in a second that the picture may take at most; 0 is without a bound. */
  bitrateMax: number;
  /** Several sizes at once, from which each viewer gets the one that fits. */
  simulcast: boolean;
}

export class Publisher extends Way<'live'> {
  constructor(
    private readonly media: MediaStream,
    private readonly options: PublishOptions,
    events: PublishEvents,
  ) {
    const { endpoint, token } = options;
    const endedText = 'The server has ended it.';
    super({ endpoint, token, purpose: 'publish here', up: 'live', endedText }, (state, problem) =>
      events.state(state, problem),
    );
  }

  /** Another track in the place of the one of its kind, without a new offer. */
  async replace(track: MediaStreamTrack): Promise<void> {
    const senders = this.pc?.getSenders() ?? [];
    await senders.find((sender) => sender.track?.kind === track.kind)?.replaceTrack(track);
  }

  protected prepare(pc: RTCPeerConnection): void {
    for (const track of this.media.getTracks()) this.add(pc, track);
  }

  protected triesAgainIn(problem: Problem): number | null {
    // What was never live is the person's to try again; what was is ours to bring back.
    return !this.wasUp || isFinal(problem) ? null : this.backoff.next();
  }

  private add(pc: RTCPeerConnection, track: MediaStreamTrack): void {
    const isVideo = track.kind === 'video';
    const { bitrateMax, simulcast, codec } = this.options;
    const sendEncodings = isVideo ? encodingsOf(bitrateMax, simulcast) : [{}];
    const streams = [this.media];
    const transceiver = pc.addTransceiver(track, { direction: 'sendonly', streams, sendEncodings });
    const known = RTCRtpReceiver.getCapabilities?.(track.kind)?.codecs ?? [];
    if (isVideo && codec && known.length > 0) {
      const isChosen = (it: { mimeType: string }) => it.mimeType.toLowerCase() === codec.toLowerCase();
      transceiver.setCodecPreferences?.([...known.filter(isChosen), ...known.filter((it) => !isChosen(it))]);
    }
  }
}

/** One size, or three: a quarter, a half and the whole, each with its share of the bound. */
export function encodingsOf(bitrateMax: number, simulcast: boolean): RTCRtpEncodingParameters[] {
  const bound = (share: number) => (bitrateMax > 0 ? { maxBitrate: Math.round(bitrateMax * share) } : {});
  if (!simulcast) return [bound(1)];
  return [
    { rid: 'q', scaleResolutionDownBy: 4, ...bound(0.08) },
    { rid: 'h', scaleResolutionDownBy: 2, ...bound(0.25) },
    { rid: 'f', ...bound(0.67) },
  ];
}
