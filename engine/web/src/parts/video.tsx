// A picture that moves. It starts muted where the browser wants it so, and says when it is blocked.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

import { Icon } from './icon';
import { Maximize, Volume2, VolumeX } from './icons';

interface VideoProps {
  stream: MediaStream | null;
  /** For those who do not see it. */
  label: string;
  muted?: boolean;
  mirrored?: boolean;
  /** Sound and full screen can be chosen. */
  controls?: boolean;
  class?: string;
  /** What lies over the picture, in the picture's own coordinates. */
  children?: ComponentChildren;
}

export function Video(props: VideoProps) {
  const { stream, label, muted = false, mirrored, controls, children } = props;
  const video = useRef<HTMLVideoElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const [isSilent, setSilent] = useState(muted);
  const [size, setSize] = useState({ width: 16, height: 9 });
  useEffect(() => {
    const element = video.current;
    if (!element) return;
    element.srcObject = stream;
    if (!stream) return;
    element.play().catch(() => {
      // Without a touch of the page browsers play nothing loud.
      element.muted = true;
      setSilent(true);
      element.play().catch(() => {});
    });
  }, [stream]);
  useEffect(() => {
    if (video.current) video.current.muted = isSilent;
  }, [isSilent]);
  const measure = () => {
    const { videoWidth: width = 0, videoHeight: height = 0 } = video.current ?? {};
    if (width && height) setSize({ width, height });
  };
  return (
    <div class={`video ${props.class ?? ''}`} ref={frame}>
      <video
        ref={video}
        autoplay
        playsInline
        muted={isSilent}
        aria-label={label}
        class={mirrored ? 'mirrored' : ''}
        onLoadedMetadata={measure}
        onResize={measure}
      />
      <div class="over" style={{ aspectRatio: `${size.width} / ${size.height}`, '--ratio': size.width / size.height }}>
        {children}
      </div>
      {controls && (
        <div class="controls">
          <button class="round" aria-pressed={isSilent} onClick={() => setSilent(!isSilent)}>
            <Icon of={isSilent ? VolumeX : Volume2} />
            <span class="hidden">{isSilent ? 'Sound on' : 'Sound off'}</span>
          </button>
          <button class="round" onClick={() => toggleFullScreen(frame.current)}>
            <Icon of={Maximize} />
            <span class="hidden">Full screen</span>
          </button>
        </div>
      )}
    </div>
  );
}

function toggleFullScreen(element: HTMLElement | null): void {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void element?.requestFullscreen?.().catch(() => {});
}
