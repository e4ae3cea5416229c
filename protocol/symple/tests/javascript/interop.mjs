// The real JavaScript client against our server: node interop.mjs CLIENT_INDEX WS_INDEX URL TOKEN_URL
// Says `ok NAME` for each promise, and ends with a failure at the first that is broken.
import { strict as assert } from "node:assert";
import { pathToFileURL } from "node:url";

const [clientIndex, wsIndex, url, tokenUrl] = process.argv.slice(2);
const { default: WebSocket } = await import(pathToFileURL(wsIndex).href);
globalThis.WebSocket = WebSocket;
const { default: SympleClient } = await import(pathToFileURL(clientIndex).href);

const PATIENCE_MS = 20_000;
const until = async (what, condition) => {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = condition();
    if (value) return value;
    assert(Date.now() < end, `in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
const ok = (name) => console.log(`ok ${name}`);

const clients = [];
const connect = async (user, options = {}) => {
  const client = new SympleClient({ url, peer: { user, name: user, type: "viewer" }, ...options });
  client.heard = [];
  client.errors = [];
  for (const kind of ["message", "presence", "command", "event"]) {
    client.on(kind, (message) => client.heard.push(message));
  }
  client.on("error", (error) => client.errors.push(error));
  client.on("disconnect", () => (client.isGone = true));
  clients.push(client);
  client.connect();
  return client;
};
const online = async (user, options) => {
  const client = await connect(user, options);
  await until(`${user} is welcomed`, () => client.online);
  return client;
};
const address = (client) => `${client.peer.user}|${client.peer.id}`;
const heard = (client, test) => until("a message", () => client.heard.find(test));

const ann = await online("ann");
assert(ann.peer.id.length >= 16 && !ann.peer.id.includes("|"));
ok("welcome");

const bob = await online("bob");
await until("ann knows bob", () => ann.roster.get(bob.peer.id));
await until("bob knows ann", () => bob.roster.get(ann.peer.id));
ok("two clients see each other");

// The client answers a probe to the bare id of the session.
const answer = await heard(bob, (m) => m.type === "presence" && m.to === bob.peer.id);
assert.equal(answer.from.id, ann.peer.id);
ok("an answer to a probe arrives");

ann.sendMessage({ data: { text: "hi" } }, address(bob));
const hi = await heard(bob, (m) => m.type === "message" && m.data?.text === "hi");
assert.equal(hi.from.id, ann.peer.id);
ok("a directed message");

// A spoofed sender, past the client's own care.
ann.socket.send(JSON.stringify({ type: "message", from: "bob|spoof", to: address(bob), data: 1 }));
const spoofed = await heard(bob, (m) => m.data === 1);
assert.equal(spoofed.from.id, ann.peer.id);
ok("from is the truth");

const acks = [];
ann.socket.addEventListener("message", (event) => acks.push(JSON.parse(event.data)));
ann.join("den");
await until("join:ok", () => acks.find((m) => m.type === "join:ok" && m.room === "den"));
bob.join("den");
ann.join("lair");
bob.join("lair");
ann.leave("lair");
await until("leave:ok", () => acks.find((m) => m.type === "leave:ok" && m.room === "lair"));
ok("rooms are joined and left");

await until("bob is in the den", () => {
  bob.sendMessage({ data: "knock" }, "den");
  return ann.heard.find((m) => m.data === "knock");
});
ok("a message to a room");

bob.heard.length = 0;
ann.sendMessage({ data: "all" });
ann.sendMessage({ data: "end" });
await heard(bob, (m) => m.data === "end");
assert.equal(bob.heard.filter((m) => m.data === "all").length, 1);
ok("to all, once, though two rooms are shared");

const step = async (from, to, subtype, data) => {
  to.heard.length = 0;
  from.sendMessage({ subtype, data }, address(to));
  const message = await heard(to, (m) => m.subtype === subtype);
  assert.deepEqual(message.data, data);
};
await step(ann, bob, "call:init", {});
await step(bob, ann, "call:accept", {});
await step(ann, bob, "call:offer", { type: "offer", sdp: "v=0\r\n" });
await step(bob, ann, "call:answer", { type: "answer", sdp: "v=0\r\n" });
await step(ann, bob, "call:candidate", { candidate: "candidate:1", sdpMid: "0", sdpMLineIndex: 0 });
await step(bob, ann, "call:hangup", { reason: "hangup" });
await step(ann, bob, "call:init", {});
await step(bob, ann, "call:reject", { reason: "busy" });
ok("a call");

const eve = await online("eve");
await until("ann knows eve", () => ann.roster.get(eve.peer.id));
eve.disconnect();
await until("eve is forgotten", () => !ann.roster.get(eve.peer.id));
ok("who goes is removed from the roster");

const refused = await connect("mallory", { url: tokenUrl, token: "wrong", reconnection: false });
await until("an error", () => refused.errors.length);
await until("closed", () => refused.isGone);
assert(!refused.online);
const allowed = await online("alice", { url: tokenUrl, token: "secret" });
ok("a token");

const flood = await online("flood", { reconnection: false });
for (let count = 0; count < 120; count++) {
  if (flood.online) flood.sendMessage({ data: count }, "nowhere");
}
await until("closed", () => flood.isGone);
assert(flood.errors.some((error) => error?.status === 429 || error === "server"));
const big = await online("big", { reconnection: false });
big.sendMessage({ data: "x".repeat(70_000) }, "nowhere");
await until("closed", () => big.isGone);
assert(big.errors.some((error) => error?.status === 413 || error === "server"));
assert(ann.online && bob.online && allowed.online);
ok("too much ends its own connection");

const early = await online("early", { reconnectionDelay: 50 });
const before = early.peer.id;
// The client does not bear to be cut off before it has sent its probe.
await heard(early, (m) => m.type === "presence" && m.to === before);
early.socket.terminate();
await until("again online", () => early.online && early.peer.id !== before);
ok("it comes back");

for (const client of clients) client.shutdown();
console.log("done");
