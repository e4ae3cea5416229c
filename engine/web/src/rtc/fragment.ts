// `application/trickle-ice-sdpfrag` (RFC 8840): the pieces of SDP that WHIP and WHEP exchange after
// the offer, for candidates that are found late and for an ICE restart.

/** What of a session description ICE is: where a side can be reached, and its key for asking. */
interface Ice {
  ufrag: string;
  pwd: string;
}

/** Candidates for a `PATCH`, under the offer's own ICE credentials. */
export function candidateFragment(offer: string, candidates: RTCIceCandidate[], isLast: boolean): string {
  const ice = iceOf(offer);
  const lines = [`a=ice-ufrag:${ice.ufrag}`, `a=ice-pwd:${ice.pwd}`];
  const mids = new Set(candidates.map((candidate) => candidate.sdpMid ?? ''));
  // With BUNDLE one section carries them all, and it must be named even where it only says the end.
  if (mids.size === 0) mids.add(midOf(offer));
  for (const mid of mids) {
    lines.push(`m=${kindOf(offer, mid)} 9 UDP/TLS/RTP/SAVPF 0`, `a=mid:${mid}`);
    for (const candidate of candidates) {
      if ((candidate.sdpMid ?? '') === mid) lines.push(`a=${candidate.candidate}`);
    }
    if (isLast) lines.push('a=end-of-candidates');
  }
  return `${lines.join('\r\n')}\r\n`;
}

/** The ICE credentials of an offer for a restart. */
export function restartFragment(offer: string): string {
  const ice = iceOf(offer);
  return `a=ice-ufrag:${ice.ufrag}\r\na=ice-pwd:${ice.pwd}\r\n`;
}

/** The answer as it stands after a restart: the old one with the new credentials and candidates. */
export function restartedAnswer(answer: string, fragment: string): string {
  const ice = iceOf(fragment);
  const fresh = linesOf(fragment).filter((line) => line.startsWith('a=candidate:'));
  const out: string[] = [];
  let isFirstSection = false;
  for (const line of linesOf(answer)) {
    if (line.startsWith('a=candidate:') || line === 'a=end-of-candidates') continue;
    if (line.startsWith('m=')) isFirstSection = !out.some((earlier) => earlier.startsWith('m='));
    if (line.startsWith('a=ice-ufrag:')) out.push(`a=ice-ufrag:${ice.ufrag}`);
    else if (line.startsWith('a=ice-pwd:')) out.push(`a=ice-pwd:${ice.pwd}`);
    else out.push(line);
    if (isFirstSection && line.startsWith('a=mid:')) out.push(...fresh);
  }
  return `${out.join('\r\n')}\r\n`;
}

/** Whether a fragment brings new credentials, so that it is a restart's and not a trickle's. */
export function hasCredentials(fragment: string): boolean {
  return fragment.includes('a=ice-ufrag:') && fragment.includes('a=ice-pwd:');
}

function iceOf(sdp: string): Ice {
  const value = (name: string) => linesOf(sdp).find((line) => line.startsWith(name))?.slice(name.length);
  return { ufrag: value('a=ice-ufrag:') ?? '', pwd: value('a=ice-pwd:') ?? '' };
}

function midOf(sdp: string): string {
  return linesOf(sdp).find((line) => line.startsWith('a=mid:'))?.slice('a=mid:'.length) ?? '0';
}

function kindOf(sdp: string, mid: string): string {
  let kind = 'audio';
  for (const line of linesOf(sdp)) {
    if (line.startsWith('m=')) kind = line.slice(2).split(' ')[0] ?? kind;
    if (line === `a=mid:${mid}`) return kind;
  }
  return kind;
}

function linesOf(sdp: string): string[] {
  return sdp.split(/\r?\n/).filter((line) => line !== '');
}
