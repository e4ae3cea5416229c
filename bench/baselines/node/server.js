// Node's http, and a WebSocket echo with ws.
//
//     node server.js ADDRESS PORT ROOT MODULES      (MODULES: the folder that ws is in)
'use strict';
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const [address, port, root, modules] = process.argv.slice(2);
const { WebSocketServer } = require(path.resolve(modules, 'ws'));

const read = (name) => fs.readFileSync(path.join(root, name));
const bodies = new Map([
    ['/', Buffer.from('Hello, world!')],
    ['/empty', Buffer.alloc(0)],
    ['/1k.bin', read('1k.bin')],
    ['/64k.bin', read('64k.bin')],
]);

const server = http.createServer((request, response) => {
    const body = bodies.get(request.url);
    if (body === undefined) {
        response.writeHead(404, { 'Content-Length': 0 });
        response.end();
        return;
    }
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length });
    response.end(body);
});
server.keepAliveTimeout = 60_000;

const echo = new WebSocketServer({ server, path: '/echo', perMessageDeflate: false });
echo.on('connection', (socket) => {
    socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary }));
    socket.on('error', () => {});
});
server.listen({ host: address, port: Number(port), backlog: 4096 });
