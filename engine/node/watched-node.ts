// One node as the template source sees it: a client for calls, one for the long poll, and the subscription to
// its hints. Whether it may be followed is asked again after each failure.
import type { NetworkName } from '../bitcoin/networks.js';
import { checkChainIdentity } from './chain-identity.js';
import { NodeRpc } from './rpc.js';
import type { RpcEndpoint } from './rpc-endpoint.js';
import { hintAddress, ZmqHint } from './zmq-hint.js';

export interface WatchedNodeOptions {
  endpoint: RpcEndpoint;
  network: NetworkName;
  /** The node says that its best block is now this one (display order, hex); unverified. */
  onHint: (hash: string) => void;
  /** The hints begin to come, or stop: told once for each change. */
  onHintState: (isConnected: boolean, reason: string) => void;
}

const CALL_TIMEOUT_MS = 15_000;
const LONG_POLL_TIMEOUT_MS = 24 * 3_600_000;

export class WatchedNode {
  readonly rpc: NodeRpc;
  readonly #options: WatchedNodeOptions;
  #longPoll: NodeRpc;
  #hint: ZmqHint | undefined;
  #isHinting = false;
  #isAdmitted = false;
  #closed = false;

  constructor(options: WatchedNodeOptions) {
    this.#options = options;
    this.rpc = new NodeRpc({ endpoint: options.endpoint, timeoutMs: CALL_TIMEOUT_MS, retryForMs: 0 });
    this.#longPoll = this.#newLongPoll();
  }

  /** host:port. */
  get name(): string {
    return this.rpc.name;
  }

  /** Its chain was checked since its last failure. */
  get isAdmitted(): boolean {
    return this.#isAdmitted;
  }

  get longPoll(): NodeRpc {
    return this.#longPoll;
  }

  /** Checks its chain and subscribes to its hints. Throws WrongChainError or NodeRpcError. */
  async admit(): Promise<void> {
    if (this.#isAdmitted) return;
    await checkChainIdentity(this.rpc, this.#options.network);
    this.#isAdmitted = true;
    await this.#subscribe();
  }

  /** After a failure: it is checked anew, and where it publishes may have changed. */
  expel(): void {
    this.#isAdmitted = false;
    this.#hint?.close();
    this.#hint = undefined;
    this.#isHinting = false;
  }

  /** Ends the long poll in flight; the next one gets a connection of its own. */
  renewLongPoll(): void {
    this.#longPoll.close();
    if (!this.#closed) this.#longPoll = this.#newLongPoll();
  }

  close(): void {
    this.#closed = true;
    this.expel();
    this.rpc.close();
    this.#longPoll.close();
  }

  async #subscribe(): Promise<void> {
    const { endpoint, onHint, onHintState } = this.#options;
    let addresses: string[];
    try {
      addresses = await this.rpc.getHashblockAddresses();
    } catch {
      // Built without ZMQ, or the login may not ask: the long poll does without.
      return;
    }
    const rpcHost = new URL(endpoint.url).hostname.replace(/^\[(.*)\]$/, '$1');
    const address = addresses.map((each) => hintAddress(each, rpcHost)).find((each) => each !== undefined);
    if (address === undefined || this.#closed || this.#hint !== undefined) return;
    this.#hint = new ZmqHint({
      ...address,
      onHint,
      onConnected: () => {
        this.#isHinting = true;
        onHintState(true, `hashblock from ${address.host}:${address.port}`);
      },
      onLost: (reason) => {
        if (this.#isHinting) onHintState(false, reason);
        this.#isHinting = false;
      },
    });
  }

  #newLongPoll(): NodeRpc {
    const { endpoint } = this.#options;
    return new NodeRpc({ endpoint, timeoutMs: LONG_POLL_TIMEOUT_MS, retryForMs: 0 });
  }
}
