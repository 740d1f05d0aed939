// A scripted RPC server for faults that a real node cannot give on demand: hanging, 503, -28, cut
// connections, a web page, odd numbers. What a healthy node says is tested against a real bitcoind.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseRpcUrl, type RpcEndpoint } from '../../engine/node/rpc-endpoint.js';

export interface RpcCall {
  method: string;
  params: unknown[];
  path: string;
  login: string;
}

/** What the server does with one call. */
export type Reply =
  | { result: unknown }
  | { error: { code: number; message: string } }
  | { raw: string; status?: number; contentType?: string }
  | 'hang'
  | 'cut';

export class ScriptedNode {
  readonly calls: RpcCall[] = [];
  parallelMax = 0;
  #parallel = 0;
  readonly #answer: (call: RpcCall, nth: number) => Reply | Promise<Reply>;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  /** `answer` is asked for each call; `nth` counts the calls of that method from 0. */
  constructor(answer: (call: RpcCall, nth: number) => Reply | Promise<Reply>) {
    this.#answer = answer;
  }

  async start(port = 0): Promise<RpcEndpoint> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    const { port: taken } = this.#server.address() as AddressInfo;
    return parseRpcUrl(`http://pool:s3cret@127.0.0.1:${taken}`);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  countOf(method: string): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const { method, params } = JSON.parse(body) as { method: string; params: unknown[] };
    const login = Buffer.from(
      (request.headers.authorization ?? '').replace('Basic ', ''),
      'base64',
    ).toString();
    const call = { method, params, path: request.url ?? '', login };
    const nth = this.countOf(method);
    this.calls.push(call);
    this.#parallel++;
    this.parallelMax = Math.max(this.parallelMax, this.#parallel);
    const reply = await this.#answer(call, nth);
    this.#parallel--;
    if (reply === 'hang') return;
    if (reply === 'cut') {
      request.socket.destroy();
      return;
    }
    if ('raw' in reply) {
      response.writeHead(reply.status ?? 200, { 'content-type': reply.contentType ?? 'text/html' });
      response.end(reply.raw);
      return;
    }
    const isError = 'error' in reply;
    response.writeHead(isError ? 500 : 200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ result: null, error: null, id: 1, ...reply }).replace(/"raw:([^"]*)"/g, '$1'),
    );
  }
}

/** A number written into the answer digit by digit, as no JSON.stringify would. */
export function digits(text: string): string {
  return `raw:${text}`;
}

/** Waits until `condition` holds; throws after five seconds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 500; turn++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('it did not happen within 5 s');
}
