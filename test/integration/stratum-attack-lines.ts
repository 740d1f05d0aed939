// What hostile peers send: lines that parsers have died of, and a seeded mutator that makes thousands of others from
// valid ones. Seriot, Parsing JSON is a Minefield; public-pool#2 and #126 and sv2-apps#876: pools that died of a line.

const LINE_MAX_BYTES = 16 * 1024;

const nested = (open: string, middle: string, close: string): string => {
  const depth = Math.floor((LINE_MAX_BYTES - 100) / (open.length + close.length));
  return open.repeat(depth) + middle + close.repeat(depth);
};
const request = (method: string, params: string, id = '1'): string =>
  `{"id":${id},"method":"${method}","params":${params}}`;

/** Each must be answered or end its connection. */
export const HOSTILE_LINES: readonly (readonly [what: string, line: string | Buffer])[] = [
  ['lists nested as deep as a line can hold', request('mining.subscribe', nested('[', '', ']'))],
  ['objects nested as deep as a line can hold', request('mining.submit', `[${nested('{"a":', '1', '}')}]`)],
  ['a nested id', `{"id":${nested('[', '', ']')},"method":"mining.ping"}`],
  ['nesting that is never closed', '['.repeat(LINE_MAX_BYTES - 1)],
  ['the same member twice', '{"id":1,"id":2,"method":"mining.ping","method":"mining.subscribe","params":[]}'],
  ['a submit with two lists of parameters', '{"id":1,"method":"mining.submit","params":["a"],"params":[[]]}'],
  ['a lone surrogate as the agent', request('mining.subscribe', '["\\ud800"]')],
  ['a lone surrogate as the user', request('mining.authorize', '["\\udfff.rig","x"]')],
  ['a lone surrogate as the method', request('\\udc00', '[]')],
  ['a lone surrogate as the id', request('mining.ping', '[]', '"\\ud83d"')],
  ['an escaped NUL as the user', request('mining.authorize', '["a\\u0000b"]')],
  ['a raw NUL', Buffer.from('{"id":1,"method":"mining.ping\0"}')],
  ['nothing but NUL', Buffer.alloc(1000)],
  [
    'bytes that are no UTF-8',
    Buffer.from(request('mining.subscribe', '["\xff\xc0\xaf\xed\xa0\x80"]'), 'latin1'),
  ],
  ['an id of 15,000 digits', request('mining.ping', '[]', '9'.repeat(15_000))],
  ['an id of 15,000 letters', request('mining.ping', '[]', `"${'i'.repeat(15_000)}"`)],
  ['an id beyond double', request('mining.ping', '[]', '1e999')],
  ['an object as id', request('mining.ping', '[]', '{"toString":1,"toJSON":1}')],
  ['true as id', request('mining.ping', '[]', 'true')],
  ['NaN as id', request('mining.ping', '[]', 'NaN')],
  ['__proto__ beside the members', '{"__proto__":{"method":"mining.ping"},"id":1,"method":"mining.ping"}'],
  ['__proto__ instead of the members', '{"__proto__":{"id":1,"method":"mining.ping","params":[]}}'],
  ['__proto__ in the parameters', request('mining.submit', '[{"__proto__":{"length":5}}]')],
  ['__proto__ as the method', request('__proto__', '[]')],
  ['toString as the method', request('toString', '[]')],
  ['__proto__ as an extension', request('mining.configure', '[["__proto__","constructor"],{"__proto__":1}]')],
  ['a mask of an object', request('mining.configure', '[["version-rolling"],{"version-rolling.mask":{}}]')],
  ['10,000 extensions', request('mining.configure', `[[${'0,'.repeat(7000)}0],{}]`)],
  ['an extension with a line end', request('mining.configure', '[["a\\nb"],{}]')],
  ['a submit of numbers', request('mining.submit', '[1,2,3,4,5,6]')],
  ['a submit of nulls', request('mining.submit', '[null,null,null,null,null,null]')],
  ['a submit of lists', request('mining.submit', '[["a"],["b"],["c"],["d"],["e"]]')],
  ['a submit of 7,000 parameters', request('mining.submit', `[${'0,'.repeat(7000)}0]`)],
  ['a submit of nothing', request('mining.submit', '[]')],
  ['a submit with long text', request('mining.submit', `["u","j","${'0'.repeat(15_000)}","0","0"]`)],
  ['parameters that are an object', request('mining.authorize', '{"0":"a","length":1}')],
  ['parameters that are text', request('mining.authorize', '"abc"')],
  ['a difficulty of -0', request('mining.suggest_difficulty', '[-0]')],
  ['a difficulty near 0', request('mining.suggest_difficulty', '[5e-324]')],
  ['a difficulty near the end of double', request('mining.suggest_difficulty', '[1.7976931348623157e308]')],
  ['a difficulty beyond double', request('mining.suggest_difficulty', '[1e999]')],
  ['a target of 0', request('mining.suggest_target', `["${'0'.repeat(64)}"]`)],
  ['a target of all ones', request('mining.suggest_target', `["${'f'.repeat(64)}"]`)],
  ['a password of 15,000 options', request('mining.authorize', `["u","${'d=1,'.repeat(3700)}"]`)],
  ['a session id of another type', request('mining.subscribe', '["a",{"length":16}]')],
  ['an HTTP request', 'GET / HTTP/1.1'],
  ['a TLS hello', Buffer.from('16030100a5010000a10303', 'hex')],
  ['a list of requests', '[{"id":1,"method":"mining.ping","params":[]}]'],
  ['a number', '1e999'],
  ['null', 'null'],
  ['an empty object', '{}'],
];

