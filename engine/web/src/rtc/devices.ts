// Cameras, microphones and the screen.

import { Problem } from '../api/problem';

export interface Device {
  id: string;
  label: string;
}

export interface Devices {
  cameras: Device[];
  microphones: Device[];
}

export type Picture = 'camera' | 'screen' | 'none';

export interface Wanted {
  picture: Picture;
  hasSound: boolean;
  cameraId: string;
  microphoneId: string;
  /** Lines of the picture: 1080, 720, 480. */
  height: number;
}

export async function listDevices(): Promise<Devices> {
  needDevices();
  const all = await navigator.mediaDevices.enumerateDevices();
  const ofKind = (kind: MediaDeviceKind, word: string) =>
    all
      .filter((device) => device.kind === kind && device.deviceId)
      .map((device, index) => ({ id: device.deviceId, label: device.label || `${word} ${index + 1}` }));
  return { cameras: ofKind('videoinput', 'Camera'), microphones: ofKind('audioinput', 'Microphone') };
}

/** Opens what is wanted, all or nothing. */
export async function openMedia(wanted: Wanted): Promise<MediaStream> {
  needDevices();
  const sound = wanted.hasSound && {
    ...(wanted.microphoneId && { deviceId: { exact: wanted.microphoneId } }),
    echoCancellation: true,
    noiseSuppression: true,
  };
  if (wanted.picture === 'screen') return openScreen(sound);
  const video = wanted.picture === 'camera' && {
    ...(wanted.cameraId && { deviceId: { exact: wanted.cameraId } }),
    height: { ideal: wanted.height },
    width: { ideal: Math.round((wanted.height * 16) / 9) },
    frameRate: { ideal: 30 },
  };
  if (!video && !sound) throw new Problem('There is nothing to publish.', 'Choose a picture or sound.');
  return navigator.mediaDevices.getUserMedia({ video, audio: sound });
}

async function openScreen(sound: MediaTrackConstraints | false): Promise<MediaStream> {
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: false });
  if (!sound) return stream;
  try {
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: sound });
    for (const track of microphone.getTracks()) stream.addTrack(track);
    return stream;
  } catch (error) {
    stopMedia(stream);
    throw error;
  }
}

export function stopMedia(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

// Browsers hide devices from pages that came over an open network.
function needDevices(): void {
  if (navigator.mediaDevices) return;
  throw new Problem(
    'This browser gives cameras and microphones only to secure pages.',
    'Open this page over https, or from the machine itself as localhost.',
  );
}
