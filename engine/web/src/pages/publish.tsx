// Publishing: a camera or the screen, with sound, under a name; or sound alone on a mount of the radio.

import { useEffect, useRef, useState } from 'preact/hooks';

import { problemOf } from '../api/problem';
import type { Problem } from '../api/problem';
import type { StreamInfo } from '../api/streams';
import { Icon } from '../parts/icon';
import { Level } from '../parts/level';
import { useLoaded } from '../parts/loaded';
import { ProblemBox } from '../parts/problem';
import { Statistics, useStats } from '../parts/statistics';
import { Video } from '../parts/video';
import { listDevices, openMedia, stopMedia } from '../rtc/devices';
import type { Devices, Picture, Wanted } from '../rtc/devices';
import { Publisher } from '../rtc/publish';
import type { PublishState } from '../rtc/publish';
import { hrefOf } from '../state/place';
import { token } from '../state/settings';
import { refreshStreams, streams } from '../state/streams';
import { Camera, MicOff, Mic, MonitorUp, Radio, Square } from '../parts/icons';

type Phase = 'choosing' | PublishState;

const NAME_PATTERN = '[A-Za-z0-9._\\-]{1,64}';

export function PublishPage({ argument }: { argument: string }) {
  const [wanted, setWanted] = useState<Wanted>({
    picture: 'camera',
    hasSound: true,
    cameraId: '',
    microphoneId: '',
    height: 720,
  });
  const [name, setName] = useState(argument || 'stage');
  const [codec, setCodec] = useState('');
  const [simulcast, setSimulcast] = useState(false);
  const [devices, setDevices] = useState<Devices>({ cameras: [], microphones: [] });
  const [media, setMedia] = useState<MediaStream | null>(null);
  const [phase, setPhase] = useState<Phase>('choosing');
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isMuted, setMuted] = useState(false);
  // The stream that feeds a mount, where it is to go there, and the password of the mount's sources.
  const [feeder, setFeeder] = useState<StreamInfo | null>(null);
  const [password, setPassword] = useState('');
  useLoaded(refreshStreams, 10_000, [token.value]);
  const feeders = streams.value.filter(({ toMount }) => toMount);
  const mount = feeder?.toMount ?? '';
  const held = useRef<{ media: MediaStream | null; publisher: Publisher | null }>({ media: null, publisher: null });
  const isLive = phase !== 'choosing' && phase !== 'ended';

  const refresh = () => void listDevices().then(setDevices, () => {});
  useEffect(() => {
    refresh();
    navigator.mediaDevices?.addEventListener('devicechange', refresh);
    return () => {
      navigator.mediaDevices?.removeEventListener('devicechange', refresh);
      held.current.publisher?.stop();
      stopMedia(held.current.media);
    };
  }, []);

  const close = () => {
    held.current.publisher?.stop();
    held.current.publisher = null;
    stopMedia(held.current.media);
    held.current.media = null;
    setMedia(null);
    setMuted(false);
  };
  const open = async (): Promise<MediaStream | null> => {
    close();
    setProblem(null);
    try {
      const stream = await openMedia(mount ? { ...wanted, picture: 'none', hasSound: true } : wanted);
      held.current.media = stream;
      // The screen's own "stop sharing" ends it as our button does.
      for (const track of stream.getVideoTracks()) track.addEventListener('ended', stop);
      setMedia(stream);
      refresh();
      return stream;
    } catch (error) {
      setProblem(problemOf(error));
      return null;
    }
  };
  const stop = () => {
    close();
    setPhase('choosing');
  };
  const start = async () => {
    const stream = held.current.media ?? (await open());
    if (!stream) return;
    setProblem(null);
    const options = {
      endpoint: `/whip/${encodeURIComponent(feeder?.name ?? name)}`,
      token: (mount && password) || token.value,
      codec,
      bitrateMax: bitrateFor(wanted.height),
      simulcast: simulcast && wanted.picture === 'camera',
    };
    const publisher = new Publisher(stream, options, {
      state(state, problem) {
        setPhase(state);
        setProblem(problem);
      },
    });
    held.current.publisher = publisher;
    publisher.start();
  };
  const change = (part: Partial<Wanted>) => {
    // What was opened by other choices is closed, and opened anew when it is asked for.
    if (held.current.media) close();
    setWanted({ ...wanted, ...part });
  };
  const mute = () => {
    setMuted(!isMuted);
    for (const track of media?.getAudioTracks() ?? []) track.enabled = isMuted;
  };
  return (
    <>
      <h1>Publish</h1>
      <div class="columns">
        <div class="stage" data-state={phase}>
          <div class="screen">
            <Video stream={media} label="What you publish" muted mirrored={wanted.picture === 'camera'} />
            {!media && (
              <div class="curtain">
                <Icon of={mount ? Mic : wanted.picture === 'screen' ? MonitorUp : Camera} size={36} />
                <button onClick={() => void open()}>{mount ? 'Try the microphone' : 'Show a preview'}</button>
              </div>
            )}
            {isLive && <LiveStats pc={() => held.current.publisher?.pc ?? null} />}
          </div>
          <div class="bar">
            <PhaseTag phase={phase} />
            {media && <Level stream={media} />}
            <span class="grow" />
            {media && media.getAudioTracks().length > 0 && (
              <button class="small" aria-pressed={isMuted} onClick={mute}>
                <Icon of={isMuted ? MicOff : Mic} size={16} /> {isMuted ? 'Unmute' : 'Mute'}
              </button>
            )}
            {isLive ? (
              <button key="stop" type="button" class="danger" onClick={stop}>
                <Icon of={Square} size={16} /> Stop
              </button>
            ) : (
              <button key="start" class="primary" form="publish">
                <Icon of={Radio} size={16} /> Go live
              </button>
            )}
          </div>
          <ProblemBox of={problem} />
          {isLive && mount && (
            <p class="quiet">
              Listeners hear it at <a href={mount}>{`${location.origin}${mount}`}</a>
            </p>
          )}
          {isLive && !mount && (
            <p class="quiet">
              Others watch it at <a href={hrefOf('watch', name)}>{`${location.origin}${hrefOf('watch', name)}`}</a>
            </p>
          )}
        </div>
        <form
          id="publish"
          class="fields"
          onSubmit={(event) => {
            event.preventDefault();
            void start();
          }}
        >
          <fieldset disabled={isLive}>
            <legend class="hidden">What to publish</legend>
            {(feeders.length > 0 || mount) && (
              <Choice<'stream' | 'mount'>
                label="Live as"
                value={mount ? 'mount' : 'stream'}
                options={[['stream', 'Stream'], ['mount', 'Radio']]}
                set={(way) => {
                  close();
                  setFeeder(way === 'mount' ? feeders[0]! : null);
                }}
              />
            )}
            {mount ? (
              <>
                <label>
                  Mount
                  <select value={feeder!.name} onChange={(event) => setFeeder(feeders[event.currentTarget.selectedIndex] ?? feeder)}>
                    {feeders.map(({ name, toMount, isLive }) => (
                      <option key={name} value={name}>
                        {isLive ? `${toMount} (on air)` : toMount}
                      </option>
                    ))}
                  </select>
                </label>
                <Pick label="Microphone" list={devices.microphones} value={wanted.microphoneId} set={(microphoneId) => change({ microphoneId })} />
                <label>
                  Password of sources
                  <input type="password" value={password} autocomplete="off" placeholder="or your token" onInput={(event) => setPassword(event.currentTarget.value)} />
                </label>
              </>
            ) : (
              <>
                <label>
                  Name of the stream
                  <input value={name} required pattern={NAME_PATTERN} title="Letters, digits and - . _" spellcheck={false} autocomplete="off" onInput={(event) => setName(event.currentTarget.value)} />
                </label>
                <Choice<Picture>
                  label="Picture"
                  value={wanted.picture}
                  options={[['camera', 'Camera'], ['screen', 'Screen'], ['none', 'None']]}
                  set={(picture) => change({ picture })}
                />
                {wanted.picture === 'camera' && (
                  <Pick label="Camera" list={devices.cameras} value={wanted.cameraId} set={(cameraId) => change({ cameraId })} />
                )}
                {wanted.picture === 'camera' && (
                  <label>
                    Size
                    <select value={String(wanted.height)} onChange={(event) => change({ height: Number(event.currentTarget.value) })}>
                      <option value="1080">1920 × 1080</option>
                      <option value="720">1280 × 720</option>
                      <option value="480">854 × 480</option>
                    </select>
                  </label>
                )}
                <label class="check">
                  <input type="checkbox" checked={wanted.hasSound} onChange={(event) => change({ hasSound: event.currentTarget.checked })} />
                  Sound of a microphone
                </label>
                {wanted.hasSound && (
                  <Pick label="Microphone" list={devices.microphones} value={wanted.microphoneId} set={(microphoneId) => change({ microphoneId })} />
                )}
                <details>
                  <summary>More</summary>
                  <label>
                    Codec of the picture
                    <select value={codec} onChange={(event) => setCodec(event.currentTarget.value)}>
                      <option value="">as the browser likes</option>
                      <option value="video/H264">H.264</option>
                      <option value="video/VP8">VP8</option>
                      <option value="video/VP9">VP9</option>
                      <option value="video/AV1">AV1</option>
                    </select>
                  </label>
                  <label class="check">
                    <input type="checkbox" checked={simulcast} disabled={wanted.picture !== 'camera'} onChange={(event) => setSimulcast(event.currentTarget.checked)} />
                    Several sizes at once, for viewers on slow lines
                  </label>
                </details>
                <label>
                  Token
                  <input type="password" value={token.value} autocomplete="off" placeholder="where the server asks for one" onInput={(event) => (token.value = event.currentTarget.value)} />
                </label>
              </>
            )}
          </fieldset>
        </form>
      </div>
    </>
  );
}

