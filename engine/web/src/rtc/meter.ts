// How loud a stream of sound is, for a meter.

/** Below this nothing is drawn. */
const FLOOR_DB = -60;

/** Calls back with 0 to 1 on each frame that is drawn; what it returns ends it. */
export function meter(stream: MediaStream, heard: (level: number) => void): () => void {
  if (stream.getAudioTracks().length === 0) return () => {};
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let shown = 0;
  let frame = 0;
  const draw = () => {
    analyser.getFloatTimeDomainData(samples);
    const level = levelOf(samples);
    // Up at once and down slowly, as meters do.
    shown = Math.max(level, shown * 0.9);
    heard(shown);
    frame = requestAnimationFrame(draw);
  };
  frame = requestAnimationFrame(draw);
  return () => {
    cancelAnimationFrame(frame);
    void context.close();
  };
}

/** The root of the mean square, on a scale of decibels from 0 to 1. */
export function levelOf(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const decibels = 10 * Math.log10(sum / Math.max(1, samples.length));
  return Math.min(1, Math.max(0, 1 - decibels / FLOOR_DB));
}
