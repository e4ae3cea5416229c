// Recordings, as the server's `/api/recordings` lists them.

import { isObject, number, string } from '../signal/wire';
import type { Json, JsonObject } from '../signal/wire';
import { findJson } from './http';

export interface Recording {
  name: string;
  stream: string;
  /** It was kept because something moved, and is a piece of the stream around that. */
  isClip: boolean;
  startedAtMs: number;
  durationMs: number;
  sizeBytes: number;
  tracks: string[];
  /** It is being written still. */
  isOpen: boolean;
  /** Why it ended early, where it did. */
  cause: string;
  url: string;
}

/** `null` where the server records nothing at all. */
export async function listRecordings(token: string): Promise<Recording[] | null> {
  const answer = await findJson('/api/recordings', token, 'list its recordings');
  return answer && readRecordings(answer.recordings);
}

export function readRecordings(list: Json | undefined): Recording[] {
  if (!Array.isArray(list)) return [];
  const recordings = list.filter(isObject).flatMap((item) => readRecording(item) ?? []);
  return recordings.sort((a, b) => b.startedAtMs - a.startedAtMs);
}

function readRecording(item: JsonObject): Recording | null {
  const name = string(item.name);
  if (!name) return null;
  const tracks = Array.isArray(item.tracks) ? item.tracks.filter(isObject) : [];
  return {
    name,
    stream: string(item.stream),
    isClip: item.kind === 'clip',
    startedAtMs: number(item.started_at_ms),
    durationMs: number(item.duration_ms),
    sizeBytes: number(item.size_bytes),
    tracks: tracks.map(trackWords),
    isOpen: item.is_closed === false && !string(item.cause),
    cause: string(item.cause),
    url: ownPath(string(item.url)) ?? `/artifacts/${encodeURIComponent(name)}`,
  };
}

function trackWords(track: JsonObject): string {
  const [codec, width, height] = [string(track.codec), number(track.width), number(track.height)];
  return width && height ? `${codec} ${width} × ${height}` : codec;
}

/** A path on this server; anything else (`javascript:`, another host) is not followed. */
export function ownPath(text: string): string | null {
  return /^\/(?!\/)/.test(text) ? text : null;
}
