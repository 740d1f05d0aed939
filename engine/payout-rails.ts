// Where payouts come from, as the settings say: the node's own wallet, or a multisig whose signers are asked or
// whose key holders sign by hand; and the terms that payouts are made on.
import type { Config } from './config/config.js';
import type { NodeRpc } from './node/rpc.js';
import { RpcConnection } from './node/rpc-connection.js';
import type { RpcEndpoint } from './node/rpc-endpoint.js';
import { MultisigRail } from './payouts/multisig-rail.js';
import { NodeWallet } from './payouts/node-wallet.js';
import { PAYOUT_TERMS, type PayoutTerms } from './payouts/payout-terms.js';
import { SignerClient } from './signer/signer-client.js';
import { SignerRail } from './signer/signer-rail.js';
import { POOL_WALLET, type Wallets } from './wallets.js';

export interface OpenedRail {
  rail: NodeWallet | MultisigRail | SignerRail;
  /** What the operator should know, such as coinbases that this rail cannot spend. */
  warnings: string[];
  close(): void;
}

export interface RailOptions {
  config: Config;
  rpc: NodeRpc;
  /** Of the node that holds the wallets. */
  endpoint: RpcEndpoint;
  wallets: Wallets;
  /** What coinbases pay. */
  poolAddress: string;
}

const MULTISIG_WALLET = 'millrace-multisig';

/** The rail; or why there is none. Throws Error with cause and cure when what was configured cannot be used. */
export async function openRail(options: RailOptions): Promise<OpenedRail | string> {
  const { config, rpc, wallets, poolAddress } = options;
  if (config.multisigDescriptor !== null) return await openMultisig(options, config.multisigDescriptor);
  const wallet = await wallets.ofPool();
  if (wallet === null || !(await wallet.getAddressInfo(poolAddress)).isMine) {
    return `the node has no wallet "${POOL_WALLET}" that owns POOL_ADDRESS`;
  }
  return { rail: new NodeWallet(rpc, wallet), warnings: [], close: () => {} };
}

async function openMultisig(
  { config, rpc, endpoint, poolAddress }: RailOptions,
  descriptor: string,
): Promise<OpenedRail> {
  const { network, multisigSinceS, signerSockets } = config;
  const connection = new RpcConnection({ endpoint });
  try {
    const watched = await MultisigRail.open(connection, {
      descriptor,
      network,
      walletName: MULTISIG_WALLET,
      since: multisigSinceS ?? 'now',
    });
    const signers = signerSockets.map((socketPath) => new SignerClient({ socketPath }, network));
    const { isMine } = await rpc.wallet(MULTISIG_WALLET).getAddressInfo(poolAddress);
    const stranger =
      `blocks pay ${poolAddress}, which is not of MULTISIG_DESCRIPTOR: payouts cannot spend what the pool mines. ` +
      'Set POOL_ADDRESS to an address of the descriptor, or move the coins there';
    return {
      rail: signers.length === 0 ? watched : new SignerRail(watched, signers),
      warnings: isMine ? [] : [stranger],
      close: () => connection.close(),
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

export function payoutTerms(config: Config): PayoutTerms {
  const { fees } = config;
  return {
    ...PAYOUT_TERMS,
    thresholdSats: config.autoPayoutThresholdSats,
    minimumSats: config.minPayoutSats,
    dailyCapSats: config.payoutDailyMaxSats,
    approvalAboveSats: config.payoutApprovalAboveSats,
    fees: {
      floorSatPerVb: fees.rateMin,
      capSatPerVb: fees.rateMax,
      waitAboveSatPerVb: fees.waitAbove,
      waitMsMax: fees.waitMsMax,
      targetBlocks: fees.targetBlocks,
      bumpAfterBlocks: fees.bumpAfterBlocks,
      paidBy: fees.paidBy,
    },
  };
}
