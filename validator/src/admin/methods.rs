//! The methods of the admin socket. Names and parameters are agave's (agave-validator 4.2.2,
//! src/admin_rpc_service.rs:AdminRpc; `setIdentity` had two parameters in 2.3 and has three in 4.2), so that
//! `agave-validator` itself can drive this node; `tandem*` methods are ours and say more.

use {
    crate::status::{HandoverReport, NodeStatus},
    arc_swap::ArcSwap,
    crossbeam_channel::Sender,
    jsonrpsee::{
        RpcModule,
        types::{ErrorObjectOwned, Params},
    },
    serde::{Deserialize, Serialize},
    serde_json::{Value, json},
    std::{
        net::SocketAddr,
        path::PathBuf,
        sync::Arc,
        time::{Duration, SystemTime, UNIX_EPOCH},
    },
    tandem_identity::Vault,
    tandem_types::Keypair,
    tandem_wire::contact_info::ContactInfo,
    tokio::sync::oneshot,
};

/// What the admin socket asks of the role stage. Each is answered exactly once.
pub enum RoleRequest {
    SetIdentity { keypair: Keypair, require_tower: bool, reply: oneshot::Sender<Result<HandoverReport, AdminError>> },
    Exit { reply: oneshot::Sender<()> },
}

/// A refusal as it goes over the socket: exit status, reason, and remedy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdminError {
    pub status: u8,
    pub reason: String,
    pub remedy: Option<String>,
}

pub struct AdminContext {
    pub rpc_addr: Option<SocketAddr>,
    pub started: SystemTime,
    pub role: Sender<RoleRequest>,
    pub contact: Arc<ArcSwap<ContactInfo>>,
    pub status: Arc<ArcSwap<NodeStatus>>,
    pub vault: Arc<Vault>,
    pub set_log_filter: Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>,
}

/// A handover that takes longer than this is stuck: the intent deadline is 2 s and catching up has its own limit.
const HANDOVER_TIME_MAX: Duration = Duration::from_secs(120);

pub fn methods(context: AdminContext) -> RpcModule<AdminContext> {
    let mut module = RpcModule::new(context);
    let registered = register(&mut module);
    registered.expect("invariant: every method name is registered once");
    module
}

fn register(module: &mut RpcModule<AdminContext>) -> Result<(), jsonrpsee::core::RegisterMethodError> {
    module.register_async_method("exit", |_, context, _| async move {
        let (reply, done) = oneshot::channel();
        context.role.send(RoleRequest::Exit { reply }).map_err(|_| stopping())?;
        done.await.map_err(|_| stopping())
    })?;
    module.register_method("pid", |_, _, _| std::process::id())?;
    module.register_method("rpcAddress", |_, context, _| context.rpc_addr)?;
    module.register_method("startTime", |_, context, _| {
        let since = context.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({ "secs_since_epoch": since.as_secs(), "nanos_since_epoch": since.subsec_nanos() })
    })?;
    module.register_method("startProgress", |_, context, _| context.status.load().start_progress())?;
    module.register_method("isGeneratingSnapshots", |_, _, _| false)?;
    module.register_method("setLogFilter", |params, context, _| {
        let filter: String = first(&params)?;
        (context.set_log_filter)(&filter).map_err(|reason| invalid(&format!("log filter {filter:?}: {reason}")))
    })?;
    module.register_method("contactInfo", |_, context, _| contact_info(&context.contact.load()))?;
    module.register_method("addAuthorizedVoter", |params, context, _| {
        let path: PathBuf = first(&params)?;
        let keypair = tandem_identity::read_keypair_file(&path).map_err(|error| invalid(&error.to_string()))?;
        add_voter(context, keypair)
    })?;
    module.register_method("addAuthorizedVoterFromBytes", |params, context, _| {
        let bytes: Vec<u8> = first(&params)?;
        add_voter(context, keypair_from(&bytes)?)
    })?;
    module.register_method("removeAllAuthorizedVoters", |_, context, _| context.vault.remove_all_authorized_voters())?;
    module.register_async_method("setIdentity", |params, context, _| async move {
        let mut sequence = params.sequence();
        let path: PathBuf = sequence.next()?;
        let require_tower = sequence.optional_next::<bool>()?.unwrap_or(false);
        let keypair = tandem_identity::read_keypair_file(&path).map_err(|error| invalid(&error.to_string()))?;
        set_identity(&context, keypair, require_tower).await.map(|_| ())
    })?;
    module.register_async_method("setIdentityFromBytes", |params, context, _| async move {
        let mut sequence = params.sequence();
        let bytes: Vec<u8> = sequence.next()?;
        let require_tower = sequence.optional_next::<bool>()?.unwrap_or(false);
        set_identity(&context, keypair_from(&bytes)?, require_tower).await.map(|_| ())
    })?;
    module.register_async_method("tandemSetIdentity", |params, context, _| async move {
        let mut sequence = params.sequence();
        let bytes: Vec<u8> = sequence.next()?;
        let require_tower = sequence.optional_next::<bool>()?.unwrap_or(false);
        set_identity(&context, keypair_from(&bytes)?, require_tower).await
    })?;
    module.register_method("tandemStatus", |_, context, _| (**context.status.load()).clone())?;
    Ok(())
}

