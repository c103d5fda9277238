//! Small signed transactions for the tests of this crate.

use {
    solana_message::{Message, MessageHeader, VersionedMessage, compiled_instruction::CompiledInstruction, v0, v1},
    tandem_types::{Hash, Keypair, Pubkey, Signature, Signer, VersionedTransaction},
};

fn payer() -> Keypair {
    Keypair::new_from_array([5; 32])
}

fn header() -> MessageHeader {
    MessageHeader { num_required_signatures: 1, num_readonly_signed_accounts: 0, num_readonly_unsigned_accounts: 1 }
}

fn keys() -> Vec<Pubkey> {
    vec![payer().pubkey(), Pubkey::new_from_array([6; 32]), Pubkey::default()]
}

fn instructions(lamports: u8) -> Vec<CompiledInstruction> {
    vec![CompiledInstruction { program_id_index: 2, accounts: vec![0, 1], data: vec![2, 0, 0, 0, lamports] }]
}

fn signed(message: VersionedMessage) -> VersionedTransaction {
    VersionedTransaction { signatures: vec![payer().sign_message(&message.serialize())], message }
}

/// The payer's signature of another transaction.
pub fn resign(other: &VersionedTransaction) -> Signature {
    payer().sign_message(&other.message.serialize())
}

pub fn transfer(lamports: u8) -> VersionedTransaction {
    signed(VersionedMessage::Legacy(Message {
        header: header(),
        account_keys: keys(),
        recent_blockhash: Hash::new_from_array([8; 32]),
        instructions: instructions(lamports),
    }))
}

pub fn v0_transfer(lamports: u8) -> VersionedTransaction {
    signed(VersionedMessage::V0(v0::Message {
        header: header(),
        account_keys: keys(),
        recent_blockhash: Hash::new_from_array([8; 32]),
        instructions: instructions(lamports),
        address_table_lookups: vec![v0::MessageAddressTableLookup {
            account_key: Pubkey::new_from_array([9; 32]),
            writable_indexes: vec![1],
            readonly_indexes: vec![2, 3],
        }],
    }))
}

pub fn v1_transfer(lamports: u8) -> VersionedTransaction {
    signed(VersionedMessage::V1(v1::Message {
        header: header(),
        config: v1::TransactionConfig::empty(),
        lifetime_specifier: Hash::new_from_array([8; 32]),
        account_keys: keys(),
        instructions: instructions(lamports),
    }))
}