function LiveStats({ pc }: { pc: () => RTCPeerConnection | null }) {
  return <Statistics stats={useStats(pc)} />;
}

function PhaseTag({ phase }: { phase: Phase }) {
  const words: Record<Phase, string> = {
    choosing: 'not live',
    joining: 'connecting …',
    live: 'live',
    restarting: 'mending …',
    waiting: 'reconnecting …',
    ended: 'not live',
  };
  return (
    <span class={`tag ${phase === 'live' ? 'live' : ''}`} role="status">
      {words[phase]}
    </span>
  );
}

function Choice<T extends string>(props: { label: string; value: T; options: [T, string][]; set: (value: T) => void }) {
  return (
    <fieldset class="choice">
      <legend>{props.label}</legend>
      {props.options.map(([value, word]) => (
        <label key={value}>
          <input type="radio" name={props.label} checked={props.value === value} onChange={() => props.set(value)} />
          <span>{word}</span>
        </label>
      ))}
    </fieldset>
  );
}

function Pick(props: { label: string; list: { id: string; label: string }[]; value: string; set: (id: string) => void }) {
  return (
    <label>
      {props.label}
      <select value={props.value} onChange={(event) => props.set(event.currentTarget.value)}>
        <option value="">the usual one</option>
        {props.list.map((device) => (
          <option key={device.id} value={device.id}>
            {device.label}
          </option>
        ))}
      </select>
    </label>
  );
}

/** What a picture of this height is worth; the browser sends less where there is no room. */
function bitrateFor(height: number): number {
  return height >= 1080 ? 4_000_000 : height >= 720 ? 2_500_000 : 1_200_000;
}
