// Who is there: presence folded into a list. The newest word about a session counts, and a session
// that says it is offline is gone.

import type { PeerInfo, Presence } from './wire';

/** Peers that are kept; what a room of ten thousand says beyond is not shown to a person. */
export const PEERS_COUNT_MAX = 500;

export class Roster {
  private readonly byId = new Map<string, PeerInfo>();
  /** How many there were no room for. */
  beyondCount = 0;

  constructor(private readonly ownId: () => string) {}

  /** True where the list has changed. */
  heard(presence: Presence): boolean {
    const { peer } = presence;
    if (peer.id === this.ownId()) return false;
    if (!peer.online) return this.byId.delete(peer.id);
    if (!this.byId.has(peer.id) && this.byId.size >= PEERS_COUNT_MAX) {
      this.beyondCount += 1;
      return false;
    }
    this.byId.set(peer.id, peer);
    return true;
  }

  /** The connection is gone, and with it all that was known. */
  clear(): void {
    this.byId.clear();
    this.beyondCount = 0;
  }

  find(id: string): PeerInfo | undefined {
    return this.byId.get(id);
  }

  /** The session of a user that came back under another id. */
  findUser(user: string): PeerInfo | undefined {
    return [...this.byId.values()].find((peer) => peer.user === user);
  }

  /** Servers first, then people by name. */
  list(): PeerInfo[] {
    const rank = (peer: PeerInfo) => (peer.kind === 'server' ? 0 : 1);
    return [...this.byId.values()].sort(
      (a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name) || a.id.localeCompare(b.id),
    );
  }
}
