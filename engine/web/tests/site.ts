// A server for the pages in a test: what Vite built, the real signalling behind `/ws`, and answers
// for the rest of the server's paths that a test writes itself.

import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

const HERE = new URL('.', import.meta.url).pathname;
const PAGES = join(HERE, '../built/pages');
const ROOT = join(HERE, '../../..');

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.mp4': 'video/mp4',
};

export interface Asked {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
}
export interface Told {
  status: number;
  type?: string;
  headers?: Record<string, string>;
  body?: string;
}
type Handler = (asked: Asked) => Promise<Told | null> | Told | null;

export class Site {
  url = '';
  /** Every request but those for the pages themselves. */
  readonly asked: Asked[] = [];
  /** While true, nobody gets a link. */
  isDown = false;
  private readonly links = new Set<Socket>();
  private server: Server;

  constructor(
    private readonly signallingPort: number,
    public handle: Handler,
    readonly files: Map<string, string> = new Map(),
  ) {
    this.server = createServer((request, response) => void this.answer(request, response));
    this.server.on('upgrade', (request, socket, head) => this.join(request, socket as Socket, head));
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Ends every link to the signalling, as a restart or a lost network does. */
  cutLinks(): void {
    for (const socket of this.links) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cutLinks();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(request: IncomingMessage, socket: Socket, head: Buffer): void {
    if (this.isDown || request.url !== '/ws') return void socket.destroy();
    const far = connect(this.signallingPort, '127.0.0.1', () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let at = 0; at < request.rawHeaders.length; at += 2) {
        lines.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
      }
      far.write(`${lines.join('\r\n')}\r\n\r\n`);
      far.write(head);
      far.pipe(socket);
      socket.pipe(far);
    });
    this.links.add(socket);
    for (const side of [socket, far]) {
      side.on('error', () => {});
      side.on('close', () => {
        this.links.delete(socket);
        socket.destroy();
        far.destroy();
      });
    }
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://x').pathname;
    const file = this.fileFor(path);
    if (file && request.method === 'GET') return this.send(file, request, response);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = 'GET', headers } = request;
    const asked = { method, path, headers, body: Buffer.concat(chunks).toString() };
    this.asked.push(asked);
    const told = (await this.handle(asked)) ?? { status: 404 };
    response.writeHead(told.status, { 'content-type': told.type ?? 'application/json', ...told.headers });
    response.end(told.body ?? '');
  }

  private fileFor(path: string): string | null {
    const named = this.files.get(path);
    if (named) return named;
    if (path === '/' || path === '/app' || path.startsWith('/app/')) return join(PAGES, 'index.html');
    if (!path.startsWith('/assets/')) return null;
    const file = join(PAGES, normalize(path));
    return existsSync(file) ? file : null;
  }

  private send(file: string, request: IncomingMessage, response: ServerResponse): void {
    const size = statSync(file).size;
    const head = { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'accept-ranges': 'bytes' };
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    if (!range) {
      response.writeHead(200, { ...head, 'content-length': size });
      createReadStream(file).pipe(response);
      return;
    }
    const [start, end] = [Number(range[1]), range[2] ? Number(range[2]) : size - 1];
    response.writeHead(206, {
      ...head,
      'content-length': end - start + 1,
      'content-range': `bytes ${start}-${end}/${size}`,
    });
    createReadStream(file, { start, end }).pipe(response);
  }
}

/** The signalling that the server has, alone: an example of `protocol-symple`. */
export class Signalling {
  port = 0;
  private child: ChildProcess | null = null;

  async start(...options: string[]): Promise<void> {
    const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
    const binary = process.env.SKYWAVE_SIGNALLING ?? join(target, 'debug/examples/signalling');
    if (!existsSync(binary)) {
      throw new Error(`no ${binary}: cargo build -p protocol-symple --example signalling`);
    }
    const child = spawn(binary, ['127.0.0.1:0', ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    this.port = await new Promise<number>((resolve, reject) => {
      let text = '';
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        const port = /listening on \S+?:(\d+)\//.exec(text)?.[1];
        if (port) resolve(Number(port));
      });
      child.on('exit', (code) => reject(new Error(`signalling ended with ${code}: ${text}`)));
      child.on('error', reject);
    });
  }

  async stop(): Promise<void> {
    const child = this.child;
    this.child = null;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}
