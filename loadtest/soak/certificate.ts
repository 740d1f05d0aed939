// A self-signed certificate for 127.0.0.1, made when a soak run starts: its TLS ports need one, and its miners really
// check it. X.509 version 3 (RFC 5280, section 4.1) with an ECDSA P-256 key, written in DER by hand, as Node can read
// certificates but not make them.
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

const VALID_MS = 24 * 3600_000;
const TAG = {
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  time: 0x18,
  sequence: 0x30,
  set: 0x31,
};
/** Context tags: [0] version, [3] extensions; [7] of a general name is an IP address. */
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const IP_ADDRESS = 0x87;
const X509_V3 = 2;
/** Encoded object identifiers. */
const COMMON_NAME = [0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];
const ECDSA_WITH_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/** Certificate and private key as PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** A certificate for the IPv4 address 127.0.0.1, valid for a day before and after now. */
export function loopbackCertificate(): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(der(TAG.oid, ECDSA_WITH_SHA256));
  const name = sequence(
    der(TAG.set, sequence(der(TAG.oid, COMMON_NAME), der(TAG.utf8, Buffer.from('millrace soak run')))),
  );
  const serial = randomBytes(8);
  serial[0] = 1;
  const altNames = sequence(der(IP_ADDRESS, [127, 0, 0, 1]));
  const body = sequence(
    der(VERSION, der(TAG.integer, [X509_V3])),
    der(TAG.integer, serial),
    algorithm,
    name,
    sequence(time(Date.now() - VALID_MS), time(Date.now() + VALID_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(EXTENSIONS, sequence(sequence(der(TAG.oid, SUBJECT_ALT_NAME), der(TAG.octets, altNames)))),
  );
  const signature = sign('sha256', body, privateKey);
  const whole = sequence(body, algorithm, der(TAG.bits, Buffer.concat([Buffer.from([0]), signature])));
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines(whole)}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

function sequence(...parts: Buffer[]): Buffer {
  return der(TAG.sequence, Buffer.concat(parts));
}

function time(atMs: number): Buffer {
  return der(TAG.time, Buffer.from(`${new Date(atMs).toISOString().replace(/[-:T]|\..*/g, '')}Z`));
}

/** Tag, length, content. */
function der(tag: number, content: Iterable<number>): Buffer {
  const bytes = Buffer.from([...content]);
  const { length } = bytes;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), bytes]);
}

function lines(bytes: Buffer): string {
  return bytes.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
}
