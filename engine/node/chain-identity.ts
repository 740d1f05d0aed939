// Refuses a node that follows another chain than the configured one: work and payouts on it would be lost.
// Asked at start and each time the template source (re)connects to a node.
import { NETWORKS, type NetworkName } from '../bitcoin/networks.js';
import type { NodeRpc } from './rpc.js';

/** The node is on another chain. Waiting does not cure it. */
export class WrongChainError extends Error {
  override readonly name = 'WrongChainError';
}

/** Challenge of the public signet (Bitcoin Core, kernel/chainparams.cpp, SigNetParams). */
const PUBLIC_SIGNET_CHALLENGE =
  '512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be43021' +
  '0359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae';

/** Consensus changes that leave Bitcoin: a mainnet node that schedules one follows a chain of its own. */
const FOREIGN_DEPLOYMENTS: ReadonlySet<string> = new Set(['blake2b']);

/**
 * Compares chain name, genesis block and, on a signet, the challenge. Throws WrongChainError naming both
 * sides and the cure; NodeRpcError when the node does not answer.
 */
export async function checkChainIdentity(rpc: NodeRpc, network: NetworkName): Promise<void> {
  const expected = NETWORKS[network];
  const info = await rpc.getBlockchainInfo();
  if (info.chain !== expected.chain) {
    throw wrong(rpc, network, `it is on chain "${info.chain}", expected "${expected.chain}"`);
  }
  const genesisHash = await rpc.getBlockHash(0);
  if (genesisHash !== expected.genesisHash) {
    throw wrong(rpc, network, `its first block is ${genesisHash}, expected ${expected.genesisHash}`);
  }
  if (expected.chain === 'signet') {
    const challenge = info.signetChallenge ?? (await challengeFromTemplate(rpc, expected.templateRules));
    const expectedChallenge = expected.signetChallenge ?? PUBLIC_SIGNET_CHALLENGE;
    if (challenge !== expectedChallenge) {
      throw wrong(rpc, network, `its signet challenge is ${challenge}, expected ${expectedChallenge}`);
    }
  }
  if (network === 'mainnet') {
    const foreign = (await rpc.getDeploymentNames()).filter((name) => FOREIGN_DEPLOYMENTS.has(name));
    if (foreign.length > 0) {
      throw wrong(rpc, network, `it schedules ${foreign.join(', ')}, which is not part of Bitcoin`);
    }
  }
}

// Before Core 28 only the template tells it.
async function challengeFromTemplate(rpc: NodeRpc, rules: readonly string[]): Promise<string> {
  const template = (await rpc.getBlockTemplate(rules)) as { signet_challenge?: unknown };
  return String(template.signet_challenge ?? 'unknown');
}

function wrong(rpc: NodeRpc, network: NetworkName, difference: string): WrongChainError {
  return new WrongChainError(
    `Bitcoin node ${rpc.name} is not a node of ${network}: ${difference}. Correct NETWORK, or point BITCOIN_RPC_URL at another node`,
  );
}
