//! Subscriptions. Each is a task that wakes with every event of the chain and sends what changed.

use {
    crate::{
        context::{ChainEvent, Context},
        encode,
        error::{Reply, invalid},
        methods::accounts,
        params::{Args, pubkey, signature, with_context},
    },
    jsonrpsee::{
        PendingSubscriptionSink, RpcModule, SubscriptionSink,
        core::{RegisterMethodError, SubscriptionResult},
        types::Params,
    },
    serde::Serialize,
    serde_json::{Value, json, value::to_raw_value},
    solana_commitment_config::{CommitmentConfig, CommitmentLevel},
    solana_rpc_client_types::config::{
        RpcAccountInfoConfig, RpcProgramAccountsConfig, RpcSignatureSubscribeConfig, RpcTransactionLogsConfig,
        RpcTransactionLogsFilter,
    },
    std::{
        collections::HashMap,
        sync::Arc,
        time::{SystemTime, UNIX_EPOCH},
    },
    tandem_bank::Bank,
    tandem_types::{Pubkey, Slot},
    tokio::sync::broadcast::{Receiver, error::RecvError},
};

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_subscription("signatureSubscribe", "signatureNotification", "signatureUnsubscribe", signature_subscribe)?;
    module.register_subscription("slotSubscribe", "slotNotification", "slotUnsubscribe", |_, pending, context, _| async move {
        let mut feed = Feed::open(pending, &context).await?;
        while let Some(event) = feed.next().await {
            if let ChainEvent::Frozen(bank) = event {
                let root = context.chain.load().finalized.slot();
                feed.send(&json!({ "slot": bank.slot(), "parent": bank.parent_slot(), "root": root })).await?;
            }
        }
        SubscriptionResult::Ok(())
    })?;
    module.register_subscription("rootSubscribe", "rootNotification", "rootUnsubscribe", |_, pending, context, _| async move {
        let mut feed = Feed::open(pending, &context).await?;
        while let Some(event) = feed.next().await {
            if let ChainEvent::Rooted(slot) = event {
                feed.send(&slot).await?;
            }
        }
        SubscriptionResult::Ok(())
    })?;
    module.register_subscription(
        "slotsUpdatesSubscribe",
        "slotsUpdatesNotification",
        "slotsUpdatesUnsubscribe",
        |_, pending, context, _| async move {
            let mut feed = Feed::open(pending, &context).await?;
            while let Some(event) = feed.next().await {
                for update in slot_updates(&event) {
                    feed.send(&update).await?;
                }
            }
            SubscriptionResult::Ok(())
        },
    )?;
    module.register_subscription("accountSubscribe", "accountNotification", "accountUnsubscribe", account_subscribe)?;
    module.register_subscription("programSubscribe", "programNotification", "programUnsubscribe", program_subscribe)?;
    module.register_subscription("logsSubscribe", "logsNotification", "logsUnsubscribe", logs_subscribe)?;
    Ok(())
}

/// A subscriber and the events it has not seen yet.
struct Feed {
    sink: SubscriptionSink,
    events: Receiver<ChainEvent>,
}

impl Feed {
    async fn open(pending: PendingSubscriptionSink, context: &Context) -> Result<Self, jsonrpsee::core::StringError> {
        // Subscribed before it is accepted: what happens in between is not missed.
        let events = context.events.subscribe();
        let sink = pending.accept().await?;
        Ok(Self { sink, events })
    }

    /// `None` when the subscriber has gone or the node stops. A subscriber that cannot keep up loses events, not memory.
    async fn next(&mut self) -> Option<ChainEvent> {
        loop {
            tokio::select! {
                () = self.sink.closed() => return None,
                event = self.events.recv() => match event {
                    Ok(event) => return Some(event),
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return None,
                }
            }
        }
    }

    async fn send(&self, value: &impl Serialize) -> Result<(), jsonrpsee::core::StringError> {
        Ok(self.sink.send(to_raw_value(value)?).await?)
    }
}

