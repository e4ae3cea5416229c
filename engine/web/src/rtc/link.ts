// `Link` headers (RFC 8288) as WHIP and WHEP use them: ICE servers that come with an answer.

/** Where a viewer chooses its layer, in WHEP's extension; empty where the server has none. */
export function layersAt(header: string | null): string {
  const found = links(header ?? '').find(({ parameters }) => parameters.get('rel') === 'urn:ietf:params:whep:ext:core:layer');
  return found?.target ?? '';
}

/** The ICE servers of `Link: <turn:…>; rel="ice-server"; username="…"; credential="…"`. */
export function iceServersOf(header: string | null): RTCIceServer[] {
  const servers: RTCIceServer[] = [];
  for (const { target, parameters } of links(header ?? '')) {
    if (!(parameters.get('rel') ?? '').split(/\s+/).includes('ice-server')) continue;
    const [username, credential] = [parameters.get('username'), parameters.get('credential')];
    servers.push({ urls: target, ...(username && { username }), ...(credential && { credential }) });
  }
  return servers;
}

interface Link {
  target: string;
  parameters: Map<string, string>;
}

// A comma separates links only outside of `<…>` and of quotes, so both are read as wholes.
function links(header: string): Link[] {
  const found: Link[] = [];
  const link = /<([^>]*)>((?:\s*;\s*[\w!#$&+\-.^`|~*]+\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]+))?)*)/g;
  for (const [, target, rest] of header.matchAll(link)) {
    const parameters = new Map<string, string>();
    const parameter = /;\s*([^\s=;]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+)))?/g;
    for (const [, name, quoted, plain] of (rest ?? '').matchAll(parameter)) {
      const value = quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '';
      if (name && !parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
    }
    if (target) found.push({ target, parameters });
  }
  return found;
}
