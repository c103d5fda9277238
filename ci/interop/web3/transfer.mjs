// A wallet's day: ask the faucet, send a transfer and wait for it over the WebSocket, look at balances and at what happened.
// Usage: node transfer.mjs RPC_URL
import assert from 'node:assert/strict';
import {
  Connection, Keypair, LAMPORTS_PER_SOL, PublicKey, SystemProgram, Transaction, TransactionMessage, VersionedTransaction,
  sendAndConfirmTransaction,
} from '@solana/web3.js';

const [url] = process.argv.slice(2);
assert(url, 'usage: node transfer.mjs RPC_URL');
// The WebSocket is looked for on the port after that of the URL.
const connection = new Connection(url, 'confirmed');
const [payer, recipient] = [Keypair.generate(), Keypair.generate().publicKey];

// sendAndConfirmTransaction is satisfied by polling as well; this shows that the notification itself comes.
async function notified(signature) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`no notification of ${signature} in 60 s`)), 60_000); });
  const told = new Promise((resolve, reject) => {
    connection.onSignature(signature, ({ err }) => (err ? reject(new Error(JSON.stringify(err))) : resolve()), 'confirmed');
  });
  await Promise.race([told, late]).finally(() => clearTimeout(timer));
}

const steps = {
  async 'the node is there'() {
    assert.equal((await connection.getVersion())['solana-core'].split('.').length, 3);
    assert((await connection.getEpochInfo('confirmed')).slotsInEpoch >= 32);
  },
  async 'airdrop'() {
    const latest = await connection.getLatestBlockhash();
    const signature = await connection.requestAirdrop(payer.publicKey, 2 * LAMPORTS_PER_SOL);
    const { value } = await connection.confirmTransaction({ signature, ...latest }, 'confirmed');
    assert.equal(value.err, null);
    assert.equal(await connection.getBalance(payer.publicKey), 2 * LAMPORTS_PER_SOL);
  },
  async 'transfer'() {
    const transfer = SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: recipient, lamports: LAMPORTS_PER_SOL });
    const signature = await sendAndConfirmTransaction(connection, new Transaction().add(transfer), [payer]);
    assert.equal(await connection.getBalance(recipient), LAMPORTS_PER_SOL);
    assert.equal(await connection.getBalance(payer.publicKey), LAMPORTS_PER_SOL - 5000);
    const parsed = await connection.getParsedTransaction(signature, { commitment: 'confirmed', maxSupportedTransactionVersion: 0 });
    assert.equal(parsed.transaction.message.instructions[0].parsed.info.lamports, LAMPORTS_PER_SOL);
    const [{ signature: known }] = await connection.getSignaturesForAddress(recipient, {}, 'confirmed');
    assert.equal(known, signature);
  },
  async 'a version 0 transaction, an account watched meanwhile'() {
    const watched = new Promise((resolve) => connection.onAccountChange(recipient, resolve, { commitment: 'confirmed' }));
    const { blockhash } = await connection.getLatestBlockhash();
    const message = new TransactionMessage({
      payerKey: payer.publicKey,
      recentBlockhash: blockhash,
      instructions: [SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: recipient, lamports: 1 })],
    }).compileToV0Message();
    const transaction = new VersionedTransaction(message);
    transaction.sign([payer]);
    const simulated = await connection.simulateTransaction(transaction);
    assert.equal(simulated.value.err, null);
    await notified(await connection.sendTransaction(transaction));
    assert.equal((await watched).lamports, LAMPORTS_PER_SOL + 1);
  },
  async 'what cannot be paid is refused'() {
    const transfer = SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: recipient, lamports: 5 * LAMPORTS_PER_SOL });
    await assert.rejects(sendAndConfirmTransaction(connection, new Transaction().add(transfer), [payer]), /insufficient lamports|custom program error: 0x1/);
    const clock = await connection.getParsedAccountInfo(new PublicKey('SysvarC1ock11111111111111111111111111111111'));
    assert.equal(clock.value.data.parsed.type, 'clock');
  },
};

let passed = 0;
let failed = 0;
for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
    passed += 1;
  } catch (error) {
    failed += 1;
    console.error(`FAILED: ${name}:`, error);
  }
}
console.log(`web3.js: ${passed} passed, ${failed} failed`);
// The WebSocket would keep the process alive.
process.exit(failed === 0 ? 0 : 1);
