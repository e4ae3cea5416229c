// Symple v4 on the wire: what a client says and hears, as types, and the one place where text from
// the network becomes one of them. What does not fit is dropped here, so that nothing behind this
// file has to doubt a field.

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** Who a peer is, with whatever else it says about itself. */
export interface PeerInfo {
  id: string;
  user: string;
  name: string;
  online: boolean;
  /** `browser`, `server`, or what its own client calls it. */
  kind: string;
  capabilities: string[];
  extras: JsonObject;
}

export interface Welcome {
  type: 'welcome';
  peer: PeerInfo;
  rooms: string[];
}
export interface Fault {
  type: 'error';
  status: number;
  message: string;
}
export interface Presence {
  type: 'presence';
  from: string;
  probe: boolean;
  peer: PeerInfo;
}
export interface Message {
  type: 'message';
  id: string;
  from: string;
  subtype: string;
  data: JsonObject;
}
export interface ServerEvent {
  type: 'event';
  name: string;
  from: string;
  data: JsonObject;
}
export interface Joined {
  type: 'join:ok' | 'leave:ok';
  room: string;
}
export type Incoming = Welcome | Fault | Presence | Message | ServerEvent | Joined;

/** Reads one text frame; `null` where it is nothing that a client knows. */
export function decode(text: string): Incoming | null {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    return null;
  }
  if (!isObject(value)) return null;
  switch (value.type) {
    case 'welcome': {
      const peer = peerOf(value.peer);
      if (!peer || value.status !== 200) return null;
      return { type: 'welcome', peer, rooms: strings(value.rooms) };
    }
    case 'error':
      return { type: 'error', status: number(value.status), message: string(value.message) };
    case 'presence': {
      const peer = peerOf(value.data);
      if (!peer || typeof value.from !== 'string') return null;
      return { type: 'presence', from: value.from, probe: value.probe === true, peer };
    }
    case 'message': {
      if (typeof value.from !== 'string') return null;
      // What the server itself says may have no id and no data.
      const data = isObject(value.data) ? value.data : {};
      const subtype = string(value.subtype);
      return { type: 'message', id: string(value.id), from: value.from, subtype, data };
    }
    case 'event':
      return { type: 'event', name: string(value.name), from: string(value.from), data: value };
    case 'join:ok':
    case 'leave:ok':
      return { type: value.type, room: string(value.room) };
    default:
      return null;
  }
}

/** `user|id`, which is what `to` and `from` are. */
export function addressOf(peer: { user: string; id: string }): string {
  return `${peer.user}|${peer.id}`;
}

/** The parts of an address; a bare text is a user without an id. */
export function splitAddress(address: string): { user: string; id: string } {
  const at = address.indexOf('|');
  if (at < 0) return { user: address, id: '' };
  return { user: address.slice(0, at), id: address.slice(at + 1) };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
export function string(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
export function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
export function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

const OWN_FIELDS = new Set(['id', 'user', 'name', 'online', 'type', 'peerType', 'capabilities']);

function peerOf(value: Json | undefined): PeerInfo | null {
  if (!isObject(value)) return null;
  const { id, user } = value;
  if (typeof id !== 'string' || !id || typeof user !== 'string' || !user) return null;
  const extras = Object.entries(value).filter(([key]) => !OWN_FIELDS.has(key));
  return {
    id,
    user,
    name: string(value.name) || user,
    online: value.online !== false,
    // Some servers keep `type` for themselves and pass on what the client asked for.
    kind: string(value.peerType) || string(value.type) || 'peer',
    capabilities: strings(value.capabilities),
    extras: Object.fromEntries(extras),
  };
}
