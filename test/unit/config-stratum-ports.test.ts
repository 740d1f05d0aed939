import { describe, expect, it } from 'vitest';
import { SCHEMES } from '../../engine/accounting/schemes.js';
import { parseStratumPort } from '../../engine/config/stratum-ports.js';

describe('the scheme of a port', () => {
  it.each(SCHEMES)('can be %s', (scheme) => {
    expect(parseStratumPort(`4444/tls?scheme=${scheme}&start=1000`)).toMatchObject({
      ...{ name: 'tls-4444', port: 4444, kind: 'tls', startDifficulty: 1000, scheme },
    });
  });

  it("is the pool's when the port does not say", () => {
    expect(parseStratumPort('4444')).not.toHaveProperty('scheme');
  });

  it.each(['scheme=', 'scheme=PPLNS', 'scheme=prop', 'scheme=solo&scheme=solo'])('is not %s', (option) => {
    expect(parseStratumPort(`4444?${option}`)).toBeNull();
  });
});
