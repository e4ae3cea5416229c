// Publishing by WHIP: our media to a stream's name, mended or made anew when the way breaks.

import { Problem, problemOf } from '../api/problem';
import { Backoff } from '../signal/backoff';
import { iceServers } from './ice';
import { Resource } from './resource';

export type PublishState = 'joining' | 'live' | 'restarting' | 'waiting' | 'ended';

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

const MENDS_WITHIN_MS = 3_000;

export class Publisher {
  pc: RTCPeerConnection | null = null;
  private resource: Resource | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isStopped = false;
  private wasLive = false;
  private readonly backoff = new Backoff(500, 8_000);

  constructor(
    private readonly media: MediaStream,
    private readonly options: PublishOptions,
    private readonly events: PublishEvents,
  ) {}

  start(): void {
    void this.join();
  }

  stop(): void {
    this.isStopped = true;
    this.drop();
  }

  /** Another track in the place of the one of its kind, without a new offer. */
  async replace(track: MediaStreamTrack): Promise<void> {
    const senders = this.pc?.getSenders() ?? [];
    await senders.find((sender) => sender.track?.kind === track.kind)?.replaceTrack(track);
  }

  private async join(): Promise<void> {
    this.events.state('joining', null);
    const servers = await iceServers(this.options.token);
    if (this.isStopped) return;
    const pc = new RTCPeerConnection({ iceServers: servers, bundlePolicy: 'max-bundle' });
    this.pc = pc;
    for (const track of this.media.getTracks()) this.add(pc, track);
    pc.onconnectionstatechange = () => this.connectionChanged(pc);
    this.resource = new Resource(pc, this.options.token);
    try {
      await this.resource.open(this.options.endpoint, 'publish here');
    } catch (error) {
      if (this.pc === pc && !this.isStopped) this.failed(problemOf(error));
    }
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

  private connectionChanged(pc: RTCPeerConnection): void {
    if (this.pc !== pc) return;
    clearTimeout(this.timer);
    switch (pc.connectionState) {
      case 'connected':
        this.backoff.reset();
        this.wasLive = true;
        return this.events.state('live', null);
      case 'disconnected':
        this.timer = setTimeout(() => void this.mend(pc), MENDS_WITHIN_MS);
        return;
      case 'failed':
        return void this.mend(pc);
      case 'closed':
        return this.failed(new Problem('The server has ended it.'));
    }
  }

  private async mend(pc: RTCPeerConnection): Promise<void> {
    if (this.pc !== pc || this.isStopped) return;
    this.events.state('restarting', null);
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
    // What was never live is the person's to try again; what was is ours to bring back.
    const isFinal = !this.wasLive || [401, 403, 406, 415].includes(problem.status);
    this.events.state(isFinal ? 'ended' : 'waiting', problem);
    if (!isFinal) this.timer = setTimeout(() => void this.join(), this.backoff.next());
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
