//! The methods behind `validator failover`: `tandemFailover…`. The store is asked on a blocking thread of its own.

use {
    super::methods::{AdminContext, AdminError, Reply, RoleRequest, stopping},
    crate::{
        exit::{Failure, Status},
        failover::{
            Desk, Question,
            report::{HistoryReport, PlanReport, RecoverReport, RehearsalReport, StoreReport},
        },
        topology::Vouch,
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError, types::ErrorObjectOwned},
    std::{sync::Arc, time::Duration},
    tandem_env::Closed,
    tandem_role::{hints::HoldRecord, machine::Recovery},
    tandem_types::Pubkey,
    tokio::sync::oneshot,
};

pub(super) fn register(module: &mut RpcModule<AdminContext>) -> Result<(), RegisterMethodError> {
    module.register_async_method("tandemFailoverStore", |_, context, _| async move {
        at_desk::<StoreReport>(&context, |desk| desk.view()).await
    })?;
    module.register_async_method("tandemFailoverHistory", |_, context, _| async move {
        at_desk::<HistoryReport>(&context, |desk| desk.history()).await
    })?;
    module.register_async_method("tandemFailoverHold", |params, context, _| async move {
        // Nothing: show. Else on or off, why, and for how many milliseconds.
        let mut sequence = params.sequence();
        let on = sequence.optional_next::<bool>()?;
        let reason = sequence.optional_next::<String>()?.unwrap_or_default();
        let lasts = sequence.optional_next::<u64>()?.map(Duration::from_millis);
        at_desk::<Option<HoldRecord>>(&context, move |desk| match on {
            Some(on) => desk.set_hold(on, reason, lasts).map(Some),
            None => desk.hold(),
        })
        .await
    })?;
    module.register_async_method("tandemFailoverRehearse", |params, context, _| async move {
        let rounds: u32 = params.sequence().next()?;
        at_desk::<RehearsalReport>(&context, move |desk| desk.rehearse(rounds.clamp(1, ROUNDS_MAX))).await
    })?;
    module.register_async_method("tandemFailoverPlan", |params, context, _| async move {
        let identity = params.sequence().optional_next::<String>()?;
        let identity = identity.and_then(|identity| identity.parse::<Pubkey>().ok());
        let facts = Box::new(at_desk(&context, |desk| desk.facts()).await?);
        ask::<PlanReport>(&context, |reply| Question::Plan { identity, facts, reply }).await
    })?;
    module.register_async_method("tandemFailoverRecover", |_, context, _| async move {
        let known = ask::<Recovery>(&context, |reply| Question::Recovery { reply }).await?;
        Reply::Ok(recovery(&context, &known).await?.advise())
    })?;
    module.register_async_method("tandemFailoverAcceptSlot", |params, context, _| async move {
        let slot: u64 = params.sequence().next()?;
        let known = ask::<Recovery>(&context, |reply| Question::Recovery { reply }).await?;
        doubted(&context, &known).await?;
        known.accepts(slot).map_err(|reason| {
            refusal(Failure::refused(reason).remedy("see `failover recover` for the slot; nothing was changed"))
        })?;
        vouch(&context, Vouch::NoTower { slot }).await
    })?;
    module.register_async_method("tandemFailoverAcceptStore", |_, context, _| async move {
        let known = ask::<Recovery>(&context, |reply| Question::Recovery { reply }).await?;
        doubted(&context, &known).await?;
        vouch(&context, Vouch::Store).await
    })?;
    Ok(())
}

/// An operator's rounds are done within the patience of a client.
const ROUNDS_MAX: u32 = 1_000;

/// What stands in the way of signing.
async fn recovery(context: &AdminContext, known: &Recovery) -> Reply<RecoverReport> {
    let store = match &context.failover {
        Some(_) => at_desk(context, Desk::recovery).await?,
        // A folder of this process: nobody else has written to it, and what was seen in it is what it has.
        None => RecoverReport {
            store: context.status.load().store.clone(),
            store_last_vote: known.seen_in_store,
            ..RecoverReport::default()
        },
    };
    Ok(store.with(known))
}

async fn doubted(context: &AdminContext, known: &Recovery) -> Reply<()> {
    if recovery(context, known).await?.quarantined.is_some() {
        return Ok(());
    }
    let failure = Failure::refused("nothing to recover: the store is as new as anything known");
    Err(refusal(failure.remedy("see `failover recover`; nothing was changed")))
}

async fn vouch(context: &AdminContext, vouch: Vouch) -> Reply<()> {
    ask::<Result<(), Failure>>(context, |reply| Question::Vouch { vouch, reply }).await?.map_err(refusal)
}

async fn at_desk<T: Send + 'static>(
    context: &AdminContext,
    call: impl FnOnce(&Desk) -> Result<T, Failure> + Send + 'static,
) -> Reply<T> {
    let Some(desk) = context.failover.as_ref().map(Arc::clone) else {
        let failure = Failure::new(Status::Refused, "this node shares no promise store with another machine")
            .remedy("failover needs --tower-storage etcd and a --vote-account of this cluster");
        return Err(refusal(failure));
    };
    match tokio::task::spawn_blocking(move || call(&desk)).await {
        Ok(answer) => answer.map_err(refusal),
        Err(_) => Err(stopping()),
    }
}

async fn ask<T>(context: &AdminContext, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Reply<T> {
    let (reply, answer) = oneshot::channel();
    let request = RoleRequest::Failover(Box::new(question(reply)));
    (context.role)(request).map_err(|Closed| stopping())?;
    answer.await.map_err(|_| stopping())
}

fn refusal(failure: Failure) -> ErrorObjectOwned {
    AdminError { status: failure.status as u8, reason: failure.what, remedy: failure.remedy }.into()
}