/** Ids that are no small whole numbers, as JSON text; they come back as they were sent. */
export const UNUSUAL_IDS = ['1.5', '-7', '0', '1e21', '9007199254740993', '"text"', '""', 'null'];

const ADDRESS = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';

/** Names that the pool must not take on its private chain. */
export const HOSTILE_USERS: readonly (readonly [what: string, user: string])[] = [
  ['HTML as the worker', `${ADDRESS}.<script>alert(1)</script>`],
  ['HTML as the account', '<img src=x onerror=alert(1)>'],
  ['percent-encoded HTML', `${ADDRESS}.%3Cscript%3E`],
  ['a percent-encoded NUL', `${ADDRESS}.a%00b`],
  ['a percent-encoded line end', `${ADDRESS}.a%0d%0ab`],
  ['a NUL', `${ADDRESS}.a\0b`],
  ['a line end', `${ADDRESS}.a\nb`],
  ['a quote', `${ADDRESS}.a'; DROP TABLE submits; --`],
  ['a path', '../../etc/passwd'],
  ['a slash', `${ADDRESS}.a/b`],
  ['a lone surrogate', `${ADDRESS}.\ud800`],
  ['a look-alike', `${ADDRESS}.r\u0456g`],
  ['a text that runs backwards', `${ADDRESS}.\u202egpj`],
  ['a terminal escape', `${ADDRESS}.\x1b[2J`],
  ['a formula', '=HYPERLINK("http://x")'],
  ['a worker name of 65 characters', `${ADDRESS}.${'w'.repeat(65)}`],
  ['an account name of 65 characters', 'a'.repeat(65)],
  ['a user name of 15,000 characters', 'a'.repeat(15_000)],
  ['blanks', '   '],
  ['nothing before the dot', '.rig'],
  ['an address of mainnet', 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4'],
  ['an old address of mainnet', '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa'],
  ['an address of testnet', 'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx'],
  ['an address with a wrong checksum', `${ADDRESS.slice(0, -1)}1`],
];

/** Where the user name and the job of the sender belong. */
const USER = '@user@';
const JOB = '@job@';
const CORPUS: readonly string[] = [
  '{"id":1,"method":"mining.configure","params":[["version-rolling","minimum-difficulty"],' +
    '{"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":2,"minimum-difficulty.value":1}]}',
  '{"id":2,"method":"mining.subscribe","params":["cgminer/4.12.1","0011223344556677"]}',
  `{"id":3,"method":"mining.authorize","params":["${USER}","d=0.001,md=0.0001"]}`,
  `{"id":4,"method":"mining.submit","params":["${USER}","${JOB}","0000000000000000","68d1a2b3","00000001"]}`,
  `{"id":5,"method":"mining.submit","params":["${USER}","${JOB}","0000000000000001","68d1a2b3","2","00002000"]}`,
  '{"id":6,"method":"mining.suggest_difficulty","params":[0.5]}',
  `{"id":7,"method":"mining.suggest_target","params":["${'00ff'.repeat(16)}"]}`,
  '{"id":8,"method":"mining.extranonce.subscribe","params":[]}',
  `{"id":9,"method":"mining.get_transactions","params":["${JOB}"]}`,
  '{"id":"ten","method":"mining.ping","params":[]}',
  '{"id":11,"result":true,"error":null}',
  '{"id":null,"method":"client.get_version","params":[]}',
];
/** What parsers stumble over, put in anywhere. */
const TOKENS = [
  '"',
  '\\',
  '\\u0000',
  '\\ud800',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '\n',
  '\r',
  '\0',
  '\t',
  ' ',
  '-',
  '.',
];
const VALUES = [
  'null',
  'true',
  '1e999',
  '-0',
  '1.5',
  '""',
  '[]',
  '{}',
  '"__proto__"',
  '9'.repeat(40),
  '"\\u2028"',
];

/** Numbers from 0 to below 1, the same for the same seed: mulberry32 of Tommy Ettinger, public domain. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A valid line with up to four faults, ended by a newline. Latin-1: each character is a byte. */
export function mutatedLine(random: () => number, user: string, job: string): string {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  let line = pick(CORPUS).replaceAll(USER, user).replaceAll(JOB, job);
  for (let faults = Math.floor(random() * 5); faults > 0; faults--) {
    const at = Math.floor(random() * line.length);
    const head = line.slice(0, at);
    const tail = line.slice(at);
    switch (Math.floor(random() * 7)) {
      case 0:
        line = head + String.fromCharCode(Math.floor(random() * 256)) + tail.slice(1);
        break;
      case 1:
        line = head + tail.slice(1 + Math.floor(random() * 8));
        break;
      case 2:
        line = head + pick(TOKENS) + tail;
        break;
      case 3:
        line = head + tail.slice(0, 20).repeat(1 + Math.floor(random() * 8)) + tail;
        break;
      case 4:
        line = head + pick(TOKENS).repeat(Math.floor(random() * 2000)) + tail;
        break;
      case 5:
        line = line.replace(/"[^"]*"|\d+/g, (value) => (random() < 0.3 ? pick(VALUES) : value));
        break;
      default:
        line = head + pick(CORPUS) + tail;
    }
  }
  return `${line}\n`;
}
