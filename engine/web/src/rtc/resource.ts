// What WHIP (RFC 9725) and WHEP have in common: an offer is posted to a stream's address, the
// answer comes back with the address of a *resource*, which is patched while ICE goes on and deleted
// at the end.
//
// The offer goes out at once. Candidates that are found later follow by PATCH, gathered for a
// moment, where the server takes that; one that does not (405, 501) finds us by ours arriving.

import { bearer } from '../api/http';
import { Problem, ofStatus } from '../api/problem';
import { candidateFragment, hasCredentials, restartFragment, restartedAnswer } from './fragment';
import { layersOf } from './layers';
import type { Layers } from './layers';
import { iceServersOf, layersAt } from './link';

const ANSWER_WITHIN_MS = 15_000;
const TRICKLE_EVERY_MS = 50;

export class Resource {
  private url = '';
  private layersUrl = '';
  private etag = '*';
  private offer = '';
  private pending: RTCIceCandidate[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private canPatch = true;
  private isLast = false;
  /** Patches go one after the other: each may change the tag that the next has to name. */
  private patches: Promise<void> = Promise.resolve();

  constructor(
    private readonly pc: RTCPeerConnection,
    private readonly token: string,
  ) {}

  /** Offers what the connection has been given to send or receive. `what` is what for. */
  async open(endpoint: string, what: string): Promise<void> {
    this.pc.addEventListener('icecandidate', ({ candidate }) => this.trickle(candidate));
    await this.pc.setLocalDescription();
    this.offer = this.pc.localDescription?.sdp ?? '';
    const response = await this.request('POST', endpoint, 'application/sdp', this.offer);
    if (response.status !== 201 && response.status !== 200) throw ofStatus(response.status, what);
    const location = response.headers.get('location');
    if (location) this.url = new URL(location, response.url || endpoint).href;
    this.etag = response.headers.get('etag') ?? '*';
    const layers = layersAt(response.headers.get('link'));
    if (layers) this.layersUrl = new URL(layers, response.url || endpoint).href;
    const servers = iceServersOf(response.headers.get('link'));
    if (servers.length > 0) {
      const configuration = this.pc.getConfiguration();
      if (!configuration.iceServers?.length) {
        this.pc.setConfiguration({ ...configuration, iceServers: servers });
      }
    }
    const sdp = await response.text();
    if (this.pc.signalingState === 'closed') throw new Problem('It was stopped.');
    await this.pc.setRemoteDescription({ type: 'answer', sdp });
    this.flush();
  }

  /** Finds new ways between the same two ends. False where the server does not do that. */
  async restart(): Promise<boolean> {
    if (!this.url || !this.canPatch) return false;
    const before = this.pc.remoteDescription?.sdp;
    if (!before) return false;
    const offer = await this.pc.createOffer({ iceRestart: true });
    const fragment = restartFragment(offer.sdp ?? '');
    const response = await this.patch(fragment, '*');
    const answer = response?.status === 200 ? await response.text() : '';
    if (!hasCredentials(answer)) return false;
    this.etag = response?.headers.get('etag') ?? '*';
    await this.pc.setLocalDescription(offer);
    this.offer = this.pc.localDescription?.sdp ?? '';
    await this.pc.setRemoteDescription({ type: 'answer', sdp: restartedAnswer(before, answer) });
    return true;
  }

  /** The sizes that the stream comes in, where the server says so. */
  async layers(): Promise<Layers | null> {
    if (!this.url || !this.layersUrl) return null;
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const response = await fetch(this.layersUrl, { headers: bearer(this.token), signal });
    return response.ok ? layersOf(await response.json()) : null;
  }

  /** Asks for one of them; `null` leaves it to the server. */
  async choose(layer: string | null): Promise<Layers | null> {
    if (!this.url || !this.layersUrl) return null;
    const wish = JSON.stringify({ encodingId: layer });
    const response = await this.request('POST', this.layersUrl, 'application/json', wish);
    return response.ok ? layersOf(await response.json()) : null;
  }

  /** Tells the server that it is over; a page that is being left can still say so. */
  close(): void {
    clearTimeout(this.timer);
    const url = this.url;
    this.url = '';
    if (url) {
      fetch(url, { method: 'DELETE', headers: bearer(this.token), keepalive: true }).catch(() => {});
    }
  }

  private trickle(candidate: RTCIceCandidate | null): void {
    if (candidate?.candidate) this.pending.push(candidate);
    else this.isLast = true;
    if (!this.url) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), TRICKLE_EVERY_MS);
  }

  private flush(): void {
    const hasNews = this.pending.length > 0 || this.isLast;
    if (!this.url || !this.canPatch || !hasNews) return;
    const fragment = candidateFragment(this.offer, this.pending, this.isLast);
    this.pending = [];
    this.isLast = false;
    this.patches = this.patches.then(async () => {
      const response = await this.patch(fragment, this.etag).catch(() => null);
      if (response && [404, 405, 501].includes(response.status)) this.canPatch = false;
    });
  }

  private async patch(fragment: string, etag: string): Promise<Response | null> {
    if (!this.url) return null;
    const type = 'application/trickle-ice-sdpfrag';
    return this.request('PATCH', this.url, type, fragment, { 'if-match': etag });
  }

  private request(
    method: string,
    url: string,
    type: string,
    body: string,
    more: Record<string, string> = {},
  ): Promise<Response> {
    const headers = { 'content-type': type, ...bearer(this.token), ...more };
    return fetch(url, { method, headers, body, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  }
}
