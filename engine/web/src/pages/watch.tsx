// Watching: the list of streams, and the one that was chosen.

import { useEffect, useRef, useState } from 'preact/hooks';

import type { Problem } from '../api/problem';
import { Icon } from '../parts/icon';
import { Lately } from '../parts/lately';
import { useLoaded } from '../parts/loaded';
import { MotionBoxes, VoiceRing } from '../parts/noticed';
import { Statistics, useStats } from '../parts/statistics';
import { StreamList } from '../parts/stream-list';
import { Video } from '../parts/video';
import type { Layers } from '../rtc/layers';
import { Watcher } from '../rtc/watch';
import type { WatchState } from '../rtc/watch';
import { go, hrefOf } from '../state/place';
import { token } from '../state/settings';
import { hasList, refreshStreams, streams } from '../state/streams';
import { ChartNoAxesColumn, Eye, RefreshCw } from '../parts/icons';

export function WatchPage({ argument: name }: { argument: string }) {
  const { problem } = useLoaded(refreshStreams, 4_000, [token.value]);
  return (
    <>
      <div class="line">
        <h1>{name || 'Watch'}</h1>
        {name && <a href={hrefOf('watch')}>All streams</a>}
      </div>
      {name && <Stage key={`${name} ${token.value}`} name={name} />}
      {problem && !name && <p class="quiet">{problem.message}</p>}
      {!name && (hasList.value || streams.value.length > 0) && <StreamList streams={streams.value} />}
      {!name && <ByName />}
      {name && streams.value.length > 1 && (
        <section aria-labelledby="others">
          <h2 id="others">Other streams</h2>
          <StreamList streams={streams.value.filter((stream) => stream.name !== name)} />
        </section>
      )}
    </>
  );
}

function Stage({ name }: { name: string }) {
  const [state, setState] = useState<WatchState>('joining');
  const [problem, setProblem] = useState<Problem | null>(null);
  const [media, setMedia] = useState<MediaStream | null>(null);
  const [showsStats, setShowsStats] = useState(false);
  const [showsEvents, setShowsEvents] = useState(true);
  const watcher = useRef<Watcher | null>(null);
  useEffect(() => {
    const it = new Watcher(`/whep/${encodeURIComponent(name)}`, token.value, {
      state(state, problem) {
        setState(state);
        setProblem(problem);
      },
      media: (stream) => setMedia(stream),
    });
    watcher.current = it;
    it.start();
    return () => it.stop();
  }, []);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const isTyping = (event.target as HTMLElement).closest('input, select, textarea') !== null;
      if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === 's') setShowsStats((shows) => !shows);
      if (event.key === 'e') setShowsEvents((shows) => !shows);
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
  const stats = useStats(() => watcher.current?.pc ?? null);
  const isPlaying = state === 'playing';
  return (
    <div class="stage" data-state={state}>
      <div class="screen">
        <Video stream={media} label={`The stream ${name}`} controls>
          {showsEvents && <MotionBoxes source={name} />}
          {showsEvents && <VoiceRing source={name} />}
        </Video>
        {!isPlaying && <Curtain state={state} problem={problem} again={() => watcher.current?.retryNow()} />}
        {showsStats && <Statistics stats={stats} />}
      </div>
      <div class="bar">
        <span class={`tag ${isPlaying ? 'live' : ''}`}>{isPlaying ? 'live' : 'not playing'}</span>
        <span class="grow" />
        {isPlaying && watcher.current && <LayerChoice watcher={watcher.current} />}
        <button class="small" aria-pressed={showsEvents} onClick={() => setShowsEvents(!showsEvents)}>
          <Icon of={Eye} size={16} /> Motion and voice
        </button>
        <button class="small" aria-pressed={showsStats} onClick={() => setShowsStats(!showsStats)}>
          <Icon of={ChartNoAxesColumn} size={16} /> Statistics
        </button>
      </div>
      {showsEvents && <Lately source={name} />}
    </div>
  );
}

/** How often it is looked which layers there are: publishers stop those that their line does not take. */
const LAYERS_EVERY_MS = 4_000;

/** The sizes that a stream comes in, where there are several. */
function LayerChoice({ watcher }: { watcher: Watcher }) {
  const [known, setKnown] = useState<Layers | null>(null);
  useEffect(() => {
    const look = () => void watcher.layers().then(setKnown, () => {});
    look();
    const timer = setInterval(look, LAYERS_EVERY_MS);
    return () => clearInterval(timer);
  }, [watcher]);
  if (!known) return null;
  const names = known.layers.map(({ id }) => id);
  const missing = known.wanted && !names.includes(known.wanted) ? [known.wanted] : [];
  const rate = new Map(known.layers.map(({ id, bitsPerSecond }) => [id, bitsPerSecond]));
  const words = (id: string) => (rate.has(id) ? `${id}, ${Math.round((rate.get(id) ?? 0) / 1000)} kbit/s` : `${id}, not sent now`);
  return (
    <label class="small">
      Size
      <select
        aria-label="Size"
        value={known.wanted ?? ''}
        onChange={(event) => void watcher.choose(event.currentTarget.value || null).then((it) => it && setKnown(it), () => {})}
      >
        <option value="">What the line takes</option>
        {[...missing, ...names].map((id) => (
          <option key={id} value={id}>
            {words(id)}
          </option>
        ))}
      </select>
    </label>
  );
}

function Curtain({ state, problem, again }: { state: WatchState; problem: Problem | null; again: () => void }) {
  const words: Record<WatchState, string> = {
    joining: 'Joining …',
    playing: '',
    restarting: 'The way to the server was lost. Looking for another …',
    waiting: problem?.status === 404 ? 'Nobody publishes here now. It starts by itself.' : 'Trying again soon.',
    ended: '',
  };
  const isBusy = state === 'joining' || state === 'restarting' || state === 'waiting';
  return (
    <div class="curtain" role="status">
      {isBusy && <span class="spinner" />}
      {problem && problem.status !== 404 && <b>{problem.message}</b>}
      {problem?.status !== 404 && problem?.advice && <span>{problem.advice}</span>}
      <span>{words[state]}</span>
      {(state === 'waiting' || state === 'ended') && (
        <button class="small" onClick={again}>
          <Icon of={RefreshCw} size={16} /> Try now
        </button>
      )}
    </div>
  );
}

function ByName() {
  const [name, setName] = useState('');
  return (
    <form
      class="inline"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim()) go('watch', name.trim());
      }}
    >
      <label for="by-name">A stream by its name</label>
      <input id="by-name" value={name} autocomplete="off" spellcheck={false} onInput={(event) => setName(event.currentTarget.value)} />
      <button disabled={!name.trim()}>Watch</button>
    </form>
  );
}
