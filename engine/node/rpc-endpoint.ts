// Where a node's RPC is and how to log in, read from the URL that operators write into BITCOIN_RPC_URL.

export interface RpcEndpoint {
  /** Scheme, host, port and path, without credentials. */
  url: string;
  /** host:port, for messages. */
  name: string;
  login: { user: string; password: string } | { cookieFile: string } | undefined;
}

/** The port of Bitcoin Core's RPC on mainnet, used when the URL names none. */
const DEFAULT_PORT = '8332';

/**
 * Reads `http://user:password@host:port`, or `http://host:port?cookie=/path/to/.cookie`; `cookieFile`
 * stands in when the URL holds no login. Throws a message without the credentials.
 */
export function parseRpcUrl(text: string, cookieFile?: string): RpcEndpoint {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error(
      'BITCOIN_RPC_URL is not a URL. Write http://user:password@host:port (special characters %-encoded) or http://host:port?cookie=/path/to/.cookie',
    );
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new Error(`BITCOIN_RPC_URL must start with http:// or https://, not ${url.protocol}//`);
  }
  if (url.hostname === '') throw new Error('BITCOIN_RPC_URL names no host');
  const cookie = url.searchParams.get('cookie') ?? cookieFile;
  const port = url.port !== '' ? url.port : url.protocol === 'https:' ? '443' : DEFAULT_PORT;
  const hasLogin = url.username !== '' || url.password !== '';
  if (hasLogin && url.searchParams.has('cookie')) {
    throw new Error('BITCOIN_RPC_URL holds both a password and a cookie path: keep one');
  }
  return {
    url: `${url.protocol}//${url.hostname}:${port}${url.pathname.replace(/\/$/, '')}`,
    name: `${url.hostname}:${port}`,
    login: hasLogin
      ? { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }
      : cookie
        ? { cookieFile: cookie }
        : undefined,
  };
}

/** Several nodes, separated by commas; see `parseRpcUrl`. */
export function parseRpcUrls(text: string, cookieFile?: string): RpcEndpoint[] {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length === 0) throw new Error('BITCOIN_RPC_URL is empty');
  return parts.map((part) => parseRpcUrl(part, cookieFile));
}
