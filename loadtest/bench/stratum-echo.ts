// What a Stratum server on Node costs that does nothing: it answers every line that has an id with `true`. The floor
// beside which the stratum suite puts the engine, in the same run. Speaks to the suite as stratum-server.ts does.
import { createServer, type Socket } from 'node:net';
import { endWithParent } from './end-with-parent.js';

const LINE_FEED = 0x0a;
const ID = Buffer.from('{"id":');
const SUBSCRIBED = '{"id":1,"result":[[["mining.notify","1"]],"00000001",8],"error":null}\n';
const NOTIFY = `{"id":null,"method":"mining.notify","params":["1","${'0'.repeat(64)}","00","00",[],"20000000","17023a04","68000000",true]}\n`;

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer | null = null;
  socket.on('data', (chunk: Buffer) => {
    const bytes = rest === null ? chunk : Buffer.concat([rest, chunk]);
    const done = answer(socket, bytes);
    rest = done === bytes.length ? null : bytes.subarray(done);
  });
  socket.on('error', () => socket.destroy());
});
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  process.stdout.write(`${JSON.stringify({ port, pid: process.pid, connectionThread: process.pid })}\n`);
});
process.on('SIGTERM', () => process.exit());
endWithParent(() => process.exit());

/** All complete lines, in one write. Returns the position behind the last of them. */
function answer(socket: Socket, bytes: Buffer): number {
  let out = '';
  let start = 0;
  for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
    let digit = start + ID.length;
    while (bytes[digit] !== undefined && bytes[digit] !== 0x2c) digit++;
    const id = bytes.toString('latin1', start + ID.length, digit);
    if (id === '1') out += SUBSCRIBED;
    else if (id === '2') out += `{"id":2,"result":true,"error":null}\n${NOTIFY}`;
    else out += `{"id":${id},"result":true,"error":null}\n`;
    start = end + 1;
  }
  if (out !== '') socket.write(out, 'latin1');
  return start;
}
