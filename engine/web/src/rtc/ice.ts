// The ICE servers of the server we came from: its own TURN, with credentials for a while.

import { findJson } from '../api/http';
import { number, string, strings } from '../signal/wire';
import type { JsonObject } from '../signal/wire';

let kept: { servers: RTCIceServer[]; until: number } = { servers: [], until: 0 };

/** Never fails: without them a direct way may still be found. */
export async function iceServers(token: string): Promise<RTCIceServer[]> {
  if (Date.now() < kept.until) return kept.servers;
  const answer = await findJson('/ice-servers', token, 'hand out ICE servers').catch(() => null);
  const servers = answer ? readIceServers(answer, location.hostname) : [];
  const ttlMs = answer ? number(answer.ttl) * 1000 : 0;
  // Used up to half of their life, so that a call that starts now can still refresh its relay.
  kept = { servers, until: Date.now() + Math.max(ttlMs / 2, 5_000) };
  return servers;
}

/** One server, or a list under `iceServers`. An address that says nowhere means where we are. */
export function readIceServers(answer: JsonObject, host: string): RTCIceServer[] {
  const list = Array.isArray(answer.iceServers) ? answer.iceServers : [answer];
  const servers: RTCIceServer[] = [];
  for (const item of list) {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) continue;
    const named = typeof item.urls === 'string' ? [item.urls] : strings(item.urls);
    const here = host.includes(':') ? `[${host}]` : host;
    const urls = named.map((url) => url.replace(/^(turns?|stuns?):(0\.0\.0\.0|\[::\])(?=:|\?|$)/, `$1:${here}`));
    if (urls.length === 0) continue;
    const [username, credential] = [string(item.username), string(item.credential)];
    servers.push({ urls, ...(username && { username }), ...(credential && { credential }) });
  }
  return servers;
}
