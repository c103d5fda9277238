//! From our records to the shapes of solana-transaction-status, which knows how clients want them.

use {
    crate::history::{BlockRecord, TransactionRecord},
    solana_account_decoder::{parse_account_data::SplTokenAdditionalDataV2, parse_token::token_amount_to_ui_amount_v3},
    solana_message::v0::LoadedAddresses,
    solana_transaction_status::{
        ConfirmedBlock, Reward, TransactionStatusMeta, TransactionTokenBalance, TransactionWithStatusMeta,
        VersionedTransactionWithStatusMeta, map_inner_instructions,
    },
    tandem_bank::TokenBalance,
    tandem_epoch::RewardInfo,
    tandem_types::Pubkey,
};

pub fn block(block: &BlockRecord) -> ConfirmedBlock {
    ConfirmedBlock {
        previous_blockhash: block.previous_blockhash.to_string(),
        blockhash: block.blockhash.to_string(),
        parent_slot: block.parent,
        transactions: block
            .transactions
            .iter()
            .map(|record| TransactionWithStatusMeta::Complete(transaction(record)))
            .collect(),
        rewards: block.rewards.iter().map(reward).collect(),
        num_partitions: None,
        block_time: Some(block.block_time),
        block_height: Some(block.block_height),
    }
}

pub fn transaction(record: &TransactionRecord) -> VersionedTransactionWithStatusMeta {
    let info = &record.info;
    let balances = info.balances.clone().unwrap_or_default();
    let meta = TransactionStatusMeta {
        status: info.status.clone(),
        fee: info.fee,
        pre_balances: balances.pre,
        post_balances: balances.post,
        inner_instructions: Some(
            info.inner_instructions.clone().map(map_inner_instructions).into_iter().flatten().collect(),
        ),
        log_messages: info.logs.clone(),
        pre_token_balances: Some(token_balances(&balances.pre_token)),
        post_token_balances: Some(token_balances(&balances.post_token)),
        rewards: Some(Vec::new()),
        loaded_addresses: loaded_addresses(record),
        return_data: info.return_data.clone(),
        compute_units_consumed: Some(info.compute_units),
        cost_units: None,
    };
    VersionedTransactionWithStatusMeta { transaction: record.transaction.clone(), meta }
}

/// What lies behind the message's own keys, in the order the runtime puts them: writable ones first.
fn loaded_addresses(record: &TransactionRecord) -> LoadedAddresses {
    let message = &record.transaction.message;
    let loaded = record.accounts.get(message.static_account_keys().len()..).unwrap_or_default();
    let lookups = message.address_table_lookups().unwrap_or_default();
    let writable: usize = lookups.iter().map(|lookup| lookup.writable_indexes.len()).sum();
    let (writable, readonly) = loaded.split_at(writable.min(loaded.len()));
    LoadedAddresses { writable: writable.to_vec(), readonly: readonly.to_vec() }
}

pub fn token_balances(balances: &[TokenBalance]) -> Vec<TransactionTokenBalance> {
    balances
        .iter()
        .map(|balance| TransactionTokenBalance {
            account_index: balance.account_index,
            mint: balance.mint.to_string(),
            ui_token_amount: token_amount_to_ui_amount_v3(
                balance.amount,
                &SplTokenAdditionalDataV2::with_decimals(balance.decimals),
            ),
            owner: balance.owner.to_string(),
            program_id: balance.program_id.to_string(),
        })
        .collect()
}

/// The percentage is rounded down (solana-rpc-4.2.2 transaction_status_service.rs).
fn reward((pubkey, info): &(Pubkey, RewardInfo)) -> Reward {
    Reward {
        pubkey: pubkey.to_string(),
        lamports: info.lamports,
        post_balance: info.post_balance,
        reward_type: Some(info.reward_type),
        commission: info.commission_bps.map(|bps| u8::try_from(bps / 100).unwrap_or(u8::MAX)),
        commission_bps: info.commission_bps,
    }
}
