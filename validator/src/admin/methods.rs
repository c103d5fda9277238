//! The methods of the admin socket. Names and parameters are agave's (agave-validator 4.2.2,
//! src/admin_rpc_service.rs:AdminRpc; `setIdentity` had two parameters in 2.3 and has three in 4.2), so that
//! `agave-validator` itself can drive this node; `tandem*` methods are ours and say more.

use {
    super::secret::KeyBytes,
    crate::{
        exit::{Failure, Status},
        status::{HandoverReport, NodeStatus},
    },
    arc_swap::ArcSwap,
    jsonrpsee::{
        RpcModule,
        core::RegisterMethodError,
        types::{ErrorObjectOwned, Params},
    },
    serde::{Deserialize, Serialize, de::DeserializeOwned},
    serde_json::{Value, json},
    std::{
        net::SocketAddr,
        path::{Path, PathBuf},
        sync::Arc,
        time::{Duration, SystemTime, UNIX_EPOCH},
    },
    tandem_env::Closed,
    tandem_identity::Vault,
    tandem_types::{Keypair, Signer},
    tandem_wire::contact_info::ContactInfo,
    tokio::sync::oneshot,
};

/// What the admin socket asks of the role stage. Each is answered exactly once.
#[allow(clippy::large_enum_variant)] // A handful in the life of a node; a box would save nothing.
pub enum RoleRequest {
    SetIdentity { keypair: Keypair, require_tower: bool, reply: oneshot::Sender<Result<HandoverReport, AdminError>> },
    Exit { reply: oneshot::Sender<()> },
    Failover(Box<crate::failover::Question>),
}

/// A refusal as it goes over the socket: exit status, reason, and remedy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdminError {
    pub status: u8,
    pub reason: String,
    pub remedy: Option<String>,
}

/// Takes RUST_LOG syntax; answers why it does not understand.
pub type SetLogFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

pub struct AdminContext {
    pub rpc_addr: Option<SocketAddr>,
    pub started: SystemTime,
    /// Hands a request to the role stage; an error when that has ended.
    pub role: Box<dyn Fn(RoleRequest) -> Result<(), Closed> + Send + Sync>,
    pub contact: Arc<ArcSwap<ContactInfo>>,
    pub status: Arc<ArcSwap<NodeStatus>>,
    pub vault: Arc<Vault>,
    pub set_log_filter: SetLogFilter,
    /// Nothing when the store is no etcd, or there is no identity to hand over.
    pub failover: Option<Arc<crate::failover::Desk>>,
}

pub fn methods(context: AdminContext) -> RpcModule<AdminContext> {
    let mut module = RpcModule::new(context);
    let registered = register(&mut module).and_then(|()| super::failover::register(&mut module));
    registered.expect("invariant: every method name is registered once");
    module
}

fn register(module: &mut RpcModule<AdminContext>) -> Result<(), RegisterMethodError> {
    module.register_async_method("exit", |_, context, _| async move { exit(&context).await })?;
    module.register_method("pid", |_, _, _| -> Reply<u32> { Ok(std::process::id()) })?;
    module.register_method("rpcAddress", |_, context, _| -> Reply<Option<SocketAddr>> { Ok(context.rpc_addr) })?;
    module.register_method("startTime", |_, context, _| -> Reply<Value> {
        // As serde writes a SystemTime, which is what agave sends.
        let since = context.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(json!({ "secs_since_epoch": since.as_secs(), "nanos_since_epoch": since.subsec_nanos() }))
    })?;
    module.register_method("startProgress", |_, context, _| -> Reply<Value> {
        Ok(context.status.load().start_progress())
    })?;
    module.register_method("isGeneratingSnapshots", |_, _, _| -> Reply<bool> { Ok(false) })?;
    module.register_method("setLogFilter", |params, context, _| -> Reply<()> {
        let filter: String = params.sequence().next()?;
        (context.set_log_filter)(&filter).map_err(|reason| {
            invalid(&format!("log filter {filter:?}: {reason}"), Some("write it as info or tandem_vote=debug,info"))
        })
    })?;
    module.register_method("contactInfo", |_, context, _| -> Reply<Value> {
        Ok(contact_info(&context.contact.load()))
    })?;
    module.register_method("addAuthorizedVoter", |params, context, _| -> Reply<()> {
        add_voter(context, read_keypair(&params.sequence().next::<PathBuf>()?)?);
        Ok(())
    })?;
    module.register_method("addAuthorizedVoterFromBytes", |params, context, _| -> Reply<()> {
        add_voter(context, keypair_from(&params.sequence().next()?)?);
        Ok(())
    })?;
    module.register_method("removeAllAuthorizedVoters", |_, context, _| -> Reply<()> {
        context.vault.remove_voters();
        tracing::info!("all authorized voters were removed");
        Ok(())
    })?;
    module.register_async_method("setIdentity", |params, context, _| async move {
        let (path, require_tower) = identity_params::<PathBuf>(&params)?;
        set_identity(&context, read_keypair(&path)?, require_tower).await.map(|_| ())
    })?;
    module.register_async_method("setIdentityFromBytes", |params, context, _| async move {
        let (bytes, require_tower) = identity_params::<KeyBytes>(&params)?;
        set_identity(&context, keypair_from(&bytes)?, require_tower).await.map(|_| ())
    })?;
    module.register_async_method("tandemSetIdentity", |params, context, _| async move {
        let (bytes, require_tower) = identity_params::<KeyBytes>(&params)?;
        set_identity(&context, keypair_from(&bytes)?, require_tower).await
    })?;
    module.register_method("tandemStatus", |_, context, _| -> Reply<NodeStatus> {
        Ok((**context.status.load()).clone())
    })?;
    Ok(())
}

