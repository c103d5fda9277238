#!/usr/bin/env bash
# Asks a running node what people ask with the `solana` command, and looks at each answer.
# Usage: ci/interop/cli.sh PEER_DIR RPC_URL IDENTITY VOTE_ACCOUNT    (PEER_DIR as made by shared/peer/setup.sh)
set -euo pipefail
[[ $# == 4 ]] || { echo "usage: $0 PEER_DIR RPC_URL IDENTITY VOTE_ACCOUNT" >&2; exit 2; }
export LC_ALL=C
peer=$1 url=$2 identity=$3 vote=$4
work=$(mktemp -d "${TMPDIR:-/tmp}/tandem-cli.XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 answer=

keygen() { "$peer/bin/solana-keygen" new --no-bip39-passphrase --silent --outfile "$1" >/dev/null; }
keygen "$work/payer.json"
keygen "$work/other.json"
payer=$("$peer/bin/solana-keygen" pubkey "$work/payer.json")
recipient=$("$peer/bin/solana-keygen" pubkey "$work/other.json")
commitment=confirmed

# Every time with the address and the key: what is left out is filled with the address of a public cluster.
solana() {
  timeout 90 "$peer/bin/solana" --config "$work/none.yml" --url "$url" --keypair "$work/payer.json" --commitment "$commitment" "$@"
}

# check PATTERN COMMAND…: the command succeeds, and its answer (left in $answer) has a line that matches.
check() {
  local pattern=$1; shift
  if answer=$(solana "$@" 2>&1) && grep -Eq -- "$pattern" <<< "$answer"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED: solana %s\n  expected a line with: %s\n  got:\n%s\n' "$*" "$pattern" "$(sed 's/^/    /' <<< "$answer")" >&2
  fi
}

check '^4\.2\.2'                               cluster-version
check '^[1-9A-HJ-NP-Za-km-z]{32,44}$'          genesis-hash
check '^10 SOL$'                               airdrop 10
check '^10 SOL$'                               balance
check '^Signature: '                           transfer --allow-unfunded-recipient "$vote" 0.25
signature=$(sed -n 's/^Signature: //p' <<< "$answer")
check '^Signature: '                           transfer --allow-unfunded-recipient "$recipient" 1.5
transfer=$(sed -n 's/^Signature: //p' <<< "$answer")
check '^1\.5 SOL$'                             balance "$recipient"
check '^8\.24999 SOL$'                         balance
check '^(Confirmed|Finalized|Processed)$'      confirm "$signature"
check "Account 0: srw- $payer \(fee payer\)"   confirm -v "$transfer"
check 'Program 11111111111111111111111111111111 success' confirm -v "$transfer"
check '^Balance: 1\.5 SOL$'                    account "$recipient"
check "^Owner: Vote111111111111111111111111111111111111111" account "$vote"
check "^.*$identity +$vote "                   validators
check "^127\.0\.0\.1 +\| $identity "           gossip
check '^Epoch: [0-9]+$'                        epoch-info
check '^Epoch Completed Percent: '             epoch-info
check '^[0-9]+$'                               slot
check '^[0-9]+$'                               block-height
check '^[0-9]+$'                               epoch
check '^[1-9][0-9]*$'                          transaction-count
check "^ +[0-9]+ +$identity *$"                leader-schedule
check "^Validator Identity: $identity$"        vote-account "$vote"
check '^Root Slot: '                           vote-account "$vote"
check "^Delegated Vote Account Address: $vote" stakes "$vote"
check "$transfer"                              transaction-history "$recipient"
check '^Total: +[0-9.]+ SOL'                   supply
check '^Rent-exempt minimum: 0\.00089088 SOL'  rent 0
check "^ *$identity +"                         block-production
check '^Inflation'                             inflation

# The block of the transfer, once it is final.
slot=$(sed -n 's/^.*[Ss]lot: *\([0-9]*\).*$/\1/p;s/^Transaction executed in slot \([0-9]*\):$/\1/p' <<< "$(solana confirm -v "$transfer" 2>&1)" | head -1)
commitment=finalized
for _ in $(seq 60); do solana block "$slot" >/dev/null 2>&1 && break; sleep 1; done
check "$transfer"                              block "$slot"
check '^Date: '                                block-time "$slot"
commitment=confirmed

# A program: its writes go through sendTransaction, as `--use-rpc` asks.
check '^Program Id: '                          program deploy --use-rpc "$peer/programs/spl_memo-3.0.0.so"
program=$(sed -n 's/^Program Id: //p' <<< "$answer")
check '^Data Length: '                         program show "$program"

printf 'solana CLI: %s passed, %s failed\n' "$passed" "$failed"
[[ $failed == 0 ]]
