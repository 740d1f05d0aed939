/** Account of the client where none is given: an address for regtest, of the program that BIP173 takes for examples. */
export const SWARM_USER = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
