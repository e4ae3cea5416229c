// Symple v4 on Node with ws: what `skywave` does for `bench symple`, small and tuned. One process,
// one object for each peer, one Set for each room; a message is written once and sent to all.
//
//     node server.js ADDRESS PORT MODULES      (MODULES: the folder that ws is in)
'use strict';
const http = require('node:http');
const path = require('node:path');
const { randomBytes } = require('node:crypto');

const [address, port, modules] = process.argv.slice(2);
const { WebSocketServer } = require(path.resolve(modules, 'ws'));

const MESSAGE_BYTES_MAX = 64 * 1024;
const ROOMS_MAX = 32;
const MESSAGES_MAX = 1_000_000;
const MESSAGES_WITHIN_MS = 10_000;
const AUTH_WITHIN_MS = 60_000;

const rooms = new Map();
const peers = new Map();

const server = http.createServer((request, response) => {
    response.writeHead(200, { 'Content-Length': 0 });
    response.end();
});
const sockets = new WebSocketServer({
    server, perMessageDeflate: false, maxPayload: MESSAGE_BYTES_MAX, clientTracking: false,
});

// What goes to all of these is one buffer.
function deliver(to, text) {
    const bytes = Buffer.from(text);
    for (const peer of to) peer.socket.send(bytes, { binary: false });
}

function shares(peer, other) {
    for (const room of peer.rooms) if (other.rooms.has(room)) return true;
    return false;
}

function others(peer, names) {
    if (names.length === 1) {
        const members = rooms.get(names[0]);
        const to = [];
        if (members !== undefined) {
            for (const other of members) if (other !== peer && shares(peer, other)) to.push(other);
        }
        return to;
    }
    const to = new Set();
    for (const name of names) {
        for (const other of rooms.get(name) ?? []) if (other !== peer) to.add(other);
    }
    return to;
}

function recipients(peer, to) {
    if (to === undefined) return others(peer, [...peer.rooms]);
    if (Array.isArray(to)) return others(peer, to.filter((name) => peer.rooms.has(name)));
    if (typeof to !== 'string') return [];
    const at = to.indexOf('|');
    if (at < 0 && rooms.has(to)) return others(peer, [to]);
    const other = peers.get(at < 0 ? to : to.slice(at + 1));
    return other !== undefined && shares(peer, other) ? [other] : [];
}

function presence(peer, data) {
    const { id, user, name } = peer;
    return { ...data, id, user, name, type: 'Peer', online: true };
}

function say(socket, value) {
    socket.send(JSON.stringify(value));
}

function fail(socket, status, message) {
    say(socket, { type: 'error', status, message });
    socket.close(1008);
}

function join(peer, room) {
    let members = rooms.get(room);
    if (members === undefined) rooms.set(room, members = new Set());
    members.add(peer);
    peer.rooms.add(room);
}

function authenticate(peer, message) {
    const { socket } = peer;
    if (typeof message.user !== 'string' || message.user === '') {
        return fail(socket, 401, 'Missing user field');
    }
    clearTimeout(peer.timer);
    peer.id = randomBytes(12).toString('base64url');
    peer.user = message.user;
    peer.name = typeof message.name === 'string' ? message.name : message.user;
    peer.address = `${peer.user}|${peer.id}`;
    const chosen = Array.isArray(message.rooms) ? message.rooms : [];
    for (const room of [peer.user, ...chosen.slice(0, ROOMS_MAX)]) join(peer, String(room));
    peers.set(peer.id, peer);
    const data = presence(peer, {});
    say(socket, {
        type: 'welcome', protocol: 'symple/4', status: 200, peer: data, rooms: [...peer.rooms],
    });
    peer.presence = JSON.stringify({ type: 'presence', from: peer.address, data });
    const all = others(peer, [...peer.rooms]);
    for (const other of all) socket.send(other.presence);
    deliver(all, peer.presence);
}

function hear(peer, bytes) {
    const now = Date.now();
    peer.tokens = Math.min(
        MESSAGES_MAX, peer.tokens + (now - peer.filledAt) * (MESSAGES_MAX / MESSAGES_WITHIN_MS));
    peer.filledAt = now;
    if (peer.tokens < 1) return fail(peer.socket, 429, 'Rate limit exceeded');
    peer.tokens -= 1;
    let message;
    try {
        message = JSON.parse(bytes);
    } catch {
        return undefined;
    }
    if (message === null || typeof message !== 'object' || typeof message.type !== 'string') return;
    if (peer.address === undefined) {
        if (message.type === 'auth') return authenticate(peer, message);
        return fail(peer.socket, 401, 'Not authenticated');
    }
    switch (message.type) {
        case 'presence':
            message.data = presence(peer, message.data ?? {});
        // falls through
        case 'message': case 'command': case 'event': {
            message.from = peer.address;
            const text = JSON.stringify(message);
            if (message.type === 'presence' && message.to === undefined) peer.presence = text;
            return deliver(recipients(peer, message.to), text);
        }
        case 'join':
            join(peer, String(message.room));
            return say(peer.socket, { type: 'join:ok', room: message.room });
        default:
            return undefined;
    }
}

function gone(peer) {
    clearTimeout(peer.timer);
    if (peer.address === undefined) return;
    peers.delete(peer.id);
    const all = others(peer, [...peer.rooms]);
    for (const room of peer.rooms) {
        const members = rooms.get(room);
        members.delete(peer);
        if (members.size === 0) rooms.delete(room);
    }
    const data = { ...presence(peer, {}), online: false };
    deliver(all, JSON.stringify({ type: 'presence', from: peer.address, data }));
}

sockets.on('connection', (socket) => {
    const peer = {
        socket, rooms: new Set(), tokens: MESSAGES_MAX, filledAt: Date.now(), address: undefined,
        timer: setTimeout(() => fail(socket, 408, 'Authentication timeout'), AUTH_WITHIN_MS),
    };
    socket.on('message', (bytes) => hear(peer, bytes));
    socket.on('close', () => gone(peer));
    socket.on('error', () => {});
});
server.listen({ host: address, port: Number(port), backlog: 4096 });