async fn signature_subscribe(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
    _: jsonrpsee::Extensions,
) -> SubscriptionResult {
    let parsed = (|| -> Reply<_> {
        let args = Args::of(&params)?;
        let config: RpcSignatureSubscribeConfig = args.optional(1)?.unwrap_or_default();
        Ok((signature(&args.required::<String>(0)?)?, config))
    })();
    let (wanted, config) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let mut feed = Feed::open(pending, &context).await?;
    loop {
        if let Some(status) = context.status(&wanted).filter(|status| status.reached(config.commitment)) {
            let bank = context.bank(config.commitment);
            feed.send(&with_context(&bank, json!({ "err": encode::optional_error(&status.result) }))).await?;
            return Ok(());
        }
        match feed.next().await {
            None => return Ok(()),
            Some(ChainEvent::Received(received))
                if received == wanted && config.enable_received_notification.unwrap_or(false) =>
            {
                let bank = context.bank(Some(CommitmentConfig::processed()));
                feed.send(&with_context(&bank, "receivedSignature")).await?;
            }
            Some(_) => {}
        }
    }
}

/// The block that an event brought to the wanted commitment, if it did.
fn reached(event: &ChainEvent, wanted: Option<CommitmentConfig>, context: &Context) -> Option<Arc<Bank>> {
    match (event, wanted.unwrap_or_default().commitment) {
        (ChainEvent::Frozen(bank), CommitmentLevel::Processed) => Some(bank.clone()),
        (ChainEvent::Confirmed(bank), CommitmentLevel::Confirmed) => Some(bank.clone()),
        (ChainEvent::Rooted(_), CommitmentLevel::Finalized) => Some(context.bank(wanted)),
        (
            ChainEvent::Frozen(_)
            | ChainEvent::Confirmed(_)
            | ChainEvent::Rooted(_)
            | ChainEvent::Dead { .. }
            | ChainEvent::Received(_),
            _,
        ) => None,
    }
}

async fn account_subscribe(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
    _: jsonrpsee::Extensions,
) -> SubscriptionResult {
    let parsed = (|| -> Reply<(Pubkey, RpcAccountInfoConfig)> {
        let args = Args::of(&params)?;
        Ok((args.pubkey(0)?, args.optional(1)?.unwrap_or_default()))
    })();
    let (key, config) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let mut feed = Feed::open(pending, &context).await?;
    let mut known = context.bank(config.commitment).account(&key);
    while let Some(event) = feed.next().await {
        let Some(bank) = reached(&event, config.commitment, &context) else { continue };
        let account = bank.account(&key);
        if account == known {
            continue;
        }
        let shown = account.clone().unwrap_or_default();
        known = account;
        if let Ok(shown) = accounts::encode(&bank, &key, &shown, &config) {
            feed.send(&with_context(&bank, shown)).await?;
        }
    }
    Ok(())
}

async fn program_subscribe(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
    _: jsonrpsee::Extensions,
) -> SubscriptionResult {
    let parsed = (|| -> Reply<(Pubkey, RpcProgramAccountsConfig)> {
        let args = Args::of(&params)?;
        Ok((args.pubkey(0)?, args.optional(1)?.unwrap_or_default()))
    })();
    let (owner, config) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let filters = config.filters.unwrap_or_default();
    let config = config.account_config;
    let mut feed = Feed::open(pending, &context).await?;
    let snapshot = |bank: &Bank| -> HashMap<Pubkey, _> {
        bank.program_accounts(&owner, |_, account| filters.iter().all(|filter| accounts::matches(filter, account)))
            .into_iter()
            .collect()
    };
    let mut known = snapshot(&context.bank(config.commitment));
    while let Some(event) = feed.next().await {
        let Some(bank) = reached(&event, config.commitment, &context) else { continue };
        let now = snapshot(&bank);
        for (key, account) in now.iter().filter(|(key, account)| known.get(key) != Some(account)) {
            if let Ok(shown) = accounts::encode(&bank, key, account, &config) {
                feed.send(&with_context(&bank, json!({ "pubkey": key.to_string(), "account": shown }))).await?;
            }
        }
        known = now;
    }
    Ok(())
}

