// A call with one other: whom to call, and the call itself.

import { useEffect, useState } from 'preact/hooks';

import { Empty } from '../parts/empty';
import { Icon } from '../parts/icon';
import { Avatar, Peers } from '../parts/peers';
import { ProblemBox } from '../parts/problem';
import { Statistics, useStats } from '../parts/statistics';
import { Video } from '../parts/video';
import { duration } from '../parts/words';
import { splitAddress } from '../signal/wire';
import {
  call,
  callPeer,
  callProblem,
  callReason,
  callState,
  isCameraOff,
  isMuted,
  localMedia,
  remoteMedia,
  startedAt,
  toggleCamera,
  toggleMuted,
  withCamera,
} from '../state/call';
import { isOnline, peers } from '../state/link';
import { Camera, CameraOff, ChartNoAxesColumn, Mic, MicOff, Phone, PhoneOff } from '../parts/icons';

export function CallPage() {
  const state = callState.value;
  const isUp = state === 'ringing' || state === 'connecting' || state === 'active';
  return (
    <>
      <h1>Call</h1>
      <ProblemBox of={callProblem.value} />
      {isUp && <Talk />}
      {state === 'ended' && (
        <p class="banner" role="status">
          The call with {callPeer.value?.name} has ended: {callReason.value}.
        </p>
      )}
      {!isUp && <Whom />}
    </>
  );
}

function Whom() {
  const others = peers.value.filter((peer) => peer.capabilities.includes('call'));
  return (
    <>
      <label class="check">
        <input type="checkbox" checked={withCamera.value} onChange={(event) => (withCamera.value = event.currentTarget.checked)} />
        With my camera
      </label>
      {isOnline.value && others.length > 0 ? (
        <Peers />
      ) : (
        <Empty icon={Phone} title="Nobody to call yet">
          <p>Whoever opens this page in another browser appears here.</p>
        </Empty>
      )}
    </>
  );
}

function Talk() {
  const state = callState.value;
  const peer = callPeer.value;
  const [showsStats, setShowsStats] = useState(false);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const isTyping = (event.target as HTMLElement).closest('input, select, textarea') !== null;
      if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === 'm') toggleMuted();
      if (event.key === 'v') toggleCamera();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
  const words = { ringing: 'Calling …', connecting: 'Connecting …' } as const;
  return (
    <div class="stage talk" data-state={state}>
      <div class="screen">
        <Video stream={remoteMedia.value} label={`${peer?.name ?? 'The other side'}`} controls />
        {localMedia.value && (
          <Video class="self" stream={localMedia.value} label="You" muted mirrored />
        )}
        {state !== 'active' && peer && (
          <div class="curtain" role="status">
            <span class={state === 'ringing' ? 'ringing' : ''}>
              <Avatar peer={{ user: splitAddress(peer.address).user, name: peer.name }} />
            </span>
            <b>{peer.name}</b>
            <span>{words[state as keyof typeof words]}</span>
          </div>
        )}
        {showsStats && state === 'active' && <CallStats />}
      </div>
      <div class="bar">
        <span class={`tag ${state === 'active' ? 'live' : ''}`}>{state === 'active' ? <Clock /> : state}</span>
        <span class="grow" />
        <button class="round" aria-pressed={showsStats} onClick={() => setShowsStats(!showsStats)}>
          <Icon of={ChartNoAxesColumn} />
          <span class="hidden">Statistics</span>
        </button>
        <button class="round" aria-pressed={isMuted.value} onClick={toggleMuted}>
          <Icon of={isMuted.value ? MicOff : Mic} />
          <span class="hidden">{isMuted.value ? 'Unmute' : 'Mute'}</span>
        </button>
        <button class="round" aria-pressed={isCameraOff.value} onClick={toggleCamera}>
          <Icon of={isCameraOff.value ? CameraOff : Camera} />
          <span class="hidden">{isCameraOff.value ? 'Camera on' : 'Camera off'}</span>
        </button>
        <button class="danger" onClick={() => call.hangUp()}>
          <Icon of={PhoneOff} size={16} /> Hang up
        </button>
      </div>
    </div>
  );
}

function CallStats() {
  return <Statistics stats={useStats(() => call.pc)} />;
}

function Clock() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return <>{duration(now - startedAt.value)}</>;
}