async fn set_identity(
    context: &AdminContext,
    keypair: Keypair,
    require_tower: bool,
) -> Result<HandoverReport, ErrorObjectOwned> {
    let (reply, answer) = oneshot::channel();
    context.role.send(RoleRequest::SetIdentity { keypair, require_tower, reply }).map_err(|_| stopping())?;
    match tokio::time::timeout(HANDOVER_TIME_MAX, answer).await {
        Ok(Ok(Ok(report))) => Ok(report),
        Ok(Ok(Err(refusal))) => {
            let message = match &refusal.remedy {
                Some(remedy) => format!("{} — {remedy}", refusal.reason),
                None => refusal.reason.clone(),
            };
            Err(ErrorObjectOwned::owned(REFUSED, message, Some(refusal)))
        }
        Ok(Err(_)) => Err(stopping()),
        Err(_) => Err(ErrorObjectOwned::owned(REFUSED, "the handover did not end in time", None::<()>)),
    }
}

fn add_voter(context: &AdminContext, keypair: Keypair) -> Result<(), ErrorObjectOwned> {
    context.vault.add_authorized_voter(keypair).map_err(|error| invalid(&error.to_string()))
}

fn keypair_from(bytes: &[u8]) -> Result<Keypair, ErrorObjectOwned> {
    Keypair::try_from(bytes).map_err(|error| invalid(&format!("these {} bytes are not a keypair: {error}", bytes.len())))
}

fn first<T: for<'a> Deserialize<'a>>(params: &Params<'_>) -> Result<T, ErrorObjectOwned> {
    params.sequence().next()
}

fn contact_info(contact: &ContactInfo) -> Value {
    use tandem_wire::contact_info::SocketTag;
    let socket = |tag| contact.socket(tag).unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
    json!({
        "id": contact.pubkey.to_string(),
        "gossip": socket(SocketTag::Gossip),
        "tvu": socket(SocketTag::Tvu),
        "serve_repair_quic": socket(SocketTag::ServeRepairQuic),
        "tpu": socket(SocketTag::TpuQuic),
        "tpu_forwards": socket(SocketTag::TpuForwardsQuic),
        "tpu_vote": socket(SocketTag::TpuVote),
        "rpc": socket(SocketTag::Rpc),
        "rpc_pubsub": socket(SocketTag::RpcPubsub),
        "serve_repair": socket(SocketTag::ServeRepair),
        "last_updated_timestamp": contact.wallclock,
        "shred_version": contact.shred_version,
    })
}

/// Agave answers a refusal with "invalid params"; ours carries the exit status in `data`.
const REFUSED: i32 = -32602;

fn invalid(reason: &str) -> ErrorObjectOwned {
    let refusal = AdminError { status: 5, reason: reason.to_owned(), remedy: None };
    ErrorObjectOwned::owned(REFUSED, reason.to_owned(), Some(refusal))
}

fn stopping() -> ErrorObjectOwned {
    ErrorObjectOwned::owned(-32603, "the validator is stopping", None::<()>)
}
