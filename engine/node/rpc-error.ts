// The one error that leaves the node's RPC: who answered what to which method, told so that an operator can
// act on it. Never holds a password, a cookie or a request body. Codes below zero are Bitcoin Core's own
// (src/rpc/protocol.h), codes from 400 are HTTP's, words are the system's or ours.

export type NodeRpcErrorCode = number | string;

/** A call to a Bitcoin node failed. */
export class NodeRpcError extends Error {
  override readonly name = 'NodeRpcError';
  readonly code: NodeRpcErrorCode;
  readonly method: string;
  /** host:port of the node. */
  readonly node: string;
  /** True when the node itself gave this answer; false when it may not even have seen the call. */
  readonly answered: boolean;

  constructor(code: NodeRpcErrorCode, method: string, node: string, detail: string) {
    super(describe(code, method, node, detail));
    this.code = code;
    this.method = method;
    this.node = node;
    this.answered = typeof code === 'number' && code < 0 && code !== RPC_WARMING_UP;
  }
}

/** The node is still loading its chain. */
export const RPC_WARMING_UP = -28;
/** Block, transaction or address unknown to the node. */
export const RPC_NOT_FOUND = -5;
/** The hex could not be decoded. */
export const RPC_DESERIALIZATION = -22;
/** No such wallet is loaded. */
export const RPC_WALLET_NOT_FOUND = -18;
/** The wallet is loaded already. */
export const RPC_WALLET_ALREADY_LOADED = -35;
/** An answer that is not what the method promises: most likely not a Bitcoin node. */
export const BAD_ANSWER = 'BAD_ANSWER';
/** More calls wait than we allow. */
export const OVERLOADED = 'OVERLOADED';
/** The client was closed by us. */
export const CLOSED = 'CLOSED';
/** The cookie file is not there (yet). */
export const NO_COOKIE = 'NO_COOKIE';

function describe(code: NodeRpcErrorCode, method: string, node: string, detail: string): string {
  const at = `Bitcoin node ${node}, ${method}`;
  switch (code) {
    case 'ECONNREFUSED':
      return `${at}: connection refused. It is not running, or its RPC listens elsewhere: start it or correct BITCOIN_RPC_URL`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${at}: the host name cannot be resolved. Correct BITCOIN_RPC_URL or the DNS`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `${at}: no route to the host. Check the network or correct BITCOIN_RPC_URL`;
    case 'ETIMEDOUT':
    case 'ESOCKETTIMEDOUT':
      return `${at}: no answer in time. It is overloaded, frozen or behind a firewall: look at its debug.log`;
    case 'ECONNRESET':
    case 'EPIPE':
      return `${at}: the connection broke before the answer. It was probably stopped or restarted: check that it runs`;
    case NO_COOKIE:
      return `${at}: ${detail}. The node is not running, or keeps its data elsewhere: start it or correct the cookie path`;
    case 401:
      return `${at}: login refused. Correct user and password in BITCOIN_RPC_URL, or the cookie path; a node that was just restarted has a new cookie`;
    case 403:
      return `${at}: our address is not allowed. Add it to rpcallowip of the node`;
    case 503:
      return `${at}: its work queue is full. Raise rpcworkqueue and rpcthreads of the node`;
    case RPC_WARMING_UP:
      return `${at}: still starting (${detail}). Wait until it has loaded its chain`;
    case -32601:
      return `${at}: it does not know this call. It is too old or runs without a wallet: use Bitcoin Core 24 or newer`;
    case BAD_ANSWER:
      return `${at}: unexpected answer (${detail}). What listens there is probably not a Bitcoin node: correct BITCOIN_RPC_URL`;
    case OVERLOADED:
      return `${at}: ${detail}. The node answers too slowly: look at its debug.log`;
    case CLOSED:
      return `${at}: given up because the client was closed`;
    default:
      return `${at}: ${detail} (code ${code})`;
  }
}
