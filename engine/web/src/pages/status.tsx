// How the server is, and what its radio plays.


import { readStatus } from '../api/status';
import type { Mount, Status } from '../api/status';
import { Empty } from '../parts/empty';
import { useLoaded } from '../parts/loaded';
import { ProblemBox } from '../parts/problem';
import { age, count } from '../parts/words';
import { isOnline, linkState, me } from '../state/link';
import { token } from '../state/settings';
import { Activity } from '../parts/icons';

export function StatusPage() {
  const { value, problem, again } = useLoaded(() => readStatus(token.value), 5_000, [token.value]);
  return (
    <>
      <div class="line">
        <h1>Status</h1>
        <a href="/status.xsl">Plain page</a>
      </div>
      <ProblemBox of={problem} again={again} />
      {value && <Facts of={value} />}
      {value && <Checks of={value} />}
      <section aria-labelledby="radio">
        <h2 id="radio">Radio</h2>
        {value && value.mounts.length === 0 && (
          <Empty icon={Activity} title="No mount is on the air">
            <p>A source that connects appears here.</p>
          </Empty>
        )}
        <ul class="rows" aria-label="Mounts">
          {value?.mounts.map((mount) => <MountRow key={mount.path} of={mount} />)}
        </ul>
      </section>
    </>
  );
}

function Facts({ of }: { of: Status }) {
  const words: Record<string, string> = { ok: 'well', degraded: 'degraded', error: 'not well' };
  const link = isOnline.value ? `online as ${me.value?.name ?? ''}` : linkState.value;
  return (
    <dl class="facts">
      <Fact name="Server" value={words[of.health] ?? (of.health || 'answers')} state={of.health} />
      <Fact name="Signalling" value={link} state={isOnline.value ? 'ok' : 'degraded'} />
      {of.startedAtMs !== null && <Fact name="Up for" value={age(Date.now() - of.startedAtMs)} />}
      {of.counts.map(({ name, value }) => <Fact key={name} name={name} value={value} />)}
      <Fact name="Version" value={of.server.includes(of.version) ? of.server || '–' : `${of.server} · ${of.version}`} />
    </dl>
  );
}

function Fact({ name, value, state = '' }: { name: string; value: string; state?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {state && <span class={`dot ${state}`} aria-hidden="true" />}
        {value}
      </dd>
    </div>
  );
}

function Checks({ of }: { of: Status }) {
  const bad = of.checks.filter((check) => check.result !== 'pass');
  if (bad.length === 0 && of.warnings.length === 0) return null;
  return (
    <section aria-labelledby="checks">
      <h2 id="checks">To look at</h2>
      <ul class="rows">
        {of.warnings.map((text) => (
          <li class="row" key={text}>
            <span class="dot degraded" aria-hidden="true" /> {text}
          </li>
        ))}
        {bad.map((check) => (
          <li class="row" key={check.name}>
            <span class={`dot ${check.result === 'fail' ? 'error' : 'degraded'}`} aria-hidden="true" />
            <b>{check.name}</b> {check.detail}
          </li>
        ))}
      </ul>
    </section>
  );
}

function MountRow({ of }: { of: Mount }) {
  const facts = [of.type, of.bitrate > 0 ? `${of.bitrate} kbit/s` : '', count(of.listeners, 'listener')];
  return (
    <li class="row mount">
      <div class="grow">
        <b>{of.name || of.path}</b> <span class="quiet mono">{of.path}</span>
        <div>{of.title}</div>
        <div class="quiet">{facts.filter(Boolean).join(' · ')}</div>
      </div>
      <audio controls preload="none" src={of.path} aria-label={`Listen to ${of.name || of.path}`} />
    </li>
  );
}
