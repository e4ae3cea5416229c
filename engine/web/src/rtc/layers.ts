// The layers of a simulcast as WHEP's event `layers` tells them: an object of each media section.

export interface Layers {
  /** From the smallest on, by how much they take. */
  layers: { id: string; bitsPerSecond: number }[];
  /** The one that was asked for; `null` where the server chooses. */
  wanted: string | null;
  /** The one that is sent. */
  sent: string | null;
}

/** Of the first section that has several; `null` where there is nothing to choose. */
export function layersOf(told: unknown): Layers | null {
  if (typeof told !== 'object' || told === null) return null;
  for (const section of Object.values(told as Record<string, unknown>)) {
    const { layers, wanted, sent } = (section ?? {}) as Record<string, unknown>;
    if (!Array.isArray(layers)) continue;
    const named = layers.flatMap((layer: { encodingId?: unknown; bitrate?: unknown } | null) =>
      typeof layer?.encodingId === 'string' ? [{ id: layer.encodingId, bitsPerSecond: Number(layer.bitrate) || 0 }] : [],
    );
    const text = (value: unknown) => (typeof value === 'string' ? value : null);
    // What was asked for and does not come now may come again.
    if (named.length < 2 && text(wanted) === null) continue;
    named.sort((one, other) => one.bitsPerSecond - other.bitsPerSecond);
    return { layers: named, wanted: text(wanted), sent: text(sent) };
  }
  return null;
}
