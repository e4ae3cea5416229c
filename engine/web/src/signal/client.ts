// A client of Symple v4. It holds one WebSocket, and after it is lost the next: it knows who we
// are, which rooms were joined and what we last said about ourselves, and says all of that again.
//
//   idle ──start──▶ connecting ──welcome──▶ online
//                     │   ▲                   │ lost
//          lost, late │   │ the wait is over  │
//                     ▼   │                   ▼
//                    waiting ◀────────────────┘
//   any ──401, 403──▶ refused     until start() with another token: asking again changes nothing
//
// What is sent while it is not online is refused (`false`), not kept: an offer that is late is wrong.

import { Backoff } from './backoff';
import { Roster } from './roster';
import { decode } from './wire';
import type { Incoming, JsonObject, Message, PeerInfo, ServerEvent } from './wire';

export type LinkState = 'idle' | 'connecting' | 'online' | 'waiting' | 'refused';

export interface Identity {
  user: string;
  name: string;
  token: string;
}

export interface ClientEvents {
  /** The link has another state; the reason is in words, where there is one. */
  state(state: LinkState, reason: string): void;
  /** The list of peers has changed. */
  roster(peers: PeerInfo[]): void;
  message(message: Message): void;
  event(event: ServerEvent): void;
}

/** What of a WebSocket is used, so that tests can bring their own. */
export type Socket = Pick<
  WebSocket,
  'send' | 'close' | 'readyState' | 'onopen' | 'onmessage' | 'onclose'
>;

/** How long the server has for its welcome. */
const WELCOME_WITHIN_MS = 10_000;
/** What a peer may say about itself without being cut by the server. */
const PRESENCE_BYTES_MAX = 8 * 1024;

export class SympleClient {
  readonly roster = new Roster(() => this.me?.id ?? '');
  state: LinkState = 'idle';
  me: PeerInfo | null = null;
  /** When the next try is made, while waiting. */
  retryAt = 0;

  private socket: Socket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff: Backoff;
  private readonly rooms = new Set<string>();
  private presence: JsonObject = {};
  private lastFault = '';
  private messagesCount = 0;

  constructor(
    private readonly url: string,
    private identity: Identity,
    private readonly events: Partial<ClientEvents> = {},
    private readonly open: (url: string) => Socket = (url) => new WebSocket(url),
    random: () => number = Math.random,
  ) {
    this.backoff = new Backoff(500, 15_000, random);
  }

  /** Connects, as this person where one is named. A link that is up is made anew. */
  start(identity: Identity = this.identity): void {
    this.identity = identity;
    this.drop();
    this.backoff.reset();
    this.connect();
  }

  stop(): void {
    this.drop();
    this.become('idle', '');
  }

  /** Does not wait any longer: the network is back, or a person asked for it. */
  retryNow(): void {
    if (this.state === 'waiting') this.connect();
  }

  /** Says to everybody in our rooms what we can do and are doing. It is said again after a loss. */
  say(about: JsonObject): void {
    if (JSON.stringify(about).length > PRESENCE_BYTES_MAX) throw new RangeError('too long');
    this.presence = about;
    this.sendPresence({});
  }

  join(room: string): boolean {
    this.rooms.add(room);
    return this.send({ type: 'join', room });
  }

  leave(room: string): boolean {
    this.rooms.delete(room);
    return this.send({ type: 'leave', room });
  }

  /** A message to a peer's address, a room, or (`null`) everybody in our rooms. */
  message(to: string | null, subtype: string, data: JsonObject = {}): boolean {
    // Only this session has to tell them apart.
    const id = (this.messagesCount += 1).toString(36);
    return this.send({ type: 'message', id, ...(to === null ? {} : { to }), subtype, data });
  }

  private send(frame: JsonObject): boolean {
    if (this.state !== 'online' || this.socket?.readyState !== 1) return false;
    // `from` is the server's to say.
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  private sendPresence(more: JsonObject): void {
    this.send({ type: 'presence', data: this.presence, ...more });
  }

  private connect(): void {
    clearTimeout(this.timer);
    this.become('connecting', '');
    this.lastFault = '';
    let socket: Socket;
    try {
      socket = this.open(this.url);
    } catch (error) {
      return this.wait(error instanceof Error ? error.message : String(error));
    }
    this.socket = socket;
    this.timer = setTimeout(() => {
      if (this.socket !== socket) return;
      this.drop();
      this.wait('the server did not answer');
    }, WELCOME_WITHIN_MS);
    socket.onopen = () => {
      const { user, name, token } = this.identity;
      const auth = { type: 'auth', user, name, ...(token && { token }), data: { peerType: 'browser' } };
      socket.send(JSON.stringify(auth));
    };
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket || typeof data !== 'string') return;
      const incoming = decode(data);
      if (incoming) this.heard(incoming);
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.drop();
      this.wait(this.lastFault || 'the connection was lost');
    };
  }

  private heard(incoming: Incoming): void {
    switch (incoming.type) {
      case 'welcome':
        return this.welcomed(incoming.peer);
      case 'error':
        return this.fault(incoming.status, incoming.message);
      case 'presence':
        // A peer of ours that probes wants an answer, to it alone.
        if (incoming.probe) this.sendPresence({ to: incoming.from });
        if (this.roster.heard(incoming)) this.events.roster?.(this.roster.list());
        return;
      case 'message':
        return this.events.message?.(incoming);
      case 'event':
        if (incoming.name === 'shutdown') this.lastFault = 'the server is restarting';
        return this.events.event?.(incoming);
    }
  }

  private welcomed(peer: PeerInfo): void {
    clearTimeout(this.timer);
    this.backoff.reset();
    this.me = peer;
    this.become('online', '');
    for (const room of this.rooms) this.send({ type: 'join', room });
    this.sendPresence({ probe: true });
  }

  private fault(status: number, message: string): void {
    this.lastFault = message;
    // About a room or a message: the link itself is well.
    if (this.state === 'online') return;
    if (status === 401 || status === 403) {
      this.drop();
      this.become('refused', message);
    }
  }

  private wait(reason: string): void {
    const waitMs = this.backoff.next();
    this.retryAt = Date.now() + waitMs;
    this.become('waiting', reason);
    this.timer = setTimeout(() => this.connect(), waitMs);
  }

  private drop(): void {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    this.me = null;
    this.roster.clear();
    this.events.roster?.([]);
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  private become(state: LinkState, reason: string): void {
    this.state = state;
    this.events.state?.(state, reason);
  }
}
