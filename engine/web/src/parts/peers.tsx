// Who is here.


import type { PeerInfo } from '../signal/wire';
import { addressOf } from '../signal/wire';
import { link, me, peers } from '../state/link';
import { hrefOf } from '../state/place';
import { callState, startCall } from '../state/call';
import { Icon } from './icon';
import { Phone, Server, User } from './icons';

export function Peers() {
  const list = peers.value;
  const own = me.value;
  return (
    <ul class="rows" aria-label="Who is here">
      {own && (
        <li class="row">
          <Avatar peer={own} />
          <div class="grow">
            <b>{own.name}</b> <span class="tag">you</span>
            <div class="quiet mono">{own.user}</div>
          </div>
          <a class="button small" href={hrefOf('settings')}>
            Change name
          </a>
        </li>
      )}
      {list.map((peer) => (
        <PeerRow key={peer.id} peer={peer} />
      ))}
      {link.roster.beyondCount > 0 && <li class="row quiet">and {link.roster.beyondCount} more</li>}
    </ul>
  );
}

function PeerRow({ peer }: { peer: PeerInfo }) {
  const isBusy = callState.value !== 'idle' && callState.value !== 'ended';
  const canCall = peer.kind !== 'server' && peer.capabilities.includes('call');
  return (
    <li class="row" data-peer={peer.user}>
      <Avatar peer={peer} />
      <div class="grow">
        <b>{peer.name}</b> <span class="quiet">{wordsFor(peer)}</span>
        <div class="quiet mono">{peer.user}</div>
      </div>
      {canCall && (
        <button class="small" disabled={isBusy} onClick={() => startCall(addressOf(peer), peer.name)}>
          <Icon of={Phone} size={16} /> Call<span class="hidden"> {peer.name}</span>
        </button>
      )}
    </li>
  );
}

function wordsFor(peer: PeerInfo): string {
  if (peer.kind === 'server') {
    const can = peer.capabilities.map((it) => (it === 'view' ? 'watch' : it)).join(', ');
    return can ? `server · ${can}` : 'server';
  }
  return peer.extras.busy === true ? 'in a call' : '';
}

/** A colour for each user, so that a face that is not there is known again. */
export function Avatar({ peer }: { peer: { user: string; name: string; kind?: string } }) {
  let hue = 0;
  for (const letter of peer.user) hue = (hue * 31 + letter.charCodeAt(0)) % 360;
  return (
    <span class="avatar" style={{ '--hue': String(hue) }} aria-hidden="true">
      {peer.kind === 'server' ? <Icon of={Server} size={18} /> : initials(peer.name) || <Icon of={User} size={18} />}
    </span>
  );
}

function initials(name: string): string {
  const words = name.trim().split(/\s+/).slice(0, 2);
  return words.map((word) => [...word][0] ?? '').join('').toUpperCase();
}