async fn logs_subscribe(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
    _: jsonrpsee::Extensions,
) -> SubscriptionResult {
    let parsed = (|| -> Reply<_> {
        let args = Args::of(&params)?;
        let filter: RpcTransactionLogsFilter = args.required(0)?;
        let config: Option<RpcTransactionLogsConfig> = args.optional(1)?;
        let mentions = match &filter {
            RpcTransactionLogsFilter::All | RpcTransactionLogsFilter::AllWithVotes => None,
            RpcTransactionLogsFilter::Mentions(keys) if keys.len() == 1 => Some(pubkey(&keys[0])?),
            RpcTransactionLogsFilter::Mentions(_) => return Err(invalid("Invalid Request: Only 1 address supported")),
        };
        Ok((mentions, filter == RpcTransactionLogsFilter::AllWithVotes, config.and_then(|config| config.commitment)))
    })();
    let (mentions, with_votes, commitment) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let mut feed = Feed::open(pending, &context).await?;
    let mut seen: Slot = context.bank(commitment).slot();
    while let Some(event) = feed.next().await {
        let Some(tip) = reached(&event, commitment, &context) else { continue };
        for slot in new_blocks(&tip, seen, &context) {
            let Some(block) = context.history.block(slot) else { continue };
            for record in &block.transactions {
                let wanted = match mentions {
                    Some(key) => record.accounts.contains(&key),
                    None => with_votes || !record.info.is_simple_vote,
                };
                if wanted {
                    let value = json!({ "signature": record.info.signature.to_string(),
                                        "err": encode::optional_error(&record.info.status), "logs": record.info.logs });
                    feed.send(&with_context(&tip, value)).await?;
                }
            }
        }
        seen = seen.max(tip.slot());
    }
    Ok(())
}

/// Slots on the fork of `tip` above `seen`, oldest first.
fn new_blocks(tip: &Arc<Bank>, seen: Slot, context: &Context) -> Vec<Slot> {
    let mut slots = context.history.rooted(seen.saturating_add(1), tip.slot(), usize::MAX);
    let mut newer = Vec::new();
    let mut bank = Some(tip.clone());
    while let Some(current) = bank.filter(|bank| bank.slot() > seen && slots.last().is_none_or(|last| bank.slot() > *last)) {
        newer.push(current.slot());
        bank = current.parent();
    }
    slots.extend(newer.into_iter().rev());
    slots
}

/// Shapes of solana-rpc-client-types 4.2.2, response.rs:SlotUpdate.
fn slot_updates(event: &ChainEvent) -> Vec<Value> {
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let plain = |kind: &str, slot: Slot| json!({ "type": kind, "slot": slot, "timestamp": timestamp });
    match event {
        ChainEvent::Frozen(bank) => {
            let slot = bank.slot();
            let count = bank.transaction_count();
            vec![
                plain("firstShredReceived", slot),
                plain("completed", slot),
                json!({ "type": "createdBank", "slot": slot, "parent": bank.parent_slot(), "timestamp": timestamp }),
                json!({ "type": "frozen", "slot": slot, "timestamp": timestamp,
                        "stats": { "numTransactionEntries": 0, "numSuccessfulTransactions": count,
                                   "numFailedTransactions": 0, "maxTransactionsPerEntry": 0 } }),
            ]
        }
        ChainEvent::Confirmed(bank) => vec![plain("optimisticConfirmation", bank.slot())],
        ChainEvent::Rooted(slot) => vec![plain("root", *slot)],
        ChainEvent::Dead { slot, reason } => {
            vec![json!({ "type": "dead", "slot": slot, "timestamp": timestamp, "err": reason })]
        }
        ChainEvent::Received(_) => Vec::new(),
    }
}