/// The key, and whether the store must hold a tower. A third parameter (agave 4.2: `require_vote_history`) may follow:
/// there is no vote history besides the tower.
fn identity_params<K: DeserializeOwned>(params: &Params<'_>) -> Reply<(K, bool)> {
    let mut sequence = params.sequence();
    Ok((sequence.next()?, sequence.optional_next::<bool>()?.unwrap_or(false)))
}

async fn exit(context: &AdminContext) -> Reply<()> {
    let (reply, done) = oneshot::channel();
    (context.role)(RoleRequest::Exit { reply }).map_err(|Closed| stopping())?;
    done.await.map_err(|_| stopping())
}

async fn set_identity(context: &AdminContext, keypair: Keypair, require_tower: bool) -> Reply<HandoverReport> {
    let (reply, answer) = oneshot::channel();
    (context.role)(RoleRequest::SetIdentity { keypair, require_tower, reply }).map_err(|Closed| stopping())?;
    match tokio::time::timeout(HANDOVER_TIME_MAX, answer).await {
        Ok(Ok(answer)) => answer.map_err(ErrorObjectOwned::from),
        Ok(Err(_)) => Err(stopping()),
        Err(_) => Err(AdminError {
            status: Status::TimedOut as u8,
            reason: format!("the handover did not end within {HANDOVER_TIME_MAX:?}"),
            remedy: Some("see the validator's log, and `validator monitor --once`".into()),
        }
        .into()),
    }
}

fn add_voter(context: &AdminContext, keypair: Keypair) {
    tracing::info!("authorized voter {} was added", keypair.pubkey());
    context.vault.add_voter(keypair);
}

fn read_keypair(path: &Path) -> Reply<Keypair> {
    // Standard input is the client's, not ours.
    if path == Path::new("-") {
        return Err(invalid("\"-\" names no file here", Some("send the key's bytes, or a path")));
    }
    tandem_identity::read_keypair_file(path)
        .map_err(|error| invalid(&Failure::caused(Status::Refused, &error).what, None))
}

fn keypair_from(bytes: &KeyBytes) -> Reply<Keypair> {
    bytes.keypair().map_err(|reason| invalid(&reason, None))
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
        "last_updated_timestamp": contact.wallclock.0,
        "shred_version": contact.shred_version,
    })
}

fn invalid(reason: &str, remedy: Option<&str>) -> ErrorObjectOwned {
    let refusal =
        AdminError { status: Status::Refused as u8, reason: reason.to_owned(), remedy: remedy.map(str::to_owned) };
    refusal.into()
}

pub(super) fn stopping() -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INTERNAL, "the validator is stopping", None::<()>)
}

impl From<AdminError> for ErrorObjectOwned {
    fn from(refusal: AdminError) -> Self {
        let message = match &refusal.remedy {
            Some(remedy) => format!("{} — {remedy}", refusal.reason),
            None => refusal.reason.clone(),
        };
        ErrorObjectOwned::owned(REFUSED, message, Some(refusal))
    }
}

pub(super) type Reply<T> = Result<T, ErrorObjectOwned>;

/// A handover that takes longer than this is stuck: the intent deadline is 2 s and catching up has its own limit.
const HANDOVER_TIME_MAX: Duration = Duration::from_secs(120);
/// Agave answers a refusal with "invalid params"; ours carries the exit status in `data`.
const REFUSED: i32 = -32602;
const INTERNAL: i32 = -32603;
