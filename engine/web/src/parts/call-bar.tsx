// The call that comes, or that goes on while one looks at another page.


import { acceptCall, call, callPeer, callReason, callState } from '../state/call';
import { hrefOf, place } from '../state/place';
import { Icon } from './icon';
import { Phone, PhoneOff } from './icons';

export function CallBar() {
  const state = callState.value;
  const name = callPeer.value?.name ?? '';
  if (state === 'incoming') {
    return (
      <div class="banner call" role="alertdialog" aria-label={`${name} calls`}>
        <span class="ringing"><Icon of={Phone} /></span>
        <p>
          <b>{name}</b> calls you
        </p>
        <button class="good" onClick={acceptCall}>
          <Icon of={Phone} size={16} /> Accept
        </button>
        <button class="danger" onClick={() => call.reject()}>
          <Icon of={PhoneOff} size={16} /> Decline
        </button>
      </div>
    );
  }
  if (place.value.page === 'call' || state === 'idle') return null;
  const words = { ringing: `Calling ${name} …`, connecting: `Connecting to ${name} …`, active: `In a call with ${name}` };
  if (state === 'ended') {
    return (
      <div class="banner" role="status">
        <p>
          The call with {name} has ended: {callReason.value}.
        </p>
      </div>
    );
  }
  return (
    <div class="banner call" role="status">
      <Icon of={Phone} />
      <p>{words[state]}</p>
      <a class="button small" href={hrefOf('call')}>
        Show
      </a>
      <button class="small danger" onClick={() => call.hangUp()}>
        Hang up
      </button>
    </div>
  );
}
