// What a connection does, in numbers, once a second.

import { useEffect, useState } from 'preact/hooks';

import { look } from '../rtc/stats';
import type { Look, Stats, TrackStats } from '../rtc/stats';
import { bitrate, milliseconds, percent } from './words';

export function useStats(pc: () => RTCPeerConnection | null): Stats | null {
  const [stats, setStats] = useState<Stats | null>(null);
  useEffect(() => {
    let before: Look | null = null;
    let of: RTCPeerConnection | null = null;
    let isOver = false;
    const ask = async () => {
      const now = pc();
      if (now !== of) before = null;
      of = now;
      if (!now || now.connectionState === 'closed') return setStats(null);
      const report = await now.getStats().catch(() => null);
      if (isOver || !report) return;
      before = look(report as unknown as Iterable<[string, unknown]>, before);
      setStats(before.stats);
    };
    const timer = setInterval(() => void ask(), 1000);
    void ask();
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, []);
  return stats;
}

export function Statistics({ stats }: { stats: Stats | null }) {
  if (!stats) return null;
  return (
    <dl class="statistics" aria-label="Statistics">
      {stats.tracks.map((track, index) => (
        <Track key={index} of={track} />
      ))}
      <Row name="Round trip" value={stats.rttMs === null ? '–' : milliseconds(stats.rttMs)} />
      {stats.path && <Row name="Path" value={stats.path} />}
      {stats.availableBitrate !== null && <Row name="Room for" value={bitrate(stats.availableBitrate)} />}
    </dl>
  );
}

function Track({ of }: { of: TrackStats }) {
  const isVideo = of.kind === 'video';
  const frames = `${Math.round(of.framesPerSecond)} /s`;
  const dropped = of.framesDropped > 0 ? `, ${of.framesDropped} dropped` : '';
  const picture = of.width > 0 ? `${of.width} × ${of.height}` : '–';
  return (
    <>
      <dt class="head">
        {isVideo ? 'Picture' : 'Sound'}
        {of.layer && ` ${of.layer}`}
      </dt>
      <dd class="head">{of.codec || '–'}</dd>
      <Row name="Bitrate" value={bitrate(of.bitrate)} />
      {isVideo && <Row name="Size" value={picture} />}
      {isVideo && <Row name="Frames" value={frames + dropped} />}
      <Row name="Loss" value={percent(of.loss)} />
      <Row name="Jitter" value={milliseconds(of.jitterMs)} />
      {of.direction === 'in' && <Row name="Buffer" value={milliseconds(of.bufferMs)} />}
    </>
  );
}

function Row({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}
