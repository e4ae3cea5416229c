// Motion and voice over a picture.

import { BOXES_LIVE_MS, motionOf, voiceOf } from '../state/events';
import { percent } from './words';

/** Boxes where something moves. */
export function MotionBoxes({ source }: { source: string }) {
  const motion = motionOf.value.get(source);
  if (!motion) return null;
  return (
    <svg class="boxes" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true" key={motion.heardAtMs}>
      {motion.boxes.map((box, index) => (
        <rect
          key={index}
          x={box.x * 100}
          y={box.y * 100}
          width={box.width * 100}
          height={box.height * 100}
          rx="0.8"
          vector-effect="non-scaling-stroke"
          style={{ animationDuration: `${BOXES_LIVE_MS}ms`, '--confidence': Math.max(0.35, box.confidence) }}
        />
      ))}
      <title>{`Motion, ${percent(motion.score)}`}</title>
    </svg>
  );
}

/** A ring around the picture that breathes with the voice. */
export function VoiceRing({ source }: { source: string }) {
  const voice = voiceOf.value.get(source);
  if (!voice?.isActive) return null;
  return (
    <div class="voice-ring" style={{ '--level': String(Math.min(1, 0.25 + voice.level * 4)) }}>
      <span class="hidden">Somebody speaks</span>
    </div>
  );
}
