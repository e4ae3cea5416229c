// What was recorded: to play, and to take away.

import { useState } from 'preact/hooks';

import { listRecordings } from '../api/recordings';
import type { Recording } from '../api/recordings';
import { Empty } from '../parts/empty';
import { Icon } from '../parts/icon';
import { useLoaded } from '../parts/loaded';
import { ProblemBox } from '../parts/problem';
import { bytes, duration, moment } from '../parts/words';
import { token } from '../state/settings';
import { Download, Film, Play, X } from '../parts/icons';

export function RecordingsPage() {
  const { value, problem, again } = useLoaded(() => listRecordings(token.value), 10_000, [token.value]);
  const [playing, setPlaying] = useState('');
  const chosen = value?.find((recording) => recording.name === playing);
  return (
    <>
      <h1>Recordings</h1>
      <ProblemBox of={problem} again={again} />
      {chosen && <Player key={chosen.name} of={chosen} close={() => setPlaying('')} />}
      {value === undefined && !problem && <p class="quiet">Loading …</p>}
      {value === null && (
        <Empty icon={Film} title="This server does not list recordings">
          <p>What it records lies in the folder that its configuration names.</p>
        </Empty>
      )}
      {value?.length === 0 && (
        <Empty icon={Film} title="Nothing was recorded yet">
          <p>Streams that are set to be recorded appear here.</p>
        </Empty>
      )}
      {value && value.length > 0 && (
        <ul class="rows" aria-label="Recordings">
          {value.map((recording) => (
            <Row key={recording.name} of={recording} play={() => setPlaying(recording.name)} isPlaying={recording.name === playing} />
          ))}
        </ul>
      )}
    </>
  );
}

function Row({ of, play, isPlaying }: { of: Recording; play: () => void; isPlaying: boolean }) {
  return (
    <li class="row" aria-current={isPlaying}>
      <button class="round" onClick={play}>
        <Icon of={Play} />
        <span class="hidden">Play {of.name}</span>
      </button>
      <div class="grow">
        <b>{of.stream || of.name}</b> {of.isClip && <span class="tag">motion</span>} {of.isOpen && <span class="tag live">recording</span>}
        <div class="quiet">
          {[moment(of.startedAtMs), duration(of.durationMs), bytes(of.sizeBytes), ...of.tracks].join(' · ')}
        </div>
        {of.cause && <div class="quiet">Ended early: {of.cause}</div>}
      </div>
      <a class="button small" href={urlOf(of)} download={of.name} aria-label={`Download ${of.name}`}>
        <Icon of={Download} size={16} /> <span class="wide">Download</span>
      </a>
    </li>
  );
}

function Player({ of, close }: { of: Recording; close: () => void }) {
  const [hasFailed, setFailed] = useState(false);
  return (
    <div class="stage">
      <div class="screen">
        <video class="plain" src={urlOf(of)} controls autoplay playsInline aria-label={of.name} onError={() => setFailed(true)} />
        {hasFailed && (
          <div class="curtain" role="alert">
            <b>This browser cannot play it.</b>
            <span>Download it, and play it with another program.</span>
          </div>
        )}
      </div>
      <div class="bar">
        <span class="grow mono">{of.name}</span>
        <button class="small" onClick={close}>
          <Icon of={X} size={16} /> Close
        </button>
      </div>
    </div>
  );
}

// Players and downloads cannot send a header: the token goes into the address, as the server allows.
function urlOf(recording: Recording): string {
  if (!token.value) return recording.url;
  return `${recording.url}?token=${encodeURIComponent(token.value)}`;
}
