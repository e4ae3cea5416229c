// The streams that can be watched: `/api/streams`, and what the server's own peer says of itself.

import { isObject, number, string } from '../signal/wire';
import type { Json, JsonObject, PeerInfo } from '../signal/wire';
import { findJson } from './http';

export interface StreamInfo {
  name: string;
  isLive: boolean;
  viewersCount: number | null;
  codecs: string[];
  /** The mount of the radio that its sound feeds; empty where it feeds none. */
  toMount: string;
  /** The mount that is heard on it, so that nobody publishes it; empty where there is none. */
  fromMount: string;
}

/** `null` where the server has no such list. */
export async function listStreams(token: string): Promise<StreamInfo[] | null> {
  const answer = await findJson('/api/streams', token, 'list its streams');
  return answer && readStreams(answer.streams);
}

export function readStreams(list: Json | undefined): StreamInfo[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((item) => {
    if (typeof item === 'string') return [readStream({ name: item })];
    return isObject(item) && string(item.name) ? [readStream(item)] : [];
  });
}

/** Streams that virtual peers name in their presence. */
export function streamsOfPeers(peers: PeerInfo[]): StreamInfo[] {
  return peers.filter((peer) => peer.kind === 'server').flatMap((peer) => readStreams(peer.extras.streams));
}

/** One list by name; the first that knows a stream is believed. */
export function mergeStreams(...lists: StreamInfo[][]): StreamInfo[] {
  const byName = new Map<string, StreamInfo>();
  for (const stream of lists.flat()) if (!byName.has(stream.name)) byName.set(stream.name, stream);
  return [...byName.values()].sort(
    (a, b) => Number(b.isLive) - Number(a.isLive) || a.name.localeCompare(b.name),
  );
}

function readStream(item: JsonObject): StreamInfo {
  const live = item.live ?? item.is_live ?? item.isLive;
  const viewers = item.viewers ?? item.viewers_count ?? item.viewersCount;
  const tracks = Array.isArray(item.tracks) ? item.tracks.filter(isObject) : [];
  const codecs = tracks.map((track) => string(track.codec)).filter(Boolean);
  return {
    name: string(item.name),
    isLive: live !== false,
    viewersCount: typeof viewers === 'number' ? number(viewers) : null,
    codecs: [...new Set(codecs)],
    toMount: string(item.to_mount),
    fromMount: string(item.from_mount),
  };
}
