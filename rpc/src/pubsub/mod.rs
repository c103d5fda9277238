//! Subscriptions. Each is a task that wakes with every event of the chain and sends what changed.

mod feed;

use {
    crate::{
        context::{ChainEvent, Context},
        error::{Reply, invalid},
        methods::accounts,
        params::{Args, with_context},
    },
    feed::{Feed, Tip, Told},
    jsonrpsee::{PendingSubscriptionSink, RpcModule, core::RegisterMethodError, types::Params},
    solana_account::ReadableAccount,
    solana_account_decoder::UiAccountEncoding,
    solana_commitment_config::CommitmentConfig,
    solana_rpc_client_types::{
        config::{
            RpcAccountInfoConfig, RpcProgramAccountsConfig, RpcSignatureSubscribeConfig, RpcTransactionLogsConfig,
            RpcTransactionLogsFilter,
        },
        filter::RpcFilterType,
        response::{
            ProcessedSignatureResult, ReceivedSignatureResult, RpcKeyedAccount, RpcLogsResponse, RpcSignatureResult,
            SlotInfo, SlotTransactionStats, SlotUpdate,
        },
    },
    std::{
        collections::BTreeSet,
        future::Future,
        str::FromStr,
        sync::Arc,
        time::{SystemTime, UNIX_EPOCH},
    },
    tandem_bank::Bank,
    tandem_types::{Pubkey, Signature, Slot},
};

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    add(module, ["signatureSubscribe", "signatureNotification", "signatureUnsubscribe"], parse_signature, signature)?;
    add(module, ["accountSubscribe", "accountNotification", "accountUnsubscribe"], parse_account, account)?;
    add(module, ["programSubscribe", "programNotification", "programUnsubscribe"], parse_program, program)?;
    add(module, ["logsSubscribe", "logsNotification", "logsUnsubscribe"], parse_logs, logs)?;
    add(module, ["slotSubscribe", "slotNotification", "slotUnsubscribe"], Args::none, slot)?;
    add(module, ["rootSubscribe", "rootNotification", "rootUnsubscribe"], Args::none, root)?;
    let names = ["slotsUpdatesSubscribe", "slotsUpdatesNotification", "slotsUpdatesUnsubscribe"];
    add(module, names, Args::none, slots_updates)
}

