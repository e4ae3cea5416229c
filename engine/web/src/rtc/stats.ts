// From what `getStats` reports, now and a moment ago, to the numbers that a person reads.

export interface TrackStats {
  kind: 'audio' | 'video';
  direction: 'in' | 'out';
  codec: string;
  bitrate: number;
  /** Of packets, since the last look; 0 to 1. */
  loss: number;
  jitterMs: number;
  /** Video only. */
  width: number;
  height: number;
  framesPerSecond: number;
  framesDropped: number;
  framesTotal: number;
  freezes: number;
  layer: string;
  /** How long what is received waits before it is shown. */
  bufferMs: number;
}

export interface Stats {
  atMs: number;
  rttMs: number | null;
  /** `host`, `srflx`, `prflx` or `relay`, and `udp` or `tcp`. */
  path: string;
  availableBitrate: number | null;
  tracks: TrackStats[];
}

/** Everything that is needed of one look for the next. */
export interface Look {
  stats: Stats;
  counters: Map<string, Counters>;
}

interface Counters {
  atMs: number;
  bytes: number;
  packets: number;
  lost: number;
  bufferSeconds: number;
  emitted: number;
}

// Of the many kinds of entries, the fields that are read here.
type Entry = Record<string, unknown> & { id: string; type: string; timestamp: number };

export function look(report: Iterable<[string, unknown]>, before: Look | null): Look {
  const entries = new Map<string, Entry>();
  for (const [id, entry] of report) entries.set(id, entry as Entry);
  const counters = new Map<string, Counters>();
  const tracks: TrackStats[] = [];
  let atMs = 0;
  for (const entry of entries.values()) {
    atMs = Math.max(atMs, entry.timestamp);
    const isIn = entry.type === 'inbound-rtp';
    if (!isIn && entry.type !== 'outbound-rtp') continue;
    const remote = isIn ? undefined : entries.get(text(entry.remoteId));
    const now = countersOf(entry, remote, isIn);
    counters.set(entry.id, now);
    tracks.push(trackOf(entry, remote, entries, now, before?.counters.get(entry.id), isIn));
  }
  tracks.sort((a, b) => b.kind.localeCompare(a.kind) || b.height - a.height);
  const pair = selectedPair(entries);
  const rtt = pair?.currentRoundTripTime;
  const available = pair?.availableIncomingBitrate ?? pair?.availableOutgoingBitrate;
  return {
    counters,
    stats: {
      atMs,
      rttMs: typeof rtt === 'number' ? rtt * 1000 : null,
      path: pair ? pathOf(pair, entries) : '',
      availableBitrate: typeof available === 'number' ? available : null,
      tracks,
    },
  };
}

function countersOf(entry: Entry, remote: Entry | undefined, isIn: boolean): Counters {
  return {
    atMs: entry.timestamp,
    bytes: count(isIn ? entry.bytesReceived : entry.bytesSent),
    packets: count(isIn ? entry.packetsReceived : entry.packetsSent),
    // What of ours was lost only the other end knows.
    lost: count(isIn ? entry.packetsLost : remote?.packetsLost),
    bufferSeconds: count(entry.jitterBufferDelay),
    emitted: count(entry.jitterBufferEmittedCount),
  };
}

function trackOf(
  entry: Entry,
  remote: Entry | undefined,
  entries: Map<string, Entry>,
  now: Counters,
  before: Counters | undefined,
  isIn: boolean,
): TrackStats {
  const seconds = before ? (now.atMs - before.atMs) / 1000 : 0;
  const grew = (key: keyof Counters) => Math.max(0, now[key] - (before?.[key] ?? 0));
  const [lost, packets, emitted] = [grew('lost'), grew('packets'), grew('emitted')];
  const sent = isIn ? lost + packets : packets;
  const mime = text(entries.get(text(entry.codecId))?.mimeType);
  const jitter = count(isIn ? entry.jitter : remote?.jitter);
  return {
    kind: entry.kind === 'audio' ? 'audio' : 'video',
    direction: isIn ? 'in' : 'out',
    codec: mime.split('/')[1] ?? '',
    bitrate: seconds > 0 ? (grew('bytes') * 8) / seconds : 0,
    loss: sent > 0 ? Math.min(1, lost / sent) : 0,
    jitterMs: jitter * 1000,
    width: count(entry.frameWidth),
    height: count(entry.frameHeight),
    framesPerSecond: count(entry.framesPerSecond),
    framesDropped: count(entry.framesDropped),
    framesTotal: count(isIn ? entry.framesDecoded : entry.framesEncoded),
    freezes: count(entry.freezeCount),
    layer: text(entry.rid),
    bufferMs: emitted > 0 ? (grew('bufferSeconds') / emitted) * 1000 : 0,
  };
}

function selectedPair(entries: Map<string, Entry>): Entry | undefined {
  for (const entry of entries.values()) {
    if (entry.type !== 'transport') continue;
    const pair = entries.get(text(entry.selectedCandidatePairId));
    if (pair) return pair;
  }
  return [...entries.values()].find(
    (entry) => entry.type === 'candidate-pair' && entry.nominated === true && entry.state === 'succeeded',
  );
}

function pathOf(pair: Entry, entries: Map<string, Entry>): string {
  const local = entries.get(text(pair.localCandidateId));
  const kind = text(local?.candidateType);
  const transport = text(local?.relayProtocol) || text(local?.protocol);
  return [kind, transport].filter(Boolean).join('/');
}

const count = (value: unknown): number => (typeof value === 'number' ? value : 0);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
