//! The asking side of the admin socket.

use {
    super::{
        framing::{Frame, take_frame},
        methods::AdminError,
        secret::{self, Buffer},
        usable_socket_path,
    },
    crate::exit::{Failure, Status},
    serde::de::DeserializeOwned,
    serde_json::Value,
    std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
        path::{Path, PathBuf},
        time::Duration,
    },
    tandem_types::Keypair,
    zeroize::Zeroizing,
};

/// A connection to the validator of a ledger.
pub struct AdminClient {
    stream: UnixStream,
    path: PathBuf,
}

impl AdminClient {
    pub fn connect(ledger: &Path) -> Result<Self, Failure> {
        Self::connect_within(ledger, Duration::from_secs(150))
    }

    /// Like `connect`, for a caller that will not wait longer than `patience` for any reply.
    pub fn connect_within(ledger: &Path, patience: Duration) -> Result<Self, Failure> {
        let path = usable_socket_path(ledger)?;
        let stream = UnixStream::connect(&path).map_err(|error| {
            Failure::failed(format!("no validator answers at {}: {error}", path.display()))
                .remedy("name the ledger folder of a running validator with --ledger DIR")
        })?;
        stream
            .set_read_timeout(Some(patience))
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        Ok(Self { stream, path })
    }

    pub fn call<T: DeserializeOwned>(&mut self, method: &str, params: Value) -> Result<T, Failure> {
        self.call_raw(method, &params.to_string())
    }

    /// A call that brings a key: nothing of it is left behind here.
    pub fn call_with_key<T: DeserializeOwned>(
        &mut self,
        method: &str,
        keypair: &Keypair,
        more: &[&str],
    ) -> Result<T, Failure> {
        self.call_raw(method, &secret::params(keypair, more))
    }

    /// `params`: JSON.
    fn call_raw<T: DeserializeOwned>(&mut self, method: &str, params: &str) -> Result<T, Failure> {
        let head = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":"#);
        let mut request = Zeroizing::new(String::with_capacity(head.len() + params.len() + 1));
        request.push_str(&head);
        request.push_str(params);
        request.push('}');
        let broken = |path: &Path, what: String| Failure::failed(format!("{} ({method}): {what}", path.display()));
        self.stream
            .write_all(request.as_bytes())
            .map_err(|error| broken(&self.path, format!("the request was not sent: {error}")))?;
        let mut buffer = Buffer::default();
        let mut chunk = [0u8; 4096];
        let reply = loop {
            let read = self.stream.read(&mut chunk).map_err(|error| {
                broken(&self.path, format!("no reply: {error}")).remedy("the validator may have stopped; see its log")
            })?;
            if read == 0 {
                return Err(broken(&self.path, "the validator closed the connection".into())
                    .remedy("the validator may have stopped; see its log"));
            }
            buffer.extend(&chunk[..read]);
            match take_frame(&mut buffer) {
                Frame::Message(reply) => break reply,
                Frame::Partial => {}
                Frame::Broken => return Err(broken(&self.path, "the reply is not JSON".into())),
            }
        };
        let mut reply: Value = serde_json::from_str(&reply)
            .map_err(|error| broken(&self.path, format!("the reply is not JSON: {error}")))?;
        if let Some(error) = reply.get("error") {
            return Err(refusal(error));
        }
        let result = reply.get_mut("result").map(Value::take).unwrap_or(Value::Null);
        serde_json::from_value(result).map_err(|error| broken(&self.path, format!("unexpected reply: {error}")))
    }
}

fn refusal(error: &Value) -> Failure {
    if let Some(refusal) = error.get("data").and_then(|data| serde_json::from_value::<AdminError>(data.clone()).ok()) {
        return Failure { status: Status::from_code(refusal.status), what: refusal.reason, remedy: refusal.remedy };
    }
    let message = error.get("message").and_then(Value::as_str).unwrap_or("no reason given");
    Failure::refused(message)
}