/// A subscription: how to read its parameters, and the task that serves it.
fn add<W, F>(
    module: &mut RpcModule<Context>,
    [subscribe, notification, unsubscribe]: [&'static str; 3],
    read: fn(&Params<'_>) -> Reply<W>,
    serve: fn(W, Feed, Arc<Context>) -> F,
) -> Result<(), RegisterMethodError>
where
    W: Send + 'static,
    F: Future<Output = Option<()>> + Send + 'static,
{
    let start = move |params: Params<'static>, pending: PendingSubscriptionSink, context: Arc<Context>, _| async move {
        match read(&params) {
            Err(error) => pending.reject(error).await,
            Ok(wanted) => {
                if let Some(feed) = Feed::open(pending, context.clone()).await {
                    // `None` only says that the subscriber has gone.
                    let _ = serve(wanted, feed, context).await;
                }
            }
        }
    };
    module.register_subscription(subscribe, notification, unsubscribe, start).map(|_| ())
}

/// As `params::parse`, with the text of rpc_pubsub.rs:param.
fn parse<T: FromStr>(text: &str, what: &str) -> Reply<T> {
    text.parse().map_err(|_| invalid(format!("Invalid Request: Invalid {what} provided")))
}

fn parse_signature(params: &Params<'_>) -> Reply<(Signature, RpcSignatureSubscribeConfig)> {
    let args = Args::of(params, 1..=2)?;
    Ok((parse(&args.required::<String>(0)?, "signature")?, args.or_default(1)?))
}

/// One notification, at once if it can be, and the end: clients count on that and do not unsubscribe.
async fn signature(
    (wanted, config): (Signature, RpcSignatureSubscribeConfig),
    mut feed: Feed,
    context: Arc<Context>,
) -> Option<()> {
    let commitment = config.commitment.unwrap_or_default();
    loop {
        if let Some(status) = context.status(&wanted).filter(|status| status.satisfies_commitment(commitment)) {
            let err = status.err.map(Into::into);
            let result = RpcSignatureResult::ProcessedSignature(ProcessedSignatureResult { err });
            return feed.send(&with_context(&context.bank(config.commitment), result)).await;
        }
        if let Some(ChainEvent::Received(received)) = feed.wake().await?
            && received == wanted
            && config.enable_received_notification.unwrap_or(false)
        {
            let result = RpcSignatureResult::ReceivedSignature(ReceivedSignatureResult::ReceivedSignature);
            let bank = context.bank(Some(CommitmentConfig::processed()));
            feed.send(&with_context(&bank, result)).await?;
        }
    }
}

fn parse_account(params: &Params<'_>) -> Reply<(Pubkey, RpcAccountInfoConfig)> {
    let args = Args::of(params, 1..=2)?;
    Ok((parse(&args.required::<String>(0)?, "pubkey")?, args.or_default(1)?))
}

/// Told is every write, even one that changed nothing, and the return to an older state on another fork
/// (rpc_subscriptions.rs: filter_account_result).
async fn account((key, config): (Pubkey, RpcAccountInfoConfig), mut feed: Feed, _: Arc<Context>) -> Option<()> {
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let first = feed.start(config.commitment);
    let mut tip = Tip::of(&first);
    let mut known: Slot = first.account_with_slot(&key).map_or(0, |(_, slot)| slot);
    drop(first);
    loop {
        let bank = feed.tip(config.commitment, &mut tip).await?;
        let (account, slot) = bank.account_with_slot(&key).unwrap_or_default();
        if slot != known {
            known = slot;
            let shown = accounts::show(&bank, &key, &account, encoding, config.data_slice);
            feed.send(&with_context(&bank, shown)).await?;
        }
    }
}

fn parse_program(params: &Params<'_>) -> Reply<(Pubkey, RpcAccountInfoConfig, Vec<RpcFilterType>)> {
    let args = Args::of(params, 1..=2)?;
    let config: RpcProgramAccountsConfig = args.or_default(1)?;
    let owner = parse(&args.required::<String>(0)?, "pubkey")?;
    Ok((owner, config.account_config, accounts::checked(config.filters)?))
}

async fn program(
    (owner, config, filters): (Pubkey, RpcAccountInfoConfig, Vec<RpcFilterType>),
    mut feed: Feed,
    context: Arc<Context>,
) -> Option<()> {
    let first = feed.start(config.commitment);
    let (mut tip, mut told) = (Tip::of(&first), Told::up_to(first.slot()));
    drop(first);
    let (filters, encoding) = (Arc::new(filters), config.encoding.unwrap_or(UiAccountEncoding::Binary));
    loop {
        let bank = feed.tip(config.commitment, &mut tip).await?;
        let news = told.news(&context, &bank);
        let (context, filters, bank) = (context.clone(), filters.clone(), bank.clone());
        // Thousands of accounts may have been touched.
        let changed = tokio::task::spawn_blocking(move || {
            let touched = touched(&context, &bank, &news).into_iter();
            let accounts = touched.filter_map(|key| bank.account(&key).map(|account| (key, account)));
            let ours = accounts.filter(|(_, account)| {
                *account.owner() == owner && filters.iter().all(|filter| accounts::matches(filter, account))
            });
            ours.map(|(key, account)| {
                let account = accounts::show(&bank, &key, &account, encoding, config.data_slice);
                with_context(&bank, RpcKeyedAccount { pubkey: key.to_string(), account })
            })
            .collect::<Vec<_>>()
        });
        for keyed in changed.await.ok()? {
            feed.send(&keyed).await?;
        }
    }
}

/// Accounts that blocks may have written: those their transactions name and, while it is to be had, what the bank itself
/// says it wrote.
fn touched(context: &Context, tip: &Bank, slots: &[Slot]) -> BTreeSet<Pubkey> {
    let mut keys = BTreeSet::new();
    for block in slots.iter().filter_map(|slot| context.history.block(*slot)) {
        keys.extend(block.transactions.iter().flat_map(|record| record.accounts.iter().copied()));
    }
    if slots.contains(&tip.slot()) {
        keys.extend(tip.written_accounts());
    }
    keys
}

/// One address, or everything with or without votes.
struct WantedLogs {
    mentions: Option<Pubkey>,
    with_votes: bool,
    commitment: Option<CommitmentConfig>,
}

fn parse_logs(params: &Params<'_>) -> Reply<WantedLogs> {
    let args = Args::of(params, 1..=2)?;
    let config: Option<RpcTransactionLogsConfig> = args.optional(1)?;
    let filter: RpcTransactionLogsFilter = args.required(0)?;
    let mentions = match &filter {
        RpcTransactionLogsFilter::All | RpcTransactionLogsFilter::AllWithVotes => None,
        RpcTransactionLogsFilter::Mentions(keys) => match keys.as_slice() {
            [key] => Some(parse(key, "mentions")?),
            _ => return Err(invalid("Invalid Request: Only 1 address supported")),
        },
    };
    let with_votes = filter != RpcTransactionLogsFilter::All;
    Ok(WantedLogs { mentions, with_votes, commitment: config.and_then(|config| config.commitment) })
}

async fn logs(wanted: WantedLogs, mut feed: Feed, context: Arc<Context>) -> Option<()> {
    let first = feed.start(wanted.commitment);
    let (mut tip, mut told) = (Tip::of(&first), Told::up_to(first.slot()));
    drop(first);
    loop {
        let bank = feed.tip(wanted.commitment, &mut tip).await?;
        for slot in told.news(&context, &bank) {
            let Some(block) = context.history.block(slot) else { continue };
            for record in &block.transactions {
                let info = &record.info;
                let is_mentioned = wanted.mentions.is_none_or(|key| record.accounts.contains(&key));
                if is_mentioned && (wanted.with_votes || !info.is_simple_vote) {
                    let response = RpcLogsResponse {
                        signature: info.signature.to_string(),
                        err: info.status.clone().err().map(Into::into),
                        logs: info.logs.clone().unwrap_or_default(),
                    };
                    feed.send(&with_context(&bank, response)).await?;
                }
            }
        }
    }
}

async fn slot((): (), mut feed: Feed, context: Arc<Context>) -> Option<()> {
    loop {
        if let ChainEvent::Frozen(bank) = feed.next().await? {
            let root = context.chain.load().finalized.slot();
            feed.send(&SlotInfo { slot: bank.slot(), parent: bank.parent_slot(), root }).await?;
        }
    }
}

async fn root((): (), mut feed: Feed, _: Arc<Context>) -> Option<()> {
    loop {
        if let ChainEvent::Rooted(slot) = feed.next().await? {
            feed.send(&slot).await?;
        }
    }
}

async fn slots_updates((): (), mut feed: Feed, context: Arc<Context>) -> Option<()> {
    loop {
        for update in slot_updates(&feed.next().await?, &context) {
            feed.send(&update).await?;
        }
    }
}

/// Clients find the current leader by `firstShredReceived` and `completed` (solana-tpu-client-4.2.2 tpu_client.rs), which
/// come with the block here.
fn slot_updates(event: &ChainEvent, context: &Context) -> Vec<SlotUpdate> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    match event {
        ChainEvent::Frozen(bank) => {
            let slot = bank.slot();
            vec![
                SlotUpdate::FirstShredReceived { slot, timestamp },
                SlotUpdate::Completed { slot, timestamp },
                SlotUpdate::CreatedBank { slot, parent: bank.parent_slot(), timestamp },
                SlotUpdate::Frozen { slot, timestamp, stats: stats(context, slot) },
            ]
        }
        ChainEvent::Confirmed(bank) => vec![SlotUpdate::OptimisticConfirmation { slot: bank.slot(), timestamp }],
        ChainEvent::Rooted(slot) => vec![SlotUpdate::Root { slot: *slot, timestamp }],
        ChainEvent::Dead { slot, reason } => vec![SlotUpdate::Dead { slot: *slot, timestamp, err: reason.clone() }],
        ChainEvent::Processed(_) | ChainEvent::Received(_) => Vec::new(),
    }
}

/// Of the transactions that are recorded. Entries are not.
fn stats(context: &Context, slot: Slot) -> SlotTransactionStats {
    let block = context.history.block(slot);
    let records = block.iter().flat_map(|block| &block.transactions);
    let (succeeded, failed): (Vec<_>, Vec<_>) = records.partition(|record| record.info.status.is_ok());
    SlotTransactionStats {
        num_transaction_entries: 0,
        num_successful_transactions: succeeded.len() as u64,
        num_failed_transactions: failed.len() as u64,
        max_transactions_per_entry: 0,
    }
}
